"""The state of greylisting and rates in an SQLite file, shared by the workers of one machine (docs/store.md).

Operations touch one row and are done at once, on the event loop: measured, they take 20 to 200 us, and a thread would
gain nothing. Another process may hold the lock for 50 ms; then the store counts as gone for a second.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from earmark.core.effects import Attempt, Effect
from earmark.core.evidence import Fact, Greylisting, Question, Status, Taking
from earmark.log import Log
from earmark.stores.buckets import answer, take
from earmark.stores.sqlite import Schema, StoreError, is_broken, open_for_reading, open_for_writing
from earmark.stores.triplets import Triplet, time_of

FILE_NAME = "state.db"
"""The file's name in the state directory; apart from the history, whose writes are long."""

STATE = Schema(
    "state",
    (
        # to version 1
        """
        CREATE TABLE triplet (
            origin TEXT NOT NULL,
            sender TEXT NOT NULL,
            recipient TEXT NOT NULL,
            first REAL NOT NULL,
            id TEXT NOT NULL,
            tries INTEGER NOT NULL,
            passed REAL NOT NULL,
            last REAL NOT NULL,
            times INTEGER NOT NULL,
            until REAL NOT NULL,
            PRIMARY KEY (origin, sender, recipient)
        ) WITHOUT ROWID;
        CREATE INDEX triplet_until ON triplet (until);
        CREATE TABLE bucket (
            name TEXT NOT NULL,
            key TEXT NOT NULL,
            allowed TEXT NOT NULL,
            full_at REAL NOT NULL,
            PRIMARY KEY (name, key, allowed)
        ) WITHOUT ROWID;
        CREATE INDEX bucket_full_at ON bucket (full_at);
        """,
    ),
    busy=0.05,
)

_SOURCE = "sqlite"
_PAUSE = 1.0
"""Seconds after a failure in which the file is left alone, so that its trouble costs mail nothing."""
_TIDY_EVERY = 100
_TIDY_AT_MOST = 400
"""After so many writes, each of which adds one row, so many rows that hold no more are deleted: it stays small."""

_MINE = "origin = ? AND sender = ? AND recipient = ?"
_ATTEMPT = """INSERT INTO triplet VALUES (?, ?, ?, ?, ?, 1, 0, ?, 0, ?) ON CONFLICT DO UPDATE SET
    tries = tries + (last <> excluded.last), last = excluded.last"""
_PASSED = """INSERT INTO triplet VALUES (?, ?, ?, ?, '', 0, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET
    passed = CASE passed WHEN 0 THEN excluded.passed ELSE passed END,
    times = times + (times = 0 OR last <> excluded.last), last = excluded.last, until = excluded.until"""

T = TypeVar("T")


