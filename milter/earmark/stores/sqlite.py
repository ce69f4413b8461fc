"""The history's SQLite file: its schema, its versions, and how it is opened (docs/schemas.md).

Opening for writing goes under a lock beside the file, since several workers start at once: one creates or migrates, and
a broken file is moved aside once.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from earmark.log import Log

VERSION = 1
"""`PRAGMA user_version` of the files that this program writes."""

_BUSY = 5.0
"""Seconds that a connection waits for another's lock. No transaction of ours comes near that."""

_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_MIGRATIONS = (
    # to version 1
    """
    CREATE TABLE verdict (
        id TEXT PRIMARY KEY,
        at REAL NOT NULL,
        queue_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        action TEXT NOT NULL,
        sender TEXT NOT NULL,
        client TEXT NOT NULL,
        record BLOB NOT NULL
    );
    CREATE INDEX verdict_queue_id ON verdict (queue_id) WHERE queue_id <> '';
    CREATE INDEX verdict_message_id ON verdict (message_id) WHERE message_id <> '';
    CREATE TABLE generation (
        id TEXT PRIMARY KEY,
        since REAL NOT NULL,
        files BLOB NOT NULL
    );
    """,
)


class StoreError(Exception):
    """The history cannot be used; the message says which file and why."""


def open_for_writing(path: Path, log: Log, *, thorough: bool = False) -> sqlite3.Connection:
    """Open, create or migrate a history; a broken one is moved aside to `*.broken`, which the log says.

    `thorough` reads the whole file for faults, which takes seconds for a large one. Raises StoreError or sqlite3.Error.
    """
    with _locked(path):
        try:
            return _prepared(path, thorough=thorough)
        except sqlite3.DatabaseError as error:
            if not is_broken(error):
                raise
            aside = _move_aside(path)
            log.event("history_broken", level="error", file=str(path), moved_to=str(aside), why=str(error))
            return _prepared(path)


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a history that is there. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"{path}: there is no history")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY)
        version = _version(connection)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    if version != VERSION:
        connection.close()
        raise StoreError(_other_version(path, version))
    return connection


def is_broken(error: sqlite3.Error) -> bool:
    """Return whether the file itself is at fault, not the disk, a lock or the statement."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(path.name + ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _create(path)
        yield


def _create(path: Path) -> None:
    """Make an empty file that the world cannot read: it will hold mail addresses. SQLite gives the others its mode."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640))


def _prepared(path: Path, *, thorough: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA page_size = 8192")  # a record has about 2.3 kB: a page of 4096 would hold one
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # like the one above, holds only before the first table
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        if thorough:
            _check(connection)
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said != "ok":
        error = sqlite3.DatabaseError(said)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection)
    if version > VERSION:
        raise StoreError(_other_version(path, version))
    for number in range(version, VERSION):
        connection.executescript(f"BEGIN IMMEDIATE; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    connection.execute("SELECT count(*) FROM sqlite_schema")  # a broken header shows here, not in the pragma
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _other_version(path: Path, version: int) -> str:
    if version > VERSION:
        return f"{path}: schema version {version} is newer than this program knows ({VERSION}); use a newer earmark"
    return f"{path}: schema version {version} is older than this program reads ({VERSION}); the service migrates it"


def _move_aside(path: Path) -> Path:
    """Keep one broken file at most: a fault that returns must not fill the disk."""
    aside = path.with_name(path.name + ".broken")
    path.replace(aside)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    _create(path)
    return aside
