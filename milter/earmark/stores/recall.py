"""Reading the history: a verdict by any of its names, the newest ones, a generation's files."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earmark.core.record import Record
from earmark.serial import decode
from earmark.stores.sqlite import StoreError, open_for_reading

_LONGEST = 4 * 3600.0
"""Seconds from MAIL to the end of a transaction, at the very most: SMTP clients give up long before."""
_ID_AT_LEAST = 4
"""Digits of a verdict id that are worth searching for."""


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_for_reading(path)
    try:
        yield connection
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    finally:
        connection.close()


def find(path: Path, key: str) -> Record | None:
    """Return the record of this verdict id, else the newest of this queue id or Message-ID; None for neither.

    A verdict id may be cut where what is left is unique; otherwise StoreError is raised, as for a history that cannot
    be read. A Message-ID may come without its angle brackets.
    """
    key = key.strip()
    names = (("id", key.upper()), ("queue_id", key), ("message_id", key if key.startswith("<") else f"<{key}>"))
    with _reading(path) as connection:
        found = (_newest(connection, column, name) for column, name in names)
        raw = next(filter(None, found), None) or _beginning(connection, key.upper())
    return _record(path, raw) if raw else None


def _newest(connection: sqlite3.Connection, column: str, name: str) -> bytes | None:
    query = f"SELECT record FROM verdict WHERE {column} = ? AND {column} <> '' ORDER BY rowid DESC LIMIT 1"  # noqa: S608 - ours
    row = connection.execute(query, (name,)).fetchone()
    return bytes(row[0]) if row else None


def _beginning(connection: sqlite3.Connection, start: str) -> bytes | None:
    """Return the one record whose verdict id begins so."""
    if len(start) < _ID_AT_LEAST or not start.isalnum():
        return None
    query = "SELECT record FROM verdict WHERE id >= ? AND id < ? LIMIT 2"
    rows = connection.execute(query, (start, start + "~")).fetchall()
    if len(rows) > 1:
        raise StoreError(f"several verdict ids begin with {start}")
    return bytes(rows[0][0]) if rows else None


def recent(path: Path, limit: int) -> list[Record]:
    """Return the newest records, newest first. Raises StoreError."""
    with _reading(path) as connection:
        rows = connection.execute("SELECT record FROM verdict ORDER BY rowid DESC LIMIT ?", (limit,)).fetchall()
    return [_record(path, bytes(row[0])) for row in rows]


def since(path: Path, at: float) -> Iterator[Record]:
    """Yield the records of all transactions that began at `at` (seconds since the epoch) or later, newest first.

    Raises StoreError. Rows are in the order in which transactions ended, and the longest takes hours at most.
    """
    with _reading(path) as connection:
        for began, raw in connection.execute("SELECT at, record FROM verdict ORDER BY rowid DESC"):
            if began >= at:
                yield _record(path, bytes(raw))
            elif began < at - _LONGEST:
                return


def generation_files(path: Path, generation: str) -> Mapping[str, bytes] | None:
    """Return the files of a generation as they were kept; None where they are not there. Raises StoreError."""
    with _reading(path) as connection:
        row = connection.execute("SELECT files FROM generation WHERE id = ?", (generation,)).fetchone()
    return _decoded(path, bytes(row[0]), dict[str, bytes]) if row else None


def _record(path: Path, raw: bytes) -> Record:
    record: Record = _decoded(path, raw, Record)
    return record


def _decoded(path: Path, raw: bytes, kind: type[Any]) -> Any:  # noqa: ANN401 - an instance of `kind`
    try:
        return decode(raw, kind)
    except ValueError as error:
        raise StoreError(f"{path}: a row cannot be read: {error}") from error
