"""The quarantine, as a worker uses it: a message is answered for only when it is safely on disk (docs/quarantine.md).

What is written goes piece by piece: read on the event loop, since the message may be closed there at any time, and
written in a thread, since a disk may take its time.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from earmark.content import Content
from earmark.core.evidence import Fact, Question, Release, Status
from earmark.core.held import Held
from earmark.log import Log
from earmark.stores import quarantine_index as index
from earmark.stores.quarantine_files import NewFile
from earmark.stores.sqlite import StoreError

DIRECTORY = "quarantine"
"""The directory's name in the state directory."""

_SOURCE = "quarantine"
_AT_ONCE = 4
"""Messages that are written at once."""
_LAST_WRITE = 5.0
"""Seconds that what is being written may take at the end."""

T = TypeVar("T")
Deliver = Callable[[Question, Fact], None]


class Quarantine:
    """Holds messages, and knows those that are being released.

    To be made after the fork; several may share a directory.
    """

    def __init__(self, directory: Path, log: Log) -> None:
        """Take a directory that is made with the first message."""
        self._directory = directory
        self._log = log
        self._threads = ThreadPoolExecutor(_AT_ONCE, "quarantine")
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, held: Held, content: Content, done: Callable[[str], None]) -> None:
        """Write a whole message; `done` gets "" when it is on the disk, else why it is not, and nothing is left of it.

        A message that is closed meanwhile is not kept: who closed it has answered for it otherwise, or cannot any more.
        """

        async def keep() -> None:
            done(await self._keep(held, content))

        self._begin(keep())

    def ask(self, question: Release, deliver: Deliver) -> None:
        """Say whether this is a release under way, which is then known; the second time it is not."""

        async def answer() -> None:
            deliver(question, await self._answer(question))

        self._begin(answer())

    async def close(self) -> None:
        """Finish what is being written."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_WRITE)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _thread(self, work: Callable[..., T], *values: Any) -> T:  # noqa: ANN401 - those of `work`
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *values)

    async def _keep(self, held: Held, content: Content) -> str:
        file: NewFile | None = None
        try:
            await self._thread(self._assert_room, held, content.size)
            file = await self._thread(NewFile, self._directory, held)
            for piece in content.chunks():
                await self._thread(file.write, piece)
            _assert_whole(content)
            await self._thread(file.keep)
            await self._thread(self._enter, held, file.size)
            _assert_whole(content)
        except (StoreError, OSError, ValueError) as error:
            why = str(error) or type(error).__name__
            level = "warning" if content.why else "error"  # who closed it had no use for the answer any more
            self._log.event("quarantine_failed", level=level, id=held.id, why=why)
            await self._thread(self._undo, held.id, file)
            return why
        return ""

    def _assert_room(self, held: Held, size: int) -> None:
        if self._directory.is_dir():
            with index.opened(self._directory, self._log) as connection:
                index.assert_room(connection, held, size, time.time())

    def _enter(self, held: Held, size: int) -> None:
        with index.opened(self._directory, self._log) as connection, index.transaction(connection):
            index.assert_room(connection, held, size, time.time())  # others have written meanwhile
            index.enter(connection, held, size)

    def _undo(self, message_id: str, file: NewFile | None) -> None:
        """Remove the file, and then its rows: in this order nobody finds a file without rows and makes them anew."""
        try:
            if file is not None:
                file.discard()
                with index.opened(self._directory, self._log) as connection:
                    index.forget(connection, message_id)
        except (StoreError, OSError) as error:
            self._log.event("quarantine_left", level="error", id=message_id, why=str(error))

    async def _answer(self, question: Release) -> Fact:
        try:
            released = await self._thread(self._spend, question)
        except (StoreError, OSError) as error:
            return Fact(Status.TEMPERROR, at=time.time(), source=_SOURCE, why=str(error))
        return Fact(Status.PASS if released else Status.NONE, at=time.time(), source=_SOURCE)

    def _spend(self, question: Release) -> bool:
        if not self._directory.is_dir():
            return False
        with index.opened(self._directory, self._log) as connection:
            return index.spend(connection, question.id, question.token, time.time())


def _assert_whole(content: Content) -> None:
    if content.why:
        raise StoreError(f"the message is gone: {content.why}")
