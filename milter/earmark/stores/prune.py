"""Keeping the history small: by age and by size, a little at a time, so that no worker waits long for the lock."""

import sqlite3
from pathlib import Path
from time import time

from earmark.log import Log
from earmark.stores.sqlite import StoreError, open_for_writing

_ROWS = 500
_PAGES = 500
_DAY = 86400.0
_MEGABYTE = 1_000_000


def prune(path: Path, log: Log, *, days: int, megabytes: int) -> int:
    """Forget verdicts older than `days`, then the oldest until the file is under `megabytes`. Return how many.

    Blocks for as long as there is something to forget. Raises StoreError or OSError. Rows are in the order of their
    writing, which is that of their age but for fractions of a second.
    """
    try:
        connection = open_for_writing(path, log)
        try:
            return _forget(connection, time() - days * _DAY, megabytes * _MEGABYTE)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


def _forget(connection: sqlite3.Connection, before: float, size: int) -> int:
    forgotten = _forget_old(connection, before) + _forget_beyond(connection, size)
    _forget_generations(connection)
    _give_back(connection)
    return forgotten


def _forget_old(connection: sqlite3.Connection, before: float) -> int:
    forgotten = 0
    while True:
        statement = "DELETE FROM verdict WHERE at < ? AND rowid IN (SELECT rowid FROM verdict ORDER BY rowid LIMIT ?)"
        count = connection.execute(statement, (before, _ROWS)).rowcount
        forgotten += count
        if count < _ROWS:
            return forgotten


def _forget_beyond(connection: sqlite3.Connection, size: int) -> int:
    forgotten = 0
    page = _pragma(connection, "page_size")
    while (excess := _used(connection) - size) > 0:
        statement = "DELETE FROM verdict WHERE rowid IN (SELECT rowid FROM verdict ORDER BY rowid LIMIT ?)"
        rows = min(_ROWS, excess // page + 1)  # a row takes less than a page, so this never forgets too much
        count = connection.execute(statement, (rows,)).rowcount
        forgotten += count
        if not count:
            break
    return forgotten


def _used(connection: sqlite3.Connection) -> int:
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return pages * _pragma(connection, "page_size")


def _forget_generations(connection: sqlite3.Connection) -> None:
    """Forget what another generation replaced a day before the oldest verdict: no draining worker takes that long."""
    row = connection.execute("SELECT at FROM verdict ORDER BY rowid LIMIT 1").fetchone()
    oldest = row[0] if row else time()
    connection.execute(
        "DELETE FROM generation WHERE EXISTS"
        " (SELECT 1 FROM generation AS newer WHERE newer.since > generation.since AND newer.since < ?)",
        (oldest - _DAY,),
    )


def _give_back(connection: sqlite3.Connection) -> None:
    """Shrink the file by its free pages; what is left in the write-ahead log is moved into it."""
    while (free := _pragma(connection, "freelist_count")) > 0:
        connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
        if _pragma(connection, "freelist_count") >= free:
            break
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
