"""The memory of verdicts: one writing thread for each worker, batches, and never in the way of mail.

Losing it costs what `earmark explain` and `earmark compare` could have told of the past, and no verdict.

`add` encodes at once, on the caller's thread: it costs the same CPU there as in the writer, and what is stored is then
what was judged, whatever the session does next. A batch is one INSERT statement: with one statement a row, the writer
would have to win the interpreter's lock from a busy event loop for each row (measured: 200 rows took 0.46 s so, 0.01 s
in one).
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from time import time

from earmark.core.record import Record
from earmark.core.text import printable
from earmark.log import Log
from earmark.serial import encode
from earmark.stores.sqlite import StoreError, is_broken, open_for_writing

FILE_NAME = "history.sqlite"
"""The history's name in the state directory."""

BATCH = 200
PAUSE = 0.2
"""Seconds after which a smaller batch is written."""

_COLUMNS = 8
_Row = tuple[str, float, str, str, str, str, str, bytes]


class History:
    """Writes records to the file. To be made after fork; several processes may write one file."""

    def __init__(self, path: Path, log: Log, *, room: int = 10_000) -> None:
        """`room` is how many records may wait for the disk; what comes on top is dropped and counted."""
        self._path = path
        self._log = log
        self._room = room
        self._rows: deque[_Row] = deque()
        self._generations: deque[tuple[str, float, bytes]] = deque()
        self._connection: sqlite3.Connection | None = None
        self._broken = False
        self._failing = False
        self._full = False
        self._closing = False
        self._some = threading.Event()
        self._enough = threading.Event()
        self.written = 0
        """Records that are in the file."""
        self.dropped = 0
        """Records that found no room, or that the file would not take."""
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """Remember a record. Never waits, never raises for what a record may hold."""
        if len(self._rows) >= self._room:
            self._drop()
            return
        try:
            raw = encode(record)
        except ValueError as error:
            self.dropped += 1
            self._log.event("history_record", level="error", id=record.id, why=str(error))
            return
        self._rows.append(
            (record.id, record.at, printable(record.queue_id), record.message_id, record.action,
             printable(record.sender.text), record.client, raw)
        )  # fmt: skip
        waiting = len(self._rows)
        if waiting == 1:
            self._some.set()
        elif waiting >= BATCH:
            self._enough.set()

    def _drop(self) -> None:
        self.dropped += 1
        if not self._full:
            self._full = True
            self._log.event("history_full", level="error", file=str(self._path), waiting=self._room)

    def keep_generation(self, generation: str, files: Mapping[str, bytes], since: float | None = None) -> None:
        """Remember the files of the generation that judges from now on (or from `since`), once by its hash."""
        self._generations.append((generation, time() if since is None else since, encode(dict(files))))
        self._some.set()

    def close(self, deadline: float) -> bool:
        """Write what waits, for at most `deadline` seconds. Return whether everything was written."""
        self._closing = True
        self._some.set()
        self._enough.set()
        self._thread.join(deadline)
        return not self._thread.is_alive() and not self._rows

    def _run(self) -> None:
        while self._rows or self._generations or not self._closing:
            if not self._rows:
                self._some.wait()
            if not self._closing:
                self._enough.wait(PAUSE)
                self._some.clear()
                self._enough.clear()
            self._write()
            if self._closing and self._failing:
                break
        if self._connection is not None:
            self._connection.close()

    def _write(self) -> None:
        generations = [self._generations.popleft() for _ in range(len(self._generations))]
        rows = [self._rows.popleft() for _ in range(min(len(self._rows), BATCH))]
        try:
            self._store(generations, rows)
        except (sqlite3.Error, StoreError, OSError) as error:
            self._fail(error, len(rows))
            self._generations.extendleft(reversed(generations))
        else:
            self._succeed(len(rows))

    def _store(self, generations: list[tuple[str, float, bytes]], rows: list[_Row]) -> None:
        if self._connection is None:
            self._connection = open_for_writing(self._path, self._log, thorough=self._broken)
        keep = (
            "INSERT INTO generation VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET since = max(since, excluded.since)"
        )
        for generation in generations:
            self._connection.execute(keep, generation)
        if rows:
            places = ", ".join([f"({', '.join('?' * _COLUMNS)})"] * len(rows))
            values = [value for row in rows for value in row]
            self._connection.execute(f"INSERT OR IGNORE INTO verdict VALUES {places}", values)  # noqa: S608 - places only

    def _fail(self, error: Exception, rows: int) -> None:
        """Count what is lost and begin anew with the next batch; the log says it once."""
        self.dropped += rows
        self._broken = isinstance(error, sqlite3.Error) and is_broken(error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if not self._failing:
            self._failing = True
            self._log.event("history_failed", level="error", file=str(self._path), why=str(error))

    def _succeed(self, rows: int) -> None:
        self.written += rows
        self._broken = False
        if self._failing or self._full:
            self._failing = self._full = False
            self._log.event("history_resumed", file=str(self._path), dropped=self.dropped)
