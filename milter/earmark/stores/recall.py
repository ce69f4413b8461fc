"""Reading the history: a verdict by any of its names, the newest ones, a generation's files."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earmark.core.record import Record
from earmark.serial import decode
from earmark.stores.sqlite import StoreError, open_for_reading

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
    with _reading(path) as connection:
        raw = _by_id(connection, key.upper()) or _newest(connection, "queue_id", key)
        raw = raw or _newest(connection, "message_id", key if key.startswith("<") else f"<{key}>")
    return _record(path, raw) if raw else None


def _by_id(connection: sqlite3.Connection, key: str) -> bytes | None:
    if len(key) < _ID_AT_LEAST or not key.isalnum():
        return None
    rows = connection.execute(
        "SELECT id, record FROM verdict WHERE id >= ? AND id < ? LIMIT 2", (key, key + "~")
    ).fetchall()
    if len(rows) > 1 and rows[0][0] != key:
        raise StoreError(f"several verdict ids begin with {key}")
    return bytes(rows[0][1]) if rows else None


def _newest(connection: sqlite3.Connection, column: str, key: str) -> bytes | None:
    query = f"SELECT record FROM verdict WHERE {column} = ? AND {column} <> '' ORDER BY rowid DESC LIMIT 1"  # noqa: S608 - ours
    row = connection.execute(query, (key,)).fetchone()
    return bytes(row[0]) if row else None


def recent(path: Path, limit: int) -> list[Record]:
    """Return the newest records, newest first. Raises StoreError."""
    with _reading(path) as connection:
        rows = connection.execute("SELECT record FROM verdict ORDER BY rowid DESC LIMIT ?", (limit,)).fetchall()
    return [_record(path, bytes(row[0])) for row in rows]


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
