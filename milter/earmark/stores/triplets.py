"""What a store remembers of a greylisted triplet, and the Fact that it makes."""

from typing import NamedTuple

from earmark.core.evidence import Fact, Greylisting, Status

_NEVER = 1e12
"""Seconds since the epoch."""


def time_of(value: str | float) -> float:
    """Return what a store gives as a time. Raises ValueError for what is none."""
    number = float(value)
    if not 0 <= number < _NEVER:
        raise ValueError(f"not a time: {number}")
    return number


class Triplet(NamedTuple):
    """A triplet. Times are seconds since the epoch; 0 means never."""

    origin: str
    sender: str
    recipient: str
    """"*" for origin and sender as a pair."""
    first: float
    """The first attempt, or the first passing of who never had to wait."""
    id: str
    """The verdict of the first attempt."""
    tries: int
    """How often it was told to come back."""
    passed: float
    """When it was first let through."""
    last: float
    """When it last came."""
    times: int
    """How often it was noted as let through."""
    until: float
    """When it will be forgotten."""

    @property
    def question(self) -> Greylisting:
        """What asks about it."""
        return Greylisting(self.origin, self.sender, self.recipient)

    def fact(self, at: float, source: str) -> Fact:
        """Return the answer to that."""
        if self.passed:
            return Fact(Status.PASS, (repr(self.passed), repr(self.last), str(self.times)), at=at, source=source)
        return Fact(Status.FAIL, (repr(self.first), self.id), at=at, source=source)
