"""The index of the quarantine: an SQLite file with a row for each recipient to whom a message was not delivered.

It says what has become of each, and how much is held for each domain. Losing it loses which of the messages that are
still held for some recipient have been released or deleted for another: everything else stands in the messages' files.
"""

import hmac
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from earmark.core.held import Held
from earmark.log import Log
from earmark.stores.sqlite import Schema, StoreError, open_for_writing

FILE_NAME = "index.sqlite"
"""The file's name in the quarantine's directory."""

INDEX = Schema(
    "quarantine",
    (
        # to version 1
        """
        CREATE TABLE held (
            id TEXT NOT NULL,
            recipient TEXT NOT NULL,
            domain TEXT NOT NULL,
            policy TEXT NOT NULL,
            would TEXT NOT NULL,
            infected INTEGER NOT NULL,
            why TEXT NOT NULL,
            sender TEXT NOT NULL,
            subject TEXT NOT NULL,
            at REAL NOT NULL,
            expires REAL NOT NULL,
            size INTEGER NOT NULL,
            state TEXT NOT NULL,
            token TEXT NOT NULL,
            begun REAL NOT NULL,
            PRIMARY KEY (id, recipient)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX held_domain ON held (domain);
        """,
    ),
)

RELEASE_WITHIN = 600.0
"""Seconds for which the token of a release is good: as long as an MTA may take for a message, and no longer."""
_DAY = 86400.0
_MEGABYTE = 1_000_000
_RECIPIENT = 1000
"""Bytes that a recipient takes on the disk, in the message's file and here."""
_LIVE = "state IN ('held', 'releasing') AND (expires > ? OR (state = 'releasing' AND begun > ?))"
"""What needs the message still, or may; takes now, and from when on a release may be under way."""


class State(StrEnum):
    """What has become of a message for one recipient."""

    HELD = "held"
    RELEASING = "releasing"
    """It was handed to the MTA, and nobody knows yet, or any more, whether the MTA has taken it."""
    RELEASED = "released"
    DELETED = "deleted"


class Row(NamedTuple):
    """One recipient of one message."""

    id: str
    recipient: str
    domain: str
    policy: str
    would: str
    infected: bool
    why: tuple[str, ...]
    """These as in `HeldRecipient`."""
    sender: str
    subject: str
    at: float
    """These as in `Held`."""
    expires: float
    """Until when it is kept, seconds since the epoch."""
    size: int
    """Bytes of the message."""
    state: State


_COLUMNS = ", ".join(Row._fields)


@contextmanager
def opened(directory: Path, log: Log, *, thorough: bool = False) -> Iterator[sqlite3.Connection]:
    """Open the index of a quarantine that is there; as `open_for_writing`. Raises StoreError."""
    path = directory / FILE_NAME
    try:
        connection = open_for_writing(path, log, INDEX, thorough=thorough)
        try:
            connection.execute("PRAGMA synchronous = FULL")  # what was released must not come back after a power cut
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all or nothing, while nobody else writes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def assert_room(connection: sqlite3.Connection, held: Held, size: int, now: float) -> None:
    """Raise StoreError where a domain has no room for a message of this size."""
    query = (
        "SELECT total(size + recipients * ?) FROM (SELECT size, count(*) AS recipients FROM held"  # noqa: S608 - ours
        f" WHERE domain = ? AND {_LIVE} AND id <> ? GROUP BY id)"
    )
    recipients = Counter(one.domain for one in held.recipients)
    megabytes = {one.domain: one.megabytes for one in held.recipients}
    for domain, count in recipients.items():
        values = (_RECIPIENT, domain, now, now - RELEASE_WITHIN, held.id)
        used = connection.execute(query, values).fetchone()[0]
        own = size + count * _RECIPIENT
        if used + own > megabytes[domain] * _MEGABYTE:
            full = f"{used / _MEGABYTE:.1f} of {megabytes[domain]} MB are held for {domain}"
            raise StoreError(f"quota: {full}, and this one has {own / _MEGABYTE:.1f}")


def enter(connection: sqlite3.Connection, held: Held, size: int) -> None:
    """Note a message whose file is there. What is known of it already stays as it is."""
    places = ", ".join("?" * (len(Row._fields) + 2))
    connection.executemany(
        f"INSERT OR IGNORE INTO held VALUES ({places})",  # noqa: S608 - places only
        [
            (held.id, one.address, one.domain, one.policy, one.would, one.infected, "\n".join(one.why),
             held.sender, held.subject, held.at, held.at + one.days * _DAY, size, State.HELD.value, "", 0.0)
            for one in held.recipients
        ],
    )  # fmt: skip


