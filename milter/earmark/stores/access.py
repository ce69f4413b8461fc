"""The allow and deny lists in memory: answers at once, and follows the file within a second or so.

Each worker has its own copy. Losing it costs nothing; the file holds the same. Where the file cannot be read, the last
copy goes on answering; where there was none yet, nobody knows who is allowed, which refuses nobody.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time

from earmark.core.access import entry_text
from earmark.core.access_index import AccessIndex
from earmark.core.evidence import Entries, Fact, Question, Status
from earmark.log import Log
from earmark.stores.access_file import connect, rows
from earmark.stores.sqlite import StoreError

EVERY = 0.25
"""Seconds between two looks at the file: one page of it, which the system has in memory."""
_PAUSE = 5.0
"""Seconds until a file that could not be read is tried again."""
_BUSY = 5.0
"""Seconds that the first reading waits for a command that is writing."""
_AT_ONCE = 500
"""Entries that are read in one turn of the event loop: about 3 ms."""
_END = object()

Deliver = Callable[[Question, Fact], None]


class AccessLists:
    """Answers Entries. To be made after fork."""

    def __init__(self, path: Path, log: Log) -> None:
        """Read the file, which takes 0.7 s for 100,000 entries, and 500 bytes of memory for each."""
        self._path = path
        self._log = log
        self._index: AccessIndex | None = None
        self._connection: sqlite3.Connection | None = None
        """Kept open: SQLite says to a connection whether another one has written since."""
        self._file: tuple[int, int] | None = None
        """Device and inode of what is open; None where there is no file."""
        self._version = 0
        self._why = ""
        """Why the file could not be read; "" where it could."""
        self._reading: Iterator[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = _BUSY
        for _ in self._read():
            pass

    def ask(self, question: Entries, deliver: Deliver) -> None:
        """Answer at once."""
        if self._index is None:
            deliver(question, Fact(Status.TEMPERROR, (), 0, time(), self._path.name, self._why))
            return
        lines = tuple(map(entry_text, self._index.find(question)))
        deliver(question, Fact(Status.PASS if lines else Status.NONE, lines, 0, time(), self._path.name))

    def follow(self) -> None:
        """Follow the file from now on, on the running event loop, which is never held up for another's lock."""
        self._busy = 0.0
        self._be_patient()
        self._wait()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_PAUSE if self._why else EVERY, self._look)

    def close(self) -> None:
        """Follow the file no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._reading = None
        self._hang_up()

    def _look(self) -> None:
        if self._has_changed():
            self._reading = self._read()
            self._read_on()
        else:
            self._wait()

    def _read_on(self) -> None:
        """Read some, and let others have their turn."""
        if self._reading is None:
            return
        if next(self._reading, _END) is _END:
            self._reading = None
            self._wait()
        else:
            asyncio.get_running_loop().call_soon(self._read_on)

    def _has_changed(self) -> bool:
        try:
            return bool(self._why) or self._there() != self._file or self._written() != self._version
        except (OSError, sqlite3.Error):
            return True

    def _there(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _written(self) -> int:
        """Return a number that is another one once anybody else has written."""
        if self._connection is None:
            return 0
        try:
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                return self._version  # somebody is writing: there will be something to see when that is done
            raise

    def _read(self) -> Iterator[None]:
        """Read the file, some entries between two yields; what was known before stands until all are read."""
        index = AccessIndex()
        try:
            self._open()
            if self._connection is not None:
                self._be_patient()
                self._version = self._written()
                now = time()
                for number, entry in enumerate(rows(self._connection, self._path), start=1):
                    if entry.holds_at(now):
                        index.add(entry)
                    if number % _AT_ONCE == 0:
                        yield
        except (sqlite3.Error, StoreError, OSError, ValueError) as error:
            self._fail(error)
            return
        self._index = index
        if self._why:
            self._why = ""
            self._log.event("access_resumed", file=str(self._path), entries=len(index))

    def _be_patient(self) -> None:
        """Have what is open wait for another's lock as long as it may now."""
        if self._connection is not None:
            self._connection.execute(f"PRAGMA busy_timeout = {self._busy * 1000:.0f}")

    def _open(self) -> None:
        there = self._there()
        if there != self._file or there is None or self._connection is None:
            self._hang_up()
            self._connection = connect(self._path) if there else None
            self._file = there

    def _fail(self, error: Exception) -> None:
        """Begin anew after a pause; the log says it once."""
        self._hang_up()  # with nothing open, what is there counts as changed
        if isinstance(error, sqlite3.OperationalError) and _is_busy(error):
            return
        if not self._why:
            self._log.event("access_failed", level="error", file=str(self._path), why=str(error))
        self._why = str(error) or type(error).__name__

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._file = None
        self._version = 0


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
