"""Answers that take several look-ups: worked on once for all who ask at once, remembered, summed up in one Fact."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from earmark.clients.dns.cache import Cache
from earmark.clients.dns.lookups import Lookups
from earmark.core.evidence import Fact, Question, Status

Deliver = Callable[[Question, Fact], None]

Asked = TypeVar("Asked", bound=Question)


class Chains(ABC, Generic[Asked]):
    """A client whose every answer is a chain of look-ups; a subclass says in `answer` how it goes."""

    def __init__(self, resolver: Lookups, *, cache_size: int = 20_000) -> None:
        self._resolver = resolver
        self._cache = Cache(cache_size)
        self._open: dict[Asked, list[Deliver]] = {}
        self._tasks: dict[Asked, asyncio.Task[None]] = {}

    @abstractmethod
    async def answer(self, question: Asked) -> Fact:
        """Find the answer. What is TEMPERROR is not remembered."""

    def ask(self, question: Asked, deliver: Deliver) -> None:
        """Begin to answer; `deliver` is called once, perhaps at once."""
        known = self._cache.get(question, time.monotonic())
        if known is not None:
            deliver(question, known)
        elif question in self._open:
            self._open[question].append(deliver)
        else:
            self._open[question] = [deliver]
            self._tasks[question] = asyncio.get_running_loop().create_task(self._work_on(question))

    def close(self) -> None:
        """Stop working. Who still waits is told TEMPERROR."""
        for task in self._tasks.values():
            task.cancel()
        for question in list(self._open):
            self._finish(question, unknown("closed"))

    async def _work_on(self, question: Asked) -> None:
        fact = unknown("broken off")
        try:
            fact = await self.answer(question)
            if fact.status is not Status.TEMPERROR:
                # never for longer than the TTL says, even where the clock has been set back since `at`
                left = min(fact.at + fact.ttl - time.time(), fact.ttl)
                self._cache.put(question, fact, time.monotonic() + left)
        finally:
            self._finish(question, fact)

    def _finish(self, question: Asked, fact: Fact) -> None:
        self._tasks.pop(question, None)
        for deliver in self._open.pop(question, ()):
            try:
                deliver(question, fact)
            except Exception as error:  # noqa: BLE001 - our own bug, reported; the others get their answer
                context = {"message": f"taking an answer of {type(self).__name__}", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)


async def ask_all(
    resolver: Lookups, asked: Sequence[tuple[str, str]], enough: Callable[[Fact], bool] = lambda _: False
) -> list[Fact | None]:
    """Ask side by side; return when all have answered or one answer is enough; what was not waited for is None."""
    answers: list[Fact | None] = [None] * len(asked)
    over = asyncio.get_running_loop().create_future()
    left = len(asked)

    def take(position: int, fact: Fact) -> None:
        nonlocal left
        if over.done():
            return
        answers[position] = fact
        left -= 1
        if not left or enough(fact):
            over.set_result(None)

    for position, (name, rtype) in enumerate(asked):
        resolver.lookup(name, rtype, lambda fact, position=position: take(position, fact))  # type: ignore[misc] # a default binds it
    if asked:
        await over
    return answers


def sum_up(status: Status, data: tuple[str, ...], answers: Sequence[Fact], why: str = "") -> Fact:
    """Return one Fact for several: good until the first of them ends, as old as the oldest."""
    at = min(fact.at for fact in answers)
    until = min(fact.at + fact.ttl for fact in answers)
    return Fact(status, data, max(int(until - at), 0), at, answers[-1].source, why)


def unknown(why: str) -> Fact:
    """Return the Fact of a chain that broke off on our side."""
    return Fact(Status.TEMPERROR, (), 0, time.time(), "earmark", why)
