"""The store of state: what greylisting has seen and how much rates have counted, in SQLite or in Redis (docs/store.md).

It may go at any time, and no verdict depends on it: without it greylisting lets through, and rates count in the memory
of each worker alone. The log says once that it is gone, and once that it is back.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from earmark.core.effects import Effect
from earmark.core.evidence import Fact, Greylisting, Question, Status, Taking
from earmark.log import Log
from earmark.stores.buckets import Buckets
from earmark.stores.state_sqlite import FILE_NAME, SqliteState

Deliver = Callable[[Question, Fact], None]


class Store(Protocol):
    """One way of keeping state; see `SqliteState`, `RedisState`."""

    lost: int

    def ask(self, question: Greylisting | Taking, deliver: Deliver) -> None:
        """Answer, at once or later; what fails is a Fact with status TEMPERROR."""

    def do(self, effect: Effect) -> None:
        """Write, at once or later."""

    async def close(self) -> None:
        """Finish what is under way, and let go."""


class State:
    """The store that is configured, with this process's own buckets for when it is gone."""

    def __init__(self, directory: Path, log: Log, *, url: str = "", password: str = "") -> None:
        """Without `url` it is a file in `directory`. To be made after the fork, inside the event loop."""
        self._log = log
        self._name = url or str(directory / FILE_NAME)
        self._buckets = Buckets()
        self._store: Store
        if url:
            from earmark.stores.redis import RedisState  # noqa: PLC0415 - 0.2 s and 10 MB that most sites never need

            self._store = RedisState(url, password, self._changed)
        else:
            self._store = SqliteState(directory / FILE_NAME, log, self._changed)

    @property
    def lost(self) -> int:
        """Effects that were not written."""
        return self._store.lost

    def ask(self, question: Greylisting | Taking, deliver: Deliver) -> None:
        """Answer, at once or within 50 ms; never raises."""
        self._store.ask(question, lambda asked, fact: deliver(asked, self._or_own(asked, fact)))

    def do(self, effect: Effect) -> None:
        """Write an effect, at once or within 50 ms; one that cannot be written is counted in `lost`."""
        self._store.do(effect)

    async def close(self) -> None:
        """Finish what is under way, which takes 50 ms at most, and let go of the store."""
        await self._store.close()

    def _or_own(self, question: Question, fact: Fact) -> Fact:
        if fact.status is Status.TEMPERROR and isinstance(question, Taking):
            return self._buckets.take(question, time.time())
        return fact

    def _changed(self, why: str) -> None:
        if why:
            self._log.event("store_lost", level="error", store=self._name, why=why)
        else:
            self._log.event("store_back", store=self._name, lost=self.lost)
