"""Held messages as literals, a quarantine with its log in memory, and how tests use it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.content import Content
from earmark.core.evidence import Fact, Question, Release
from earmark.core.held import Held, HeldRecipient
from earmark.core.mail import Header
from earmark.log import Log
from earmark.stores import quarantine_index as index
from earmark.stores.quarantine import DIRECTORY, Quarantine
from earmark.stores.quarantine_files import opened
from earmark.stores.quarantine_index import Row

ID = "0123456789AB"
BOB, EVE = "bob@example.org", "eve@example.net"
HEADERS = (Header(b"From", b" a@example.net"), Header(b"Subject", b" folded\n\tonce"))
BODY = b"one\r\n.two\r\nthree\r\n"
MESSAGE = b"From: a@example.net\r\nSubject: folded\r\n\tonce\r\n\r\n" + BODY


def recipient(address: str = BOB, *, infected: bool = True, days: int = 30, megabytes: int = 1) -> HeldRecipient:
    domain = address.rpartition("@")[2]
    why = "VIRUS: ClamAV found Win.Test" if infected else "SPAM_CONFIRMED: SpamAssassin gives 20.00"
    return HeldRecipient(address, domain, domain, "quarantine", infected, (why,), days, megabytes)


def held(message_id: str = ID, *recipients: HeldRecipient, at: float = 4e9, sender: str = "a@example.net") -> Held:
    return Held(
        message_id,
        at,
        "192.0.2.7",
        "mail.example.net",
        sender,
        "",
        "4XyzQ",
        "<m1@example.net>",
        "folded once",
        recipients or (recipient(),),
    )


def content(body: bytes = BODY) -> Content:
    made = Content(HEADERS)
    made.add(body)
    made.finish()
    return made


@dataclass(frozen=True)
class Observed:
    """A Quarantine, its directory, and what it has logged."""

    quarantine: Quarantine
    directory: Path
    lines: io.BytesIO

    async def keep(self, held: Held, message: Content | None = None) -> str:
        """Return why it is not kept; `done` is called exactly once."""
        answers: list[str] = []
        come = asyncio.Event()

        def done(why: str) -> None:
            answers.append(why)
            come.set()

        self.quarantine.keep(held, message or content(), done)
        async with asyncio.timeout(20):
            await come.wait()
        assert len(answers) == 1
        return answers[0]

    async def ask(self, message_id: str, token: str) -> Fact:
        answer: asyncio.Future[Fact] = asyncio.get_running_loop().create_future()

        def deliver(_: Question, fact: Fact) -> None:
            answer.set_result(fact)

        self.quarantine.ask(Release(message_id, token), deliver)
        async with asyncio.timeout(20):
            return await answer

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]


@asynccontextmanager
async def quarantine(state: Path) -> AsyncIterator[Observed]:
    """Give a quarantine in a state directory."""
    lines = io.BytesIO()
    made = Quarantine(state / DIRECTORY, Log(lines))
    try:
        yield Observed(made, state / DIRECTORY, lines)
    finally:
        await made.close()


def quiet() -> Log:
    return Log(io.BytesIO())


@contextmanager
def indexed(directory: Path) -> Iterator[Any]:
    """Give the index of a quarantine."""
    with index.opened(directory, quiet()) as connection:
        yield connection


def rows(directory: Path) -> list[Row]:
    with indexed(directory) as connection:
        return index.rows(connection)


def messages(directory: Path) -> list[str]:
    """Return the names of the files that are not the index's."""
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith(index.FILE_NAME))


def message(directory: Path, message_id: str = ID) -> bytes:
    with opened(directory, message_id) as stored:
        return stored.file.read()


def keep_all(state: Path, *several: Held) -> None:
    """Have messages held by a service that has ended."""

    async def keep() -> None:
        async with quarantine(state) as store:
            for one in several:
                assert await store.keep(one) == ""

    asyncio.run(keep())
