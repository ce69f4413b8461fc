"""`earmark compare`: what the shadow policies would have done otherwise, from the history (docs/shadow.md)."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from earmark.core.comparison import Comparison, Difference, Domain, FindingChange

SCHEMA = 1
_DIFFERENT, _TROUBLE = 1, 2
"""Exit statuses, as diff(1) has them."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    *,
    since: Annotated[str, typer.Option(metavar="SPAN", help="How far back, such as 30m, 24h or 7d.")] = "24h",
    domain: Annotated[str, typer.Option(help="Only recipients in this domain.")] = "",
    examples: Annotated[int, typer.Option(min=0, help="How many of each change in each domain are shown.")] = 3,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Configuration directory.", show_default="/etc/earmark, else what is shipped"
        ),
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="The history's file, in place of the one in the state directory.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List by domain what the shadow policies would have done otherwise, and on which facts.

    Exit status 0 where they did the same, 1 where they differ, 2 where nothing could be compared.
    """
    import json
    import time

    from earmark.cli.span import seconds
    from earmark.stores.sqlite import StoreError

    try:
        began = time.time() - seconds(since)
        compared = _compared(began, domain, examples, history, config)
    except (StoreError, ValueError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(_TROUBLE) from None
    if not compared.transactions:
        begin = "earmark serve --shadow DIR, or shadow in server.toml, lets one judge"
        print(f"no transaction of the last {since} was judged by a shadow as well; {begin}", file=sys.stderr)
        raise typer.Exit(_TROUBLE)
    if as_json:
        print(json.dumps(_report(compared, began), indent=2))
    else:
        print("\n".join(_lines(compared, since)))
    raise typer.Exit(_DIFFERENT if compared.differs else 0)


def _compared(began: float, domain: str, examples: int, history: Path | None, config: Path | None) -> "Comparison":
    from earmark.cli.serve import state_directory
    from earmark.core.comparison import Comparison
    from earmark.core.mail import domain_key
    from earmark.stores.history import FILE_NAME
    from earmark.stores.recall import since

    path = history or state_directory(config) / FILE_NAME
    compared = Comparison(domain=domain_key(domain), examples=examples)
    for record in since(path, began):
        compared.add(record)
    return compared


def _report(compared: "Comparison", began: float) -> dict[str, Any]:
    """Return what `--json` prints (docs/schemas.md)."""
    from datetime import UTC, datetime

    return {
        "v": SCHEMA,
        "since": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "generation": compared.generation,
        "shadow_generation": compared.shadow_generation,
        "transactions": compared.transactions,
        "of_earlier_shadows": compared.of_earlier_shadows,
        "domains": [
            {
                "domain": name,
                "recipients": found.recipients,
                "changes": dict(found.changes),
                "examples": [_example(each) for examples in found.examples.values() for each in examples],
            }
            for name, found in _ordered(compared)
        ],
    }


def _example(difference: "Difference") -> dict[str, Any]:
    return {**difference._asdict(), "findings": [finding._asdict() for finding in difference.findings]}


def _ordered(compared: "Comparison") -> "list[tuple[str, Domain]]":
    """Return the domains, those with the most differences first."""
    return sorted(compared.domains.items(), key=lambda item: (-item[1].changes.total(), item[0]))


def _lines(compared: "Comparison", since: str) -> Iterator[str]:
    yield (
        f"transactions in {since}: {compared.transactions}; generation {compared.generation[:12]} in force,"
        f" shadow {compared.shadow_generation[:12]}"
    )
    if compared.of_earlier_shadows:
        yield f"left out: {compared.of_earlier_shadows} that earlier shadows judged"
    for name, domain in _ordered(compared):
        yield from _domain(name, domain)


def _domain(name: str, domain: "Domain") -> Iterator[str]:
    from earmark.core.comparison import CHANGES
    from earmark.core.text import printable

    counts = [f"{domain.changes[change]} {change}" for change in CHANGES if domain.changes[change]]
    yield ""
    yield f"{printable(name or '(no domain)')}, recipients: {domain.recipients}; {', '.join(counts) or 'no difference'}"
    for change in CHANGES:
        for difference in domain.examples.get(change, ()):
            yield from _difference(difference)


def _difference(difference: "Difference") -> Iterator[str]:
    from earmark.core.text import printable

    before, after = difference.before, difference.after
    who = printable(f"<{difference.recipient}> from <{difference.sender}> [{difference.client}]", 400)
    yield f"  {difference.change}: {who}, verdict {difference.id}"
    yield f"    {_said(before)} -> {_said(after)}"
    for finding in difference.findings:
        yield from _finding(finding)
    for question in after["unknown"]:
        if question not in before["unknown"]:
            yield f"    unknown to the shadow: {printable(question, 400)}"


def _said(side: dict[str, Any]) -> str:
    held = f" (would {side['would']})" if side["would"] != side["action"] else ""
    return (
        f"{side['action']}{held}, mode {side['mode']}, refuse score {side['refuse_score']:.2f} of"
        f" {side['refuse_at']:.2f}, mark score {side['mark_score']:.2f} of {side['mark_at']:.2f}"
    )


def _finding(finding: "FindingChange") -> Iterator[str]:
    from earmark.core.text import printable

    scores = " -> ".join("none" if score is None else f"{score:.2f}" for score in (finding.before, finding.after))
    yield f"    {finding.name} {scores}: {printable(finding.why, 400)}"
    if finding.evidence:
        said = " ".join([finding.evidence["status"], *finding.evidence["data"]])
        yield f"      {printable(f'{finding.question}: {said}', 400)}"