class SqliteState:
    """Greylisting and rates in a file. To be made after the fork.

    What losing it costs: waiting senders wait once more, those that passed wait again, and each bucket is full.
    """

    def __init__(
        self, path: Path, log: Log, changed: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        """Tell `changed` once why the store is gone, and "" when it is back."""
        self._path = path
        self._log = log
        self._changed = changed
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._broken = False
        self._why = ""
        self._again = 0.0
        self._writes = 0
        self.lost = 0
        """Effects that were not written."""

    def ask(self, question: Greylisting | Taking, deliver: Callable[[Question, Fact], None]) -> None:
        """Answer at once; see `core.evidence`."""
        now = self._clock()
        if isinstance(question, Taking):
            fact = self._use(lambda connection: self._take(connection, question, now))
        else:
            fact = self._use(lambda connection: _known(connection, question, now))
        deliver(question, fact or Fact(Status.TEMPERROR, at=now, source=_SOURCE, why=f"state unavailable: {self._why}"))

    def do(self, effect: Effect) -> None:
        """Write an effect."""
        if self._use(lambda connection: self._write(connection, effect)) is None:
            self.lost += 1

    async def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _use(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return what `work` returns; None where the file cannot be used."""
        if self._why and time.monotonic() < self._again:
            return None
        try:
            if self._connection is None:
                self._connection = open_for_writing(self._path, self._log, STATE, thorough=self._broken)
            result = work(self._connection)
        except (sqlite3.Error, StoreError, OSError, TypeError, ValueError, OverflowError) as error:
            self._fail(error)
            return None
        if self._why:
            self._why = ""
            self._broken = False
            self._changed("")
        return result

    def _fail(self, error: Exception) -> None:
        self._broken = isinstance(error, sqlite3.Error) and is_broken(error)
        self._again = time.monotonic() + (0 if self._broken else _PAUSE)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        known, self._why = self._why, str(error) or type(error).__name__
        if not known:
            self._changed(self._why)

    def _take(self, connection: sqlite3.Connection, taking: Taking, now: float) -> Fact:
        mine = (taking.bucket, taking.key, taking.limit)
        connection.execute("BEGIN IMMEDIATE")
        row = connection.execute(
            "SELECT full_at FROM bucket WHERE name = ? AND key = ? AND allowed = ?", mine
        ).fetchone()
        taken, full_at = take(taking.limit, float(row[0]) if row else 0.0, now)
        if taken:
            connection.execute("INSERT OR REPLACE INTO bucket VALUES (?, ?, ?, ?)", (*mine, full_at))
            self._tidy(connection, now)
        connection.execute("COMMIT")
        return answer(taking.limit, taken=taken, full_at=full_at, now=now, source=_SOURCE)

    def _write(self, connection: sqlite3.Connection, effect: Effect) -> bool:
        mine = (effect.triplet.origin, effect.triplet.sender, effect.triplet.recipient)
        at, until = effect.at, effect.at + effect.keep
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"DELETE FROM triplet WHERE {_MINE} AND until < ?", (*mine, at))  # noqa: S608 - ours
        if isinstance(effect, Attempt):
            connection.execute(_ATTEMPT, (*mine, at, effect.id, at, until))
        else:
            connection.execute(_PASSED, (*mine, at, at, at, until))
        self._tidy(connection, self._clock())
        connection.execute("COMMIT")
        return True

    def _tidy(self, connection: sqlite3.Connection, now: float) -> None:
        self._writes += 1
        if self._writes % _TIDY_EVERY:
            return
        old = "SELECT origin, sender, recipient FROM triplet WHERE until < ? LIMIT ?"
        connection.execute(
            f"DELETE FROM triplet WHERE (origin, sender, recipient) IN ({old})",  # noqa: S608 - ours
            (now, _TIDY_AT_MOST),
        )
        full = "SELECT name, key, allowed FROM bucket WHERE full_at < ? LIMIT ?"
        connection.execute(
            f"DELETE FROM bucket WHERE (name, key, allowed) IN ({full})",  # noqa: S608 - ours
            (now, _TIDY_AT_MOST),
        )


def _known(connection: sqlite3.Connection, question: Greylisting, now: float) -> Fact:
    row = connection.execute(f"SELECT * FROM triplet WHERE {_MINE} AND until >= ?", (*question[:-1], now)).fetchone()  # noqa: S608 - ours
    return _triplet(row).fact(now, _SOURCE) if row else Fact(Status.NONE, at=now, source=_SOURCE)


def _triplet(row: Sequence[Any]) -> Triplet:
    """Return a row as a triplet. Raises ValueError, TypeError or OverflowError: the file may be none of ours."""
    *names, first, told, tries, passed, last, times, until = row
    origin, sender, recipient = map(str, names)
    return Triplet(
        origin,
        sender,
        recipient,
        time_of(first),
        str(told),
        int(tries),
        time_of(passed),
        time_of(last),
        int(times),
        time_of(until),
    )


def triplets(path: Path) -> list[Triplet]:
    """Return all triplets that are remembered. Raises StoreError."""
    try:
        connection = open_for_reading(path, STATE)
        try:
            rows = connection.execute("SELECT * FROM triplet WHERE until >= ?", (time.time(),)).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    try:
        return list(map(_triplet, rows))
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"{path}: {error}") from error


def forget(path: Path, log: Log, several: Sequence[Triplet]) -> None:
    """Forget these triplets. Raises StoreError."""
    try:
        connection = open_for_writing(path, log, STATE._replace(busy=5.0))
        try:
            connection.executemany(
                f"DELETE FROM triplet WHERE {_MINE}",  # noqa: S608 - ours
                [triplet.question[:-1] for triplet in several],
            )
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: {error}") from error
