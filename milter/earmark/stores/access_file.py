"""The allow and deny lists as a SQLite file, which commands write and workers read (docs/access.md).

Losing it loses what was entered by hand: `earmark allow export` and `earmark deny export` write what brings it back. So
a broken file is never moved out of the way by itself; whoever would write to it is told.

It has a rollback journal, not a write-ahead log: it is written seldom, and its readers then need nothing but the file.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sys import intern

from earmark.core.access import Entry, Kind, Verb
from earmark.stores.sqlite import StoreError

FILE_NAME = "access.sqlite"
"""The file's name in the state directory."""

VERSION = 1
"""`PRAGMA user_version` of the files that this program writes."""

_BUSY = 10.0
"""Seconds that a command waits for another one to have written."""

_TABLE = """
CREATE TABLE entry (
    verb TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    scope TEXT NOT NULL,
    expires INTEGER NOT NULL,
    unauthenticated INTEGER NOT NULL,
    author TEXT NOT NULL,
    created TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (verb, kind, subject, scope)
) STRICT, WITHOUT ROWID
"""
_COLUMNS = ", ".join(Entry._fields)
_TYPES = (str, str, str, str, int, int, str, str, str)
_SAME = "verb = ? AND kind = ? AND subject = ? AND scope = ?"

Key = tuple[Verb, Kind, str, str]
"""Verb, kind, subject and scope: of these there is one entry."""


def key_of(entry: Entry) -> Key:
    """Return what no other entry has."""
    return entry.verb, entry.kind, entry.subject, entry.scope


def connect(path: Path) -> sqlite3.Connection:
    """Open a file that is there; whoever may write to it undoes what a killed command left half done.

    Raises sqlite3.Error.
    """
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY, isolation_level=None)


def rows(connection: sqlite3.Connection, path: Path) -> Iterator[Entry]:
    """Yield all entries. Raises StoreError for a file of another version, ValueError for a row that is none."""
    version = _version(connection)
    if version > VERSION:
        raise StoreError(f"{path}: version {version} is newer than this program knows ({VERSION}); use a newer earmark")
    if version:
        for row in connection.execute(f"SELECT {_COLUMNS} FROM entry"):  # noqa: S608 - our own column names
            if tuple(map(type, row)) != _TYPES:
                raise ValueError("a row that is no entry")
            verb, kind, subject, scope, expires, unauthenticated, author, created, note = row
            # texts that many entries share are kept once
            shared = intern(scope), intern(author), intern(created)
            yield Entry(Verb(verb), Kind(kind), subject, shared[0], expires, bool(unauthenticated), *shared[1:], note)


def read(path: Path) -> list[Entry]:
    """Return all entries, expired ones too; none where there is no file. Raises StoreError."""
    if not path.exists():
        return []
    try:
        with closing(connect(path)) as connection:
            return list(rows(connection, path))
    except (sqlite3.Error, ValueError) as error:
        raise StoreError(f"{path}: {error}") from error


def look_into(path: Path) -> None:
    """Read a file that is there, and leave nothing behind. Raises StoreError, and OSError where we may not look."""
    path.stat()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY)) as connection:
            for _ in rows(connection, path):
                pass
    except (sqlite3.Error, ValueError) as error:
        raise StoreError(f"{path}: {error}") from error


def put(path: Path, entries: Iterable[Entry]) -> int:
    """Write the entries, all or none, each in place of one with the same key; return how many took such a place.

    Raises StoreError.
    """
    places = ", ".join("?" * len(Entry._fields))
    replaced = 0
    with _writing(path) as connection:
        for entry in entries:
            replaced += connection.execute(f"DELETE FROM entry WHERE {_SAME}", key_of(entry)).rowcount  # noqa: S608 - ours
            connection.execute(f"INSERT INTO entry ({_COLUMNS}) VALUES ({places})", entry)  # noqa: S608 - ours
    return replaced


def remove(path: Path, key: Key) -> bool:
    """Take an entry out; return whether it was there. Raises StoreError."""
    if not path.exists():
        return False
    with _writing(path) as connection:
        return connection.execute(f"DELETE FROM entry WHERE {_SAME}", key).rowcount > 0  # noqa: S608 - ours


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a transaction that ends with the block; several commands follow one another."""
    try:
        # Addresses of mail stand in it: nothing for the world to read. SQLite gives its journal the same mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640))
        with closing(connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            version = _version(connection)
            if version > VERSION:
                raise StoreError(f"{path}: version {version} is newer than this program knows ({VERSION})")
            if not version:
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            yield connection
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
