"""How the content scanners fare on this machine: what all workers say of them, added up, and the age of signatures.

A worker finds out that a scanner is gone when it has a message for it. So the scanner counts as failing from when the
first worker noticed until it answered somebody, and fails for nobody. That is logged here, once, whatever their number.

Counts begin anew with the service. What a worker had told outlives it.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from earmark.log import Log

SIGNATURES_OLD = 3
"""Days. ClamAV's own signatures are issued daily, and freshclam asks for them every hour or two."""

_COUNTS = ("scans", "unscanned", "retried")
_NEWBORN: Mapping[str, Any] = {**dict.fromkeys(_COUNTS, 0), "failing_since": None}
"""What a worker would say that has done nothing yet."""


def days_since(issued: str, now: float) -> int | None:
    """Return the age of signatures of a day such as "2026-11-18", `now` in seconds since the epoch; None for "" ."""
    return (datetime.fromtimestamp(now, UTC).date() - date.fromisoformat(issued)).days if issued else None


@dataclass(slots=True)
class _Line:
    """One scanner."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    told: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """The last word of each worker."""
    failing_since: float | None = None
    failed_seconds: float = 0.0
    """Of the outages that are over."""
    unscanned_before: int = 0
    """What was unscanned when the outage began."""
    why: str = ""

    @property
    def fails_for_somebody(self) -> bool:
        return any(told["failing_since"] is not None for told in self.told.values())

    @property
    def state(self) -> str:
        if self.failing_since is not None:
            return "failing"
        return "answering" if self.counts["scans"] or self.counts["unscanned"] else "not asked yet"


class ScannerBoard:
    """Adds up what children tell. Held by the supervisor. Scanners are named as in the question Scanner."""

    def __init__(self, log: Log, clock: Callable[[], float] = time.time) -> None:
        """`clock` tells the seconds since the epoch."""
        self._log = log
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self._issued: dict[str, str] = {}
        """By endpoint of clamd, the day of its signatures; "" where it has none of ClamAV's own."""
        self._warned: dict[str, date] = {}
        """By endpoint, the last day on which it was said that they are old."""

    def hear(self, pid: int, scanners: Mapping[str, Mapping[str, Any]]) -> None:
        """Take what a worker has counted since it was born, and since when a scanner fails for it, if it does."""
        for name, told in scanners.items():
            line = self._lines.setdefault(name, _Line())
            before = line.told.get(pid, _NEWBORN)
            if told["failing_since"] is not None and line.failing_since is None:
                self._begin(name, line, told)
            for key in _COUNTS:
                line.counts[key] += told[key] - before[key]
            line.told[pid] = told
            answers = told["scans"] > before["scans"] or before["failing_since"] is not None
            if answers and line.failing_since is not None and not line.fails_for_somebody:
                self._end(name, line)

    def forget(self, pid: int) -> None:
        """Forget a worker that is gone, but not what it had counted, nor the outage that it told of."""
        for line in self._lines.values():
            line.told.pop(pid, None)

    def hear_signatures(self, issued: Mapping[str, str]) -> None:
        """Take what the watcher has found: by endpoint the day of the signatures."""
        self._issued = dict(issued)
        now = self._clock()
        today = datetime.fromtimestamp(now, UTC).date()
        for endpoint, day in issued.items():
            age = days_since(day, now)
            if (age is None or age > SIGNATURES_OLD) and self._warned.get(endpoint) != today:
                self._warned[endpoint] = today
                self._log.event("signatures_old", level="warning", endpoint=endpoint, issued=day, days=age)

    def report(self, names: Collection[str]) -> list[dict[str, Any]]:
        """Return a line for each of these scanners."""
        return [self._row(name, self._lines.get(name, _Line())) for name in sorted(names)]

    def _begin(self, name: str, line: _Line, told: Mapping[str, Any]) -> None:
        line.failing_since, line.why = told["failing_since"], told["why"]
        line.unscanned_before = line.counts["unscanned"]
        self._log.event("scanner_down", level="error", scanner=name, why=line.why)

    def _end(self, name: str, line: _Line) -> None:
        seconds = self._lasted(line)
        line.failed_seconds += seconds
        line.failing_since, line.why = None, ""
        unscanned = line.counts["unscanned"] - line.unscanned_before
        self._log.event("scanner_back", scanner=name, seconds=round(seconds, 1), unscanned=unscanned)

    def _lasted(self, line: _Line) -> float:
        """Return the seconds of the outage under way; 0 where there is none."""
        return 0.0 if line.failing_since is None else max(self._clock() - line.failing_since, 0.0)

    def _row(self, name: str, line: _Line) -> dict[str, Any]:
        return {
            "scanner": name,
            "state": line.state,
            "failing_since": line.failing_since,
            "why": line.why,
            **line.counts,
            "failing_seconds": round(line.failed_seconds + self._lasted(line), 1),
            "signatures": min(self._issued.values(), default="") if name == "clamav" else "",
        }
