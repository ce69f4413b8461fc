"""Token buckets: the arithmetic, and those of one process.

A bucket is one number, the time at which it will be full again. A token taken moves that time by what it takes to drip
in; a bucket that is full by now need not be kept. (Networks call this the generic cell rate algorithm.)
"""

import math
from functools import lru_cache

from earmark.core.evidence import Fact, Status, Taking

_SLACK = 1e-6
"""Seconds by which clocks and sums of floats may be off."""


@lru_cache(maxsize=256)
def read_limit(limit: str) -> tuple[int, int]:
    """Return tokens and seconds of a limit such as "30/60"."""
    tokens, _, seconds = limit.partition("/")
    return int(tokens), int(seconds)


def take(limit: str, full_at: float, now: float) -> tuple[bool, float]:
    """Return whether there was a token, and when the bucket will be full again, one token taken.

    What cannot be is put right: a time that is no number, or further off than an empty bucket needs.
    """
    tokens, seconds = read_limit(limit)
    full_at = min(full_at, now + seconds) if full_at > now else now  # so written for NaN, which is not above anything
    after = full_at + seconds / tokens
    return (True, after) if after <= now + seconds + _SLACK else (False, full_at)


def answer(limit: str, *, taken: bool, full_at: float, now: float, source: str) -> Fact:
    """Return the Fact for a Taking, after `take`."""
    tokens, seconds = read_limit(limit)
    drip = seconds / tokens
    left = max(math.floor((now + seconds - full_at + _SLACK) / drip), 0)
    wait = 0 if left else max(math.ceil(full_at + drip - now - seconds - _SLACK), 1)
    return Fact(Status.PASS if taken else Status.FAIL, (str(left), str(wait)), at=now, source=source)


class Buckets:
    """The buckets of one process: what counts while the store is gone. Losing them lets each sender begin anew."""

    def __init__(self, room: int = 10_000) -> None:
        """`room` is how many are kept; when as many new ones have come, those not used since are forgotten."""
        self._room = room
        self._young: dict[Taking, float] = {}
        self._old: dict[Taking, float] = {}

    def take(self, taking: Taking, now: float) -> Fact:
        """Take a token."""
        known = self._young.get(taking) or self._old.get(taking, 0.0)
        taken, full_at = take(taking.limit, known, now)
        if len(self._young) >= self._room:
            self._young, self._old = {}, self._young
        self._young[taking] = full_at
        return answer(taking.limit, taken=taken, full_at=full_at, now=now, source="memory")
