"""Who taught SpamAssassin what: the journal of `earmark learn`, which also holds its bound (docs/spam-folder.md).

It is a file of its own in a directory of its own: the account that an IMAP server acts as for its users writes it, and
may not read what the service keeps of everybody's mail.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple

from earmark.log import Log
from earmark.stores.sqlite import Schema, StoreError, open_for_reading, open_for_writing

FILE_NAME = "lessons.db"
"""The file's name in the journal's directory."""

LESSONS = Schema(
    "lessons",
    (
        # to version 1
        """
        CREATE TABLE lesson (
            id INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            teacher TEXT NOT NULL,
            spam_user TEXT NOT NULL,
            message_class TEXT NOT NULL,
            message_id TEXT NOT NULL,
            digest BLOB NOT NULL,
            outcome TEXT NOT NULL,
            why TEXT NOT NULL
        );
        CREATE INDEX lesson_at ON lesson (at);
        CREATE INDEX lesson_teacher ON lesson (teacher, at);
        CREATE INDEX lesson_digest ON lesson (digest);
        """,
    ),
)

MessageClass = Literal["spam", "ham"]
_HOUR = 3600.0
_DAY = 86400.0


class Outcome(StrEnum):
    """What became of a lesson."""

    ASKED = "asked"
    """The answer is not known: it is under way, or was broken off."""
    LEARNED = "learned"
    UNCHANGED = "unchanged"
    """SpamAssassin had learnt the same before, or learns nothing."""
    FAILED = "failed"


class NotBegun(StrEnum):
    """Why a lesson is not to be given."""

    KNOWN = "known"
    """The last that was taught of this message is the same, by the same teacher."""
    TOO_MANY = "too many"
    """The teacher has reached the bound of an hour."""


class Lesson(NamedTuple):
    """A message that somebody says to be spam or ham."""

    at: float
    """Seconds since the epoch."""
    teacher: str
    message_class: MessageClass
    spam_user: str
    """Whose Bayes database: the `User:` that spamd is told; "" for the site's."""
    message_id: str
    """Printable; "" for none. For people: the sender chose it."""
    digest: bytes
    """SHA-256 of what is taught."""
    outcome: Outcome = Outcome.ASKED
    why: str = ""
    """Of a failure."""


class Journal:
    """The lessons given, by everybody. Raises StoreError and OSError."""

    def __init__(self, path: Path, log: Log, *, days: int) -> None:
        """Lessons older than `days` are forgotten."""
        self._path = path
        self._days = days
        with _told(path):
            self._connection = open_for_writing(path, log, LESSONS)

    def begin(self, lesson: Lesson, *, per_hour: int) -> int | NotBegun:
        """Enter a lesson that is to be given, and return its number; or why it is not to be given.

        What is under way counts towards the bound, and so does what failed: it cost spamd as much.
        """
        with _told(self._path), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("DELETE FROM lesson WHERE at < ?", (lesson.at - self._days * _DAY,))
            if self._is_known(lesson):
                return NotBegun.KNOWN
            if self._in_the_last_hour(lesson) >= per_hour:
                return NotBegun.TOO_MANY
            inserted = self._connection.execute(
                "INSERT INTO lesson (at, teacher, message_class, spam_user, message_id, digest, outcome, why)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                lesson,
            )
            return inserted.lastrowid or 0

    def end(self, number: int, outcome: Outcome, why: str = "") -> None:
        """Enter what became of a lesson."""
        with _told(self._path):
            self._connection.execute("UPDATE lesson SET outcome = ?, why = ? WHERE id = ?", (outcome, why, number))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _is_known(self, lesson: Lesson) -> bool:
        row = self._connection.execute(
            "SELECT teacher, message_class FROM lesson WHERE digest = ? AND spam_user = ? AND outcome IN (?, ?)"
            " ORDER BY id DESC LIMIT 1",
            (lesson.digest, lesson.spam_user, Outcome.LEARNED, Outcome.UNCHANGED),
        ).fetchone()
        return bool(row == (lesson.teacher, lesson.message_class))

    def _in_the_last_hour(self, lesson: Lesson) -> int:
        (count,) = self._connection.execute(
            "SELECT count(*) FROM lesson WHERE teacher = ? AND at > ?", (lesson.teacher, lesson.at - _HOUR)
        ).fetchone()
        return int(count)


def lessons(path: Path, *, teacher: str = "", limit: int) -> list[Lesson]:
    """Return lessons, the latest first: everybody's, or one teacher's. Raises StoreError."""
    with _told(path):
        connection = open_for_reading(path, LESSONS)
        try:
            rows = connection.execute(
                "SELECT at, teacher, message_class, spam_user, message_id, digest, outcome, why FROM lesson"
                " WHERE ? IN ('', teacher) ORDER BY id DESC LIMIT ?",
                (teacher, limit),
            ).fetchall()
        finally:
            connection.close()
    try:
        return [Lesson(*row)._replace(outcome=Outcome(row[6])) for row in rows]
    except ValueError as error:
        raise StoreError(f"{path}: {error}") from error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