def forget(connection: sqlite3.Connection, message_id: str) -> None:
    """Forget a message whose file is gone, or never came to be."""
    connection.execute("DELETE FROM held WHERE id = ?", (message_id,))


def rows(connection: sqlite3.Connection, message_id: str = "") -> list[Row]:
    """Return what is known: of all messages, the newest first, or of one. Raises StoreError."""
    query = f"SELECT {_COLUMNS} FROM held WHERE ? IN ('', id) ORDER BY at DESC, id, recipient"  # noqa: S608 - ours
    try:
        return [_row(values) for values in connection.execute(query, (message_id,))]
    except (TypeError, ValueError) as error:
        raise StoreError(f"the index of the quarantine holds a row that is none: {error}") from error


def _row(values: Sequence[Any]) -> Row:
    row = Row._make(values)
    return row._replace(infected=bool(row.infected), why=tuple(values[6].split("\n")), state=State(row.state))


def known(connection: sqlite3.Connection) -> set[str]:
    """Return the ids of all messages that have a row."""
    return {row[0] for row in connection.execute("SELECT DISTINCT id FROM held")}


def needed(connection: sqlite3.Connection, now: float) -> set[str]:
    """Return the ids of the messages that some recipient still needs."""
    query = f"SELECT DISTINCT id FROM held WHERE {_LIVE}"  # noqa: S608 - ours
    return {row[0] for row in connection.execute(query, (now, now - RELEASE_WITHIN))}


def forget_expired(connection: sqlite3.Connection, now: float) -> int:
    """Forget what is over; return for how many recipients something was still held."""
    over = "expires <= ? AND NOT (state = 'releasing' AND begun > ?)"
    values = (now, now - RELEASE_WITHIN)
    count = f"SELECT count(*) FROM held WHERE {over} AND state IN ('held', 'releasing')"  # noqa: S608 - ours
    with transaction(connection):
        (lost,) = connection.execute(count, values).fetchone()
        connection.execute(f"DELETE FROM held WHERE {over}", values)  # noqa: S608 - ours
    return int(lost)


def delete(connection: sqlite3.Connection, message_id: str, recipient: str) -> bool:
    """Note that a message was deleted for a recipient; return whether it was held for him."""
    statement = "UPDATE held SET state = 'deleted', token = '' WHERE id = ? AND recipient = ? AND state IN (?, ?)"
    changed = connection.execute(statement, (message_id, recipient, State.HELD.value, State.RELEASING.value))
    return changed.rowcount > 0


def begin_release(
    connection: sqlite3.Connection, message_id: str, recipient: str, token: str, now: float, *, again: bool
) -> bool:
    """Note that a message is about to be released to a recipient; return whether it may be.

    `again`: also where an earlier release did not come to an end that is known.
    """
    statement = (
        "UPDATE held SET state = 'releasing', token = ?, begun = ?"
        " WHERE id = ? AND recipient = ? AND (state = 'held' OR (? AND state = 'releasing'))"
    )
    return connection.execute(statement, (token, now, message_id, recipient, again)).rowcount > 0


def spend(connection: sqlite3.Connection, message_id: str, token: str, now: float) -> bool:
    """Return whether this proves a release that is under way; it does so once."""
    query = "SELECT recipient, token FROM held WHERE id = ? AND state = 'releasing' AND token <> '' AND begun > ?"
    with transaction(connection):
        for recipient, expected in connection.execute(query, (message_id, now - RELEASE_WITHIN)).fetchall():
            if hmac.compare_digest(expected.encode(), token.encode()):
                mine = "UPDATE held SET token = '' WHERE id = ? AND recipient = ?"
                connection.execute(mine, (message_id, recipient))
                return True
    return False


def end_release(connection: sqlite3.Connection, message_id: str, recipient: str, state: State) -> bool:
    """Note how a release ended; return whether the service has recognised the message as a released one."""
    mine = "id = ? AND recipient = ?"
    with transaction(connection):
        row = connection.execute(f"SELECT token FROM held WHERE {mine}", (message_id, recipient)).fetchone()  # noqa: S608 - ours
        statement = f"UPDATE held SET state = ?, token = '' WHERE {mine} AND state = 'releasing'"  # noqa: S608 - ours
        connection.execute(statement, (state.value, message_id, recipient))
    return row is not None and not row[0]
