"""The rows on a terminal, as JSON, and in docs/performance.md."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import description
from bench.rows import Row

_PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
_BEGIN, _END = "<!-- figures: written by the bench -->", "<!-- end of figures -->"


def line(row: Row) -> str:
    """Return a row for the terminal."""
    word = "ok" if row.ok else "SHORT OF GOAL"
    low, high = row.spread
    goal = f"{'at most' if row.at_most else 'at least'} {row.goal:g}"
    figures = " ".join(f"{name}={value:.6g}" for name, value in row.figures.items())
    return (
        f"{row.name:27} {row.ratio:8.2f} {row.unit:3} {goal:13} ({low:.2f} to {high:.2f})  {word}\n{'':27} {figures}\n"
    )


def as_json(rows: Iterable[Row]) -> str:
    """Return the rows as a JSON array."""
    return json.dumps([{**row._asdict(), "ok": row.ok} for row in rows], indent=2) + "\n"


def write_page(rows: Sequence[Row], command: str) -> None:
    """Put the figures between the marks of docs/performance.md."""
    text = _PAGE.read_text()
    head, _, rest = text.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    _PAGE.write_text(f"{head}{_BEGIN}\n\n{_table(rows, command)}\n{_END}{tail}")


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
        goal = f"{'≤' if row.at_most else '≥'} {row.goal:g} {row.unit}"
        made_of = ", ".join(f"{name} {value:.6g}" for name, value in row.figures.items())
        holds = "yes" if row.ok else "**no**"
        lines.append(
            f"| {row.name} | {row.ratio:.2f} {row.unit} | {goal} | {low:.2f} to {high:.2f} | {holds} | {made_of} |"
        )
    return "\n".join([*lines, ""])
