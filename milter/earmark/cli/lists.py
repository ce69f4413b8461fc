"""`earmark lists`: how the DNS lists fare, as the service sees it, or asked now."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from earmark.cli.columns import aligned
from earmark.cli.serve import ConfigOption, JsonOption, StateOption, ask_service
from earmark.core.text import printable

if TYPE_CHECKING:
    from earmark.core.evidence import Fact
    from earmark.core.zones import Zone
    from earmark.service.canary_asking import Round

_HEAD = ("list", "kind", "state", "ms", "queries", "hits", "misses", "errors", "canaries", "today", "budget")


def register(app: typer.Typer) -> None:
    """Add the family."""
    family = typer.Typer(help="Show how the DNS lists fare.")
    family.callback(invoke_without_command=True)(board)
    family.command("test")(ask_now)
    app.add_typer(family, name="lists")


def board(
    context: typer.Context, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Show the running service's health board of the lists. Exit status 1 where something is wrong with one."""
    if context.invoked_subcommand is not None:
        return
    answer = ask_service("lists", config, state, patience=10.0)
    rows = answer["lists"]
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _print_board(rows)
    raise typer.Exit(1 if any(row["problem"] for row in rows) else 0)


def _print_board(rows: Sequence[Mapping[str, Any]]) -> None:
    from datetime import datetime

    if not rows:
        print("no policy names a list")
        return
    for line in aligned([_HEAD, *map(_columns, rows)], left=3):
        print(line)
    for row in rows:
        if row["problem"]:
            since = (
                datetime.fromtimestamp(row["since"]).astimezone().isoformat(timespec="seconds") if row["since"] else ""
            )
            again = f"; {row['good']} of {row['needed']} good rounds" if row["good"] < row["needed"] else ""
            print(printable(f"{row['zone']}: {row['problem']}" + (f" (since {since}{again})" if since else ""), 500))


def _columns(row: Mapping[str, Any]) -> tuple[str, ...]:
    state = "armed" if row["condition"] == "armed" else "off"
    return (
        row["zone"],
        row["kind"],
        "silent" if row["silent"] and state == "armed" else state,
        "-" if row["milliseconds"] is None else str(row["milliseconds"]),
        *(str(row[name]) for name in ("queries", "hits", "misses", "errors", "canaries", "today")),
        str(row["budget"] or "-"),
    )


def ask_now(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Ask every list's canaries now, from here and without the service. Exit status 1 where an answer is wrong."""
    import asyncio
    import sys

    from earmark.config import ConfigError, find_directory, load, read_keys
    from earmark.service.canary_asking import ask_round

    try:
        generation = load(find_directory(config))
    except ConfigError as error:
        print("\n".join(map(str, error.problems)), file=sys.stderr)
        raise typer.Exit(1) from None
    keys, problems = read_keys(generation)
    for problem in problems:
        print(problem, file=sys.stderr)
    asked = [zone for name, zone in generation.zones.items() if name in keys or not zone.key_file]
    found = asyncio.run(ask_round({zone.name: zone for zone in asked}, asked, generation.server.dns.resolvers, keys))
    rows = [_tested(zone, found) for zone in sorted(asked)]
    if as_json:
        print(json.dumps({"v": 1, "lists": rows}, indent=2))
    else:
        _print_tested(rows)
    raise typer.Exit(1 if problems or any(row["problem"] for row in rows) else 0)


def _tested(zone: "Zone", found: "Round") -> dict[str, Any]:
    """Return what one list answered, and what that means."""
    from earmark.core.canaries import Outcome, fixed_entries

    seen, judged = found.seen[zone.name], found.judged[zone.name]
    if isinstance(judged.what, Outcome):
        problem = "" if judged.what is Outcome.GOOD else f"{judged.what.name.lower()}: {judged.why}"
    else:
        problem = f"{judged.what}: {judged.why}"
    listed, unlisted = fixed_entries(zone)
    return {
        "zone": zone.name,
        "problem": problem,
        "milliseconds": found.milliseconds.get(zone.name),
        "resolver": seen.strangers[0].source,
        "answers": {
            **({listed: _said(seen.listed)} if seen.listed else {}),
            **({unlisted: _said(seen.unlisted)} if seen.unlisted else {}),
            "drawn at random": sorted({_said(fact) for fact in seen.strangers}),
        },
    }


def _said(fact: "Fact") -> str:
    return " ".join(fact.data) or fact.why


def _print_tested(rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        print(printable(f"{row['zone']}: {row['problem'] or 'ok'}", 500))
        for asked, said in row["answers"].items():
            print(printable(f"  {asked}: {said if isinstance(said, str) else ', '.join(said)}", 500))
