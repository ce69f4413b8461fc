"""Answers that are still good, by what was asked: bounded, the least recently used go first."""

from collections import OrderedDict
from collections.abc import Hashable

from earmark.core.evidence import Fact


class Cache:
    """At most `size` Facts. Time is the caller's, in seconds of a clock that never jumps."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, tuple[float, Fact]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, now: float) -> Fact | None:
        """Return the Fact as it was learnt, if it is still good."""
        found = self._kept.get(key)
        if found is None:
            return None
        until, fact = found
        if now >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return fact

    def put(self, key: Hashable, fact: Fact, until: float) -> None:
        """Keep a Fact until that time, or until the room is needed."""
        self._kept[key] = (until, fact)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
