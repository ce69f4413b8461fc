"""Answers that are still good, by what was asked: bounded, what was not asked for longest goes first.

Two dicts, the young and the old. What is put goes into the young one, and so does what is found in the old one; when
the young one holds half of what may be kept it becomes the old one, and the old one is let go as a whole. Nothing is
deleted one by one: a dict that is filled and emptied at the same time is compacted now and then, and memory grows by
steps that never come back.

A long answer counts as several: whoever sends mail chooses names, and what is answered about them.
"""

from collections.abc import Hashable

from earmark.core.evidence import Fact

Entry = tuple[float, Fact]

_CHARACTERS = 1024
"""Of an answer, for which it counts as one more."""


class Cache:
    """At most `size` Facts, 2 or more. Time is the caller's, in seconds of a clock that never jumps."""

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._more = 0
        """What the young ones count beyond their number."""
        self._young: dict[Hashable, Entry] = {}
        self._old: dict[Hashable, Entry] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: Hashable, now: float) -> Fact | None:
        """Return the Fact as it was learnt, if it is still good."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                return None
            if now < found[0]:
                self._keep(key, found)
        return found[1] if now < found[0] else None

    def put(self, key: Hashable, fact: Fact, until: float) -> None:
        """Keep a Fact until that time, or until the room is needed."""
        self._keep(key, (until, fact))

    def _keep(self, key: Hashable, entry: Entry) -> None:
        self._young[key] = entry
        data = entry[1].data
        if data:
            self._more += sum(map(len, data)) // _CHARACTERS
        if len(self._young) + self._more >= self._half:
            self._old, self._young, self._more = self._young, {}, 0
