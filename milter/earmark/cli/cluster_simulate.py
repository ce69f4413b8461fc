"""`earmark cluster simulate`: what Pacemaker would do when a host, a network, a disk or the service fails."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import fail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from earmark.cluster.simulate import Result


def register(family: typer.Typer) -> None:
    """Add the command."""
    family.command("simulate")(simulate_scenarios)


def simulate_scenarios(
    inventory: Annotated[Path, typer.Argument(metavar="INVENTORY", help="The file that says what there is.")],
    scenarios: Annotated[
        Path | None, typer.Option("--scenarios", metavar="FILE", help="A table of your own, not the one shipped.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Play the table of scenarios to Pacemaker's scheduler (crm_simulate). Exit status 1 where one ends otherwise.

    It takes seconds and no rights, and touches no cluster. The table's words are explained in docs/cluster-policy.md.
    """
    from earmark.cluster.inventory import load_inventory
    from earmark.cluster.simulate import simulate
    from earmark.cluster.simulate_run import SimulationError
    from earmark.cluster.simulate_table import load_scenarios, shipped_scenarios
    from earmark.config import ConfigError

    try:
        read, _ = load_inventory(inventory)
        results = list(simulate(read, load_scenarios(scenarios or shipped_scenarios())))
    except (ConfigError, SimulationError, LookupError) as error:
        fail(error.args[0] if isinstance(error, LookupError) else error)
    if as_json:
        _print_json(results)
    else:
        _print_lines(results)
    if any(result.differences for result in results):
        raise typer.Exit(1)


def _print_json(results: "Sequence[Result]") -> None:
    import json

    shown = [
        {"name": result.scenario.name, **result.outcome._asdict(), "differences": result.differences}
        for result in results
    ]
    print(json.dumps({"v": 1, "scenarios": shown}, indent=2))


def _print_lines(results: "Sequence[Result]") -> None:
    for result in results:
        print(f"{'DIFFERS' if result.differences else 'ok     '}  {result.scenario.name}: {result.outcome}")
        for difference in result.differences:
            print(f"         {difference}")
    differing = sum(bool(result.differences) for result in results)
    print(f"{len(results)} scenarios, {differing or 'none'} of them other than expected")
