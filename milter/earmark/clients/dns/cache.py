"""Answers that are still good, by what was asked: bounded, the oldest go first.

A dict and a queue of its keys. To keep the order of last use instead would cost every hit and every miss more than it
saves: what is in constant use is asked once more each time that `size` other things have been.
"""

from collections import deque
from collections.abc import Hashable

from earmark.core.evidence import Fact


class Cache:
    """At most `size` Facts. Time is the caller's, in seconds of a clock that never jumps."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[Hashable, tuple[float, Fact]] = {}
        self._order: deque[Hashable] = deque()
        """The keys of `_kept`, each once, in the order in which they came."""

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, now: float) -> Fact | None:
        """Return the Fact as it was learnt, if it is still good."""
        found = self._kept.get(key)
        return found[1] if found is not None and now < found[0] else None

    def put(self, key: Hashable, fact: Fact, until: float) -> None:
        """Keep a Fact until that time, or until the room is needed."""
        if key not in self._kept:
            self._order.append(key)
            if len(self._order) > self._size:
                del self._kept[self._order.popleft()]
        self._kept[key] = (until, fact)
