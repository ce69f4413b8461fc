"""The rows on a terminal, as JSON, and in docs/performance.md."""

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import description
from bench.rows import Row

_PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
_BEGIN, _END = "<!-- figures: written by the bench -->", "<!-- end of figures -->"
_TABLES = {
    "content-": "<!-- figures on content: written by the bench -->",
    "engine": "<!-- figures on engines: written by the bench -->",
}
"""Where the rows go whose names begin so; all others go to the first table."""


def line(row: Row) -> str:
    """Return a row for the terminal."""
    word = "ok" if row.ok else "SHORT OF GOAL"
    low, high = row.spread
    goal = f"{'at most' if row.at_most else 'at least'} {row.goal:.3g}" if math.isfinite(row.goal) else "no goal"
    figures = " ".join(f"{name}={value:.6g}" for name, value in row.figures.items())
    return (
        f"{row.name:27} {row.ratio:8.2f} {row.unit:3} {goal:13} ({low:.2f} to {high:.2f})  {word}\n{'':27} {figures}\n"
    )


def as_json(rows: Iterable[Row]) -> str:
    """Return the rows as a JSON array."""
    plain = [{**row._asdict(), "goal": row.goal if math.isfinite(row.goal) else None, "ok": row.ok} for row in rows]
    return json.dumps(plain, indent=2) + "\n"


def write_page(rows: Sequence[Row], command: str) -> None:
    """Put the figures between the marks of docs/performance.md. A table of which no row was measured stays."""
    text = _PAGE.read_text()
    apart = {begin: [row for row in rows if row.name.startswith(word)] for word, begin in _TABLES.items()}
    others = [row for row in rows if not row.name.startswith(tuple(_TABLES))]
    for begin, chosen in ((_BEGIN, others), *apart.items()):
        if chosen:
            head, _, rest = text.partition(begin)
            _, _, tail = rest.partition(_END)
            text = f"{head}{begin}\n\n{_table(chosen, command)}\n{_END}{tail}"
    _PAGE.write_text(text)


def _table(rows: Sequence[Row], command: str) -> str:
    day = datetime.now(UTC).date().isoformat()
    lines = [
        f"Measured {day} by `{command}` on {description()}.",
        "",
        "| row | figure | goal | spread | holds | made of |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row.spread
        aims = math.isfinite(row.goal)
        goal = f"{'≤' if row.at_most else '≥'} {row.goal:.3g} {row.unit}" if aims else "-"
        made_of = ", ".join(f"{name} {value:.6g}" for name, value in row.figures.items())
        holds = ("yes" if aims else "no goal") if row.ok else "**no**"
        lines.append(
            f"| {row.name} | {row.ratio:.2f} {row.unit} | {goal} | {low:.2f} to {high:.2f} | {holds} | {made_of} |"
        )
    return "\n".join([*lines, ""])
