"""SQLite files: their schemas, their versions, and how they are opened (docs/schemas.md).

Opening for writing goes under a lock beside the file, since several workers start at once: one creates or migrates, and
a broken file is moved aside once.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from earmark.log import Log

_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Schema(NamedTuple):
    """A kind of file, and how it came to its present form."""

    name: str
    """For log events and messages, such as "history"."""
    migrations: tuple[str, ...]
    """Each leads to the next version, from 0, which is an empty file."""
    busy: float = 5.0
    """Seconds that a connection waits for another's lock."""

    @property
    def version(self) -> int:
        """`PRAGMA user_version` of the files that this program writes."""
        return len(self.migrations)


HISTORY = Schema(
    "history",
    (
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
    ),
)

VERSION = HISTORY.version


class StoreError(Exception):
    """The file cannot be used; the message says which and why."""


def open_for_writing(path: Path, log: Log, schema: Schema = HISTORY, *, thorough: bool = False) -> sqlite3.Connection:
    """Open, create or migrate a file; a broken one is moved aside to `*.broken`, which the log says.

    `thorough` reads the whole file for faults, which takes seconds for a large one. Raises StoreError or sqlite3.Error.
    """
    with _locked(path):
        try:
            return _prepared(path, schema, thorough=thorough)
        except sqlite3.DatabaseError as error:
            if not is_broken(error):
                raise
            aside = _move_aside(path)
            log.event(f"{schema.name}_broken", level="error", file=str(path), moved_to=str(aside), why=str(error))
            return _prepared(path, schema)


def open_for_reading(path: Path, schema: Schema = HISTORY) -> sqlite3.Connection:
    """Open a file that is there. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"{path}: there is no {schema.name}")
    return _open_as(path, schema, "mode=ro")


def look_into(path: Path, schema: Schema = HISTORY) -> None:
    """Open a file that is there, and leave nothing behind. Raises StoreError, and OSError where we may not look."""
    log = path.with_name(path.name + "-wal")
    how = "mode=ro" if log.exists() else "mode=ro&immutable=1"  # a reader would make the log, if nobody has it open
    path.stat()
    _open_as(path, schema, how).close()


def _open_as(path: Path, schema: Schema, how: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=schema.busy)
        version = _version(connection)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    if version != schema.version:
        connection.close()
        raise StoreError(_other_version(path, version, schema.version))
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


def _prepared(path: Path, schema: Schema, *, thorough: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=schema.busy, isolation_level=None, check_same_thread=False)
    try:
        if not path.stat().st_size:  # both hold only before the first table; later they would wait for who is writing
            connection.execute("PRAGMA page_size = 8192")  # a record has about 2.3 kB: a page of 4096 would hold one
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        if thorough:
            _check(connection)
        _migrate(connection, path, schema)
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


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    version = _version(connection)
    if version > schema.version:
        raise StoreError(_other_version(path, version, schema.version))
    for number in range(version, schema.version):
        migration = schema.migrations[number]
        connection.executescript(f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {number + 1}; COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    connection.execute("SELECT count(*) FROM sqlite_schema")  # a broken header shows here, not in the pragma
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _other_version(path: Path, version: int, ours: int) -> str:
    if version > ours:
        return f"{path}: schema version {version} is newer than this program knows ({ours}); use a newer earmark"
    return f"{path}: schema version {version} is older than this program reads ({ours}); the service migrates it"


def _move_aside(path: Path) -> Path:
    """Keep one broken file at most: a fault that returns must not fill the disk."""
    aside = path.with_name(path.name + ".broken")
    path.replace(aside)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    _create(path)
    return aside
