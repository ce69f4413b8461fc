"""The health board of the lists: what the watcher found, and what all workers together have asked.

Counts begin anew with the service; a budget's day is that of UTC. A restart forgets what was asked before it that day.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

from earmark.clients.health import Health
from earmark.core.canaries import Condition
from earmark.log import Log

_DAY = 86400
_WARNED_FROM = 80
"""Per cent of a day's budget."""
_LINES_A_MESSAGE = 50

Value = TypeVar("Value")


def portions(lines: Mapping[str, Value]) -> Iterable[dict[str, Value]]:
    """Cut what is to be told into messages that a channel takes whole; at least one."""
    entries = iter(lines.items())
    yield dict(islice(entries, _LINES_A_MESSAGE))
    while part := dict(islice(entries, _LINES_A_MESSAGE)):
        yield part


class Board:
    """Adds up what children tell. Held by the supervisor."""

    def __init__(self, log: Log, clock: Callable[[], float] = time.time) -> None:
        """`clock` tells the seconds since the epoch."""
        self._log = log
        self._clock = clock
        self._lines: dict[str, dict[str, Any]] = {}
        self._heard: dict[tuple[int, str], list[int]] = {}
        """What each child had counted when it was last heard: queries, hits, errors; of the watcher, canaries."""
        self._totals: dict[str, list[int]] = {}
        self._canaries: dict[str, int] = {}
        self._day = 0
        self._today: dict[str, int] = {}
        self._warned: dict[str, int] = {}
        """The share of the day's budget that was last warned of."""

    def hear_counts(self, pid: int, counts: Mapping[str, list[int]]) -> None:
        """Take what a worker has counted since it was born."""
        for zone, numbers in counts.items():
            before = self._heard.get((pid, zone), [0, 0, 0])
            self._heard[pid, zone] = list(numbers)
            more = [now - then for now, then in zip(numbers, before, strict=True)]
            totals = self._totals.get(zone, [0, 0, 0])
            self._totals[zone] = [total + new for total, new in zip(totals, more, strict=True)]
            self._spend(zone, more[0])

    def hear_lines(self, pid: int, lines: Mapping[str, dict[str, Any]]) -> None:
        """Take what the watcher has found."""
        for zone, line in lines.items():
            (before,) = self._heard.get((pid, zone), [0])
            self._heard[pid, zone] = [line["canaries"]]
            more = line["canaries"] - before
            self._canaries[zone] = self._canaries.get(zone, 0) + more
            self._lines[zone] = _lasting(self._lines.get(zone), line)
            self._spend(zone, more)

    def forget(self, pid: int) -> None:
        """Forget a child that is gone, but not what it had counted."""
        self._heard = {key: numbers for key, numbers in self._heard.items() if key[0] != pid}

    def _spend(self, zone: str, queries: int) -> None:
        day = int(self._clock()) // _DAY
        if day != self._day:
            self._day = day
            self._today.clear()
            self._warned.clear()
        today = self._today[zone] = self._today.get(zone, 0) + queries
        budget = self._lines.get(zone, {}).get("budget", 0)
        if not budget:
            return
        share = 100 * today // budget
        for step, level in ((100, "error"), (_WARNED_FROM, "warning")):
            if share >= step:
                if self._warned.get(zone, 0) < step:
                    self._warned[zone] = step
                    self._log.event("list_budget", level=level, zone=zone, queries=today, budget=budget)
                return

    def report(self, health: Health) -> list[dict[str, Any]]:
        """Return a line for each list of the generation in force, by name."""
        return [self._row(zone, health) for zone in sorted(health.zones)]

    def _row(self, zone: str, health: Health) -> dict[str, Any]:
        state = health.state(health.place(zone))
        line = self._lines.get(zone, {})
        queries, hits, errors = self._totals.get(zone, [0, 0, 0])
        row = {
            "zone": zone,
            "kind": line.get("kind", ""),
            "names": line.get("names", False),
            "condition": state.condition,
            "silent": health.is_open(health.place(zone)),
            "why": line.get("why", ""),
            "since": line.get("since"),
            "good": state.good,
            "needed": state.needed,
            "milliseconds": line.get("milliseconds"),
            "queries": queries,
            "hits": hits,
            "misses": queries - hits - errors,
            "errors": errors,
            "canaries": self._canaries.get(zone, 0),
            "today": self._today.get(zone, 0),
            "budget": line.get("budget", 0),
        }
        row["problem"] = _problem(row)
        return row


def _lasting(before: dict[str, Any] | None, line: dict[str, Any]) -> dict[str, Any]:
    """Return the line; what has not changed has lasted since it was first told, whichever watcher tells it now."""
    if before is None or any(before.get(key) != line.get(key) for key in ("condition", "silent")):
        return line
    return {**line, "since": before.get("since")}


def _problem(row: Mapping[str, Any]) -> str:
    if row["silent"] and row["condition"] in (Condition.ARMED, Condition.UNCHECKED):
        return f"silent: {row['why']}"
    if row["condition"] is not Condition.ARMED:
        return f"{row['condition']}: {row['why']}" if row["why"] else str(row["condition"])
    if row["budget"] and row["today"] >= row["budget"]:
        return f"budget spent: {row['today']} queries today of {row['budget']}"
    return ""
