"""When the canaries are asked: at the start, and then every 18 to 26 seconds (docs/lists.md).

Every list is asked about a stranger in each round, and about its fixed entries in every tenth or while it is not armed:
a caching resolver answers those from memory anyway. A list that is silent is asked more often, so that it is used again
soon after it is back.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earmark.clients.health import Health
from earmark.core.canaries import SECONDS_A_ROUND, Condition, Judged, Outcome, State, next_state
from earmark.core.zones import Zone
from earmark.log import Log
from earmark.service.canary_asking import ask_round

PAUSES = (float(SECONDS_A_ROUND), 26.0)
"""Seconds between two rounds, at least and at most."""
_WHOLE_EVERY = 10
"""Rounds from one that asks all fixed entries to the next."""
_LOOK_EVERY = 1 / 18
"""Of the least pause between rounds: how often breakers are looked at, and the pause after a silent list's first probe.
Each further one is twice as long."""
_WHY_AT_MOST = 200
"""Characters."""


@dataclass(slots=True)
class Line:
    """What is known of one list from its canaries."""

    zone: Zone
    state: State
    silent: bool
    since: float
    """When it became so, seconds since the epoch."""
    why: str = ""
    queries: int = 0
    milliseconds: int | None = None
    """How long the latest answer about a stranger took."""

    def told(self) -> dict[str, Any]:
        """Return it as the board wants it, for JSON."""
        return {
            "kind": self.zone.kind,
            "names": self.zone.names,
            "condition": self.state.condition,
            "silent": self.silent,
            "why": self.why[:_WHY_AT_MOST],
            "since": self.since,
            "good": self.state.good,
            "needed": self.state.needed,
            "milliseconds": self.milliseconds,
            "canaries": self.queries,
            "budget": self.zone.budget,
        }


class CanaryRounds:
    """Asks the lists of one generation for as long as it runs, and writes into `health` what it finds."""

    def __init__(
        self,
        zones: Mapping[str, Zone],
        resolvers: Sequence[str],
        health: Health,
        log: Log,
        *,
        keys: Mapping[str, str],
        pauses: tuple[float, float] = PAUSES,
    ) -> None:
        """`pauses`: the least and the most seconds between two rounds."""
        self._zones = {name: zone for name, zone in zones.items() if name in keys or not zone.key_file}
        self._resolvers = resolvers
        self._health = health
        self._log = log
        self._keys = keys
        self._pauses = pauses
        self._probes: dict[str, tuple[float, float]] = {}
        """Of each silent list: when it is asked next, and the pause after that."""
        self.rounds = 0
        self.lines: dict[str, Line] = {}
        for name, zone in zones.items():
            place = health.place(name)
            if name not in self._zones:
                health.set_state(place, State(Condition.NO_KEY))
            self.lines[name] = Line(zone, health.state(place), health.is_open(place), time.time())

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self.round()
            await self._rest(random.uniform(*self._pauses))  # noqa: S311 - only spreads the load

    async def round(self) -> None:
        """Ask all lists once."""
        is_whole = self.rounds % _WHOLE_EVERY == 0
        self.rounds += 1
        await self._ask(
            list(self._zones.values()),
            lambda zone: is_whole or self.lines[zone.name].state.condition is not Condition.ARMED,
        )

    async def _rest(self, seconds: float) -> None:
        """Wait, and meanwhile ask the silent lists whether they are back."""
        end = time.monotonic() + seconds
        step = self._pauses[0] * _LOOK_EVERY
        while (now := time.monotonic()) < end:
            due = [zone for name, zone in self._zones.items() if self._is_due(name, now, step)]
            if due:
                await self._ask(due, lambda _: True)
            await asyncio.sleep(min(step, max(end - now, 0.0)))

    def _is_due(self, name: str, now: float, step: float) -> bool:
        """Return whether a silent list is to be asked now. A worker may have found it silent before us."""
        if not self._health.is_open(self._health.place(name)):
            self._probes.pop(name, None)
            return False
        at, pause = self._probes.setdefault(name, (now, step))
        if now < at:
            return False
        self._probes[name] = (now + pause, min(2 * pause, self._pauses[1]))
        return True

    async def _ask(self, zones: Sequence[Zone], whole: Callable[[Zone], bool]) -> None:
        found = await ask_round(self._zones, zones, self._resolvers, self._keys, whole)
        for name, judged in found.judged.items():
            line = self.lines[name]
            line.queries += found.queries[name]
            line.milliseconds = found.milliseconds.get(name)
            self._take(name, line, judged)

    def _take(self, name: str, line: Line, judged: Judged) -> None:
        before, was_silent = line.state, line.silent
        line.state, line.silent = next_state(before, judged), judged.what is Outcome.SILENT
        place = self._health.place(name)
        self._health.set_state(place, line.state)
        self._health.set_open(place, is_open=line.silent)
        if judged.what is not Outcome.GOOD:
            line.why = judged.why
        elif line.state.condition is Condition.ARMED:
            line.why = ""
        if (before.condition, was_silent) != (line.state.condition, line.silent):
            line.since = time.time()
        self._say(name, line, before.condition, was_silent=was_silent)

    def _say(self, name: str, line: Line, before: Condition, *, was_silent: bool) -> None:
        """Log each change once; while a list stays disarmed, the board alone tells of other reasons."""
        now = line.state.condition
        if now is Condition.ARMED and before is not now:
            self._log.event("list_armed", zone=name)
        elif now is not before and before in (Condition.ARMED, Condition.UNCHECKED):
            self._log.event("list_disarmed", level="warning", zone=name, reason=now, why=line.why)
        if line.silent and not was_silent:
            self._log.event("list_silent", level="warning", zone=name, why=line.why)
        elif was_silent and not line.silent:
            self._log.event("list_answers", zone=name)
