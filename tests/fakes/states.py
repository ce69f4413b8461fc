"""A store of state with its log in memory, and how tests ask it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from earmark.core.evidence import Fact, Greylisting, Question, Taking
from earmark.log import Log
from earmark.stores.state import State

TRIPLET = Greylisting("192.0.2.0/24", "example.net", "example.org")
BUCKET = Taking("client", "192.0.2.7", "2/3600")


class Observed:
    """A State, and what it has logged."""

    def __init__(self, directory: Path, url: str, password: str) -> None:
        self._lines = io.BytesIO()
        self.state = State(directory, Log(self._lines), url=url, password=password)

    def log(self) -> str:
        return self._lines.getvalue().decode()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines()]

    def told(self) -> list[str]:
        """The names of the events."""
        return [event["event"] for event in self.events()]

    async def ask(self, question: Greylisting | Taking) -> Fact:
        """Return the answer; it comes exactly once."""
        answers: list[Fact] = []
        come = asyncio.Event()

        def deliver(asked: Question, fact: Fact) -> None:
            assert asked == question
            answers.append(fact)
            come.set()

        self.state.ask(question, deliver)
        async with asyncio.timeout(5):
            await come.wait()
        assert len(answers) == 1
        return answers[0]

    def ask_at_once(self, question: Greylisting | Taking) -> Fact | None:
        """Return the answer that comes without any wait; None where it takes one."""
        answers: list[Fact] = []
        self.state.ask(question, lambda _, fact: answers.append(fact))
        return answers[0] if answers else None


@asynccontextmanager
async def observed(directory: Path, url: str = "", password: str = "") -> AsyncIterator[Observed]:
    """Give a store in a directory, or at a URL."""
    made = Observed(directory, url, password)
    try:
        yield made
    finally:
        await made.state.close()
