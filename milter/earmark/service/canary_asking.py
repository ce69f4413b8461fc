"""One round of canaries: every list asked at once, by a resolver of ours that remembers nothing."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from earmark.clients.dns import Lookups, Resolver
from earmark.core.canaries import (
    MORE_STRANGERS,
    Judged,
    Seen,
    fixed_entries,
    is_outside,
    is_suspicious,
    judge_round,
    random_label,
    stranger,
)
from earmark.core.evidence import Fact, Status
from earmark.core.zones import Zone

_PATIENCE = 5.0
"""Seconds that an answer may take, where the zone's own time-out is not less."""
_CONTROL = "example.com"
"""A domain that exists, is nobody's (RFC 2606) and has no wildcard: no name below it that we draw exists."""


class Round(NamedTuple):
    """What one round found, by list."""

    seen: Mapping[str, Seen]
    judged: Mapping[str, Judged]
    queries: Mapping[str, int]
    milliseconds: Mapping[str, int]
    """How long the last answer about a stranger took; nothing for a list that gave none."""


async def ask_round(
    zones: Mapping[str, Zone],
    asked: Sequence[Zone],
    resolvers: Sequence[str],
    keys: Mapping[str, str],
    whole: Callable[[Zone], bool] = lambda _: True,
) -> Round:
    """Ask those of the lists `zones` that stand in `asked`; where `whole` says so, for the fixed entries too.

    Takes at most thrice the five seconds that one answer may take.
    """
    async with _without_memory(resolvers) as lookups:
        asker = _Asker(lookups, keys)
        answers = await asyncio.gather(*(asker.ask(zone, whole=whole(zone)) for zone in asked))
        seen = {zone.name: answer for zone, answer in zip(asked, answers, strict=True)}
        odd = any(is_outside(zones[name], answer) for name, answer in seen.items())
        rewritten = odd and await _rewrites(lookups)
    return Round(seen, judge_round(zones, seen, rewritten=rewritten), asker.queries, asker.milliseconds)


@asynccontextmanager
async def _without_memory(resolvers: Sequence[str]) -> AsyncIterator[Lookups]:
    """Give a resolver that has never been asked anything: our cache would answer for a minute at least."""
    resolver = Resolver(resolvers, cache_size=2)
    try:
        yield resolver
    finally:
        resolver.close()


async def _rewrites(lookups: Lookups) -> bool:
    """Return whether a name that cannot exist is given an address. Asked only when a list's answers are odd."""
    fact = await lookups.get(f"{random_label(os.urandom(16))}.{_CONTROL}", "A", give_up=_PATIENCE)
    return fact.status is Status.PASS


class _Asker:
    """Asks the canaries of some lists once."""

    def __init__(self, lookups: Lookups, keys: Mapping[str, str]) -> None:
        self._lookups = lookups
        self._keys = keys
        self.queries: Counter[str] = Counter()
        self.milliseconds: dict[str, int] = {}

    async def ask(self, zone: Zone, *, whole: bool) -> Seen:
        entries = fixed_entries(zone) if whole else ("", "")
        listed, unlisted, first = await asyncio.gather(
            self._entry(zone, entries[0]), self._entry(zone, entries[1]), self._stranger(zone)
        )
        strangers = [first]
        for more in MORE_STRANGERS:
            if is_suspicious(zone, strangers):
                strangers += await asyncio.gather(*(self._stranger(zone) for _ in range(more)))
        return Seen(listed, unlisted, tuple(strangers))

    async def _entry(self, zone: Zone, labels: str) -> Fact | None:
        return await self._look_up(zone, labels) if labels else None

    async def _stranger(self, zone: Zone) -> Fact:
        began = time.monotonic()
        fact = await self._look_up(zone, stranger(zone, os.urandom(16)))
        if fact.status is not Status.TEMPERROR:
            self.milliseconds[zone.name] = round((time.monotonic() - began) * 1000)
        return fact

    async def _look_up(self, zone: Zone, labels: str) -> Fact:
        self.queries[zone.name] += 1
        name = ".".join(filter(None, (labels, self._keys.get(zone.name, ""), zone.name)))
        return await self._lookups.get(name, "A", give_up=min(zone.timeout, _PATIENCE))
