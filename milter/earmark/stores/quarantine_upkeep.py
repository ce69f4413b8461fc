"""What the quarantine needs once a minute: what is over goes, and what a crash has left is found again."""

import sqlite3
from collections.abc import Set as AbstractSet
from pathlib import Path
from time import time

from earmark.log import Log
from earmark.stores import quarantine_files as files
from earmark.stores import quarantine_index as index
from earmark.stores.sqlite import StoreError


def tidy(directory: Path, log: Log, unreadable: set[str]) -> int:
    """Bring files and index into line; return for how many recipients what was held has expired. Raises StoreError.

    `unreadable` are the files of which the log has been told that they cannot be read; new ones are added.
    """
    if not directory.is_dir():
        return 0
    now = time()
    try:
        with index.opened(directory, log, thorough=True) as connection:
            unreadable |= adopt(connection, directory, log, unreadable)
            remove_unneeded(connection, directory, now)
            expired = index.forget_expired(connection, now)
        files.remove_unfinished(directory, now)
    except OSError as error:
        raise StoreError(f"{error.filename or directory}: {error.strerror}") from error
    if expired:
        log.event("quarantine_expired", recipients=expired)
    return expired


def adopt(
    connection: sqlite3.Connection, directory: Path, log: Log, unreadable: AbstractSet[str] = frozenset()
) -> set[str]:
    """Enter the messages that have a file and no row: a crash came between the two, or the index was lost.

    Nobody can say whether such a message was answered for; where it was not, its sender has sent it again. Return those
    that cannot be read, which stay as they are; the log is told of all but `unreadable`.
    """
    failed = set()
    for message_id in sorted(files.ids(directory) - index.known(connection)):
        try:
            if _adopt(connection, directory, message_id):
                log.event("quarantine_found", level="warning", id=message_id)
        except StoreError as error:
            failed.add(message_id)
            if message_id not in unreadable:
                log.event("quarantine_unreadable", level="error", why=str(error))
    return failed


def _adopt(connection: sqlite3.Connection, directory: Path, message_id: str) -> bool:
    """Enter a message, unless whoever wrote it has thought better of it: he removes the file before its rows."""
    with files.opened(directory, message_id) as stored, index.transaction(connection):
        there = files.is_there(directory, message_id)
        if there:
            index.enter(connection, stored.held, stored.size)
    return there


def remove_unneeded(connection: sqlite3.Connection, directory: Path, now: float) -> None:
    """Remove the messages that no recipient needs any more. Their rows stay: they say what became of them."""
    for message_id in files.ids(directory) & index.known(connection) - index.needed(connection, now):
        files.remove(directory, message_id)
