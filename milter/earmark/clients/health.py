"""Which lists may be asked: a few bytes a list in memory that the supervisor makes and all its children share.

The watcher writes what the canaries say, any worker opens a breaker, everybody reads. Each byte has one meaning and is
written whole, so no lock is needed; the two that say whether to ask lie side by side and are read as one.
"""

import mmap
from collections.abc import Iterable, Sequence

from earmark.core.canaries import CONDITIONS, Condition, State
from earmark.core.evidence import DISARMED

_BYTES = 4
"""A list: condition and breaker in the first half of the memory; good rounds and those needed in the second."""


class Health:
    """The lists of one generation. To be made before the processes that share it are forked."""

    def __init__(self, zones: Iterable[str]) -> None:
        """Begin with every list unchecked and every breaker closed."""
        self.zones = tuple(zones)
        self._places = {zone: place for place, zone in enumerate(self.zones)}
        half = _BYTES // 2 * len(self.zones)
        self._bytes = memoryview(mmap.mmap(-1, max(2 * half, 1)))[: 2 * half]
        self._rounds = self._bytes[half:]
        self.trouble: Sequence[int] = self._bytes[:half].cast("H")
        """By place: 0 for a list that may be asked."""
        for place in range(len(self.zones)):
            self.set_state(place, State())

    def place(self, zone: str) -> int:
        """Return the number under which a list is found here. Raises KeyError for one that is not."""
        return self._places[zone]

    def state(self, place: int) -> State:
        """Return what the watcher last found."""
        good, needed = self._rounds[2 * place : 2 * place + 2]
        return State(CONDITIONS[self._bytes[2 * place]], good, needed)

    def set_state(self, place: int, state: State) -> None:
        """Say what the watcher has found."""
        self._rounds[2 * place], self._rounds[2 * place + 1] = state.good, state.needed
        self._bytes[2 * place] = CONDITIONS.index(state.condition)

    def is_open(self, place: int) -> bool:
        """Return whether a list's breaker is open: it has not answered lately."""
        return self._bytes[2 * place + 1] != 0

    def set_open(self, place: int, *, is_open: bool) -> None:
        """Open or close a breaker."""
        self._bytes[2 * place + 1] = is_open

    def why_not(self, place: int) -> str:
        """Return why a list is not asked, for people; "" where it is."""
        condition = CONDITIONS[self._bytes[2 * place]]
        if self.is_open(place) and condition in (Condition.ARMED, Condition.UNCHECKED):
            return "breaker open: it does not answer"
        return "" if condition is Condition.ARMED else f"{DISARMED}: {condition}"

    @property
    def settled(self) -> bool:
        """Whether of each list something is known: armed, not armed, or silent."""
        return not any(
            self.state(place).condition is Condition.UNCHECKED and not self.is_open(place)
            for place in range(len(self.zones))
        )

    def take_over(self, before: "Health") -> None:
        """Take over what another generation knows of the lists that both have."""
        for place, zone in enumerate(self.zones):
            if zone in before.zones:
                there = before.place(zone)
                self.set_state(place, before.state(there))
                self.set_open(place, is_open=before.is_open(there))
