"""`earmark learn`: a user says that a message is spam or ham (docs/spam-folder.md)."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import WRONG_USE, fail
from earmark.cli.serve import ConfigOption
from earmark.cli.state import in_state
from earmark.core.text import decoded, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from earmark.clients.limits import Endpoint
    from earmark.config.settings import LearningSettings
    from earmark.stores.lessons import Journal, Lesson

LARGEST = 500_000
"""Bytes of a message that is taught; spam is small, and SpamAssassin's own sa-learn takes less."""
WITHIN = 8.0
"""Seconds for spamd's answer: Pigeonhole ends a program after 10."""

JournalOption = Annotated[
    Path | None, typer.Option("--journal", help="Directory of the journal, in place of the one in server.toml.")
]


class MessageClass(StrEnum):
    """What a message is said to be."""

    SPAM = "spam"
    HAM = "ham"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(learn)


def learn(
    message_class: Annotated[MessageClass, typer.Argument(metavar="spam|ham", show_default=False)],
    *,
    user: Annotated[str, typer.Option(help="Who teaches.", show_default="the account that runs this")] = "",
    spam_user: Annotated[str, typer.Option(help="Whose Bayes database, as spam_user of a policy says.")] = "",
    spamd: Annotated[
        list[str] | None, typer.Option(help=r"Whom to tell, in place of \[spamd] endpoints; may be repeated.")
    ] = None,
    journal: JournalOption = None,
    config: ConfigOption = None,
) -> None:
    """Teach SpamAssassin that the message on standard input is spam or ham. Exit status 1 when it cannot be taught."""
    from earmark.config import ConfigError, find_directory, load_server

    try:
        server = load_server(find_directory(config))
    except ConfigError as error:
        fail(error)
    endpoints = _endpoints(spamd or server.spamd.endpoints)
    message = _message()
    lesson = _lesson(message, message_class, printable(user, 200) or _account(), printable(spam_user, 200))
    directory = journal or server.learning.journal
    print(in_state(directory, lambda: _give(directory, server.learning, lesson, message, endpoints)))


def _endpoints(several: "Iterable[str]") -> "list[Endpoint]":
    from earmark.clients.limits import Endpoint

    try:
        endpoints = [Endpoint.parse(text) for text in several]
    except ValueError as error:
        fail(error, WRONG_USE)
    return endpoints or fail("no spamd is named: set [spamd] endpoints in server.toml, or say --spamd", WRONG_USE)


def _message() -> bytes:
    """Return the message on standard input without our own fields: they are no words of its sender's."""
    from earmark.core.stamp import is_ours
    from earmark.wire.message import without_fields

    raw = sys.stdin.buffer.read(LARGEST + 1)
    if len(raw) > LARGEST:
        fail(f"larger than {LARGEST} bytes: nothing is learnt")
    return without_fields(raw, is_ours) if raw else fail("no message on standard input", WRONG_USE)


def _account() -> str:
    import os
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def _lesson(message: bytes, message_class: MessageClass, teacher: str, spam_user: str) -> "Lesson":
    import hashlib
    import time

    from earmark.stores.lessons import Lesson
    from earmark.wire.message import split_header

    ids = (value for name, value in split_header(message)[0] if name.lower() == b"message-id")
    message_id = printable(decoded(next(ids, b"")).strip(), 200)
    return Lesson(time.time(), teacher, message_class.value, spam_user, message_id, hashlib.sha256(message).digest())


def _give(
    directory: Path, settings: "LearningSettings", lesson: "Lesson", message: bytes, endpoints: "Sequence[Endpoint]"
) -> str:
    """Give the lesson and enter it; return what to say of it."""
    from earmark.log import Log
    from earmark.stores.lessons import FILE_NAME, Journal, NotBegun

    journal = Journal(directory / FILE_NAME, Log(sys.stderr.buffer), days=settings.days)
    try:
        number = journal.begin(lesson, per_hour=settings.per_hour)
        if number is NotBegun.KNOWN:
            return f"{lesson.teacher} has taught this as {lesson.message_class} before: nothing to do"
        if number is NotBegun.TOO_MANY:
            fail(f"{lesson.teacher} may give {settings.per_hour} lessons an hour: nothing is learnt")
        return _tell(journal, number, lesson, message, endpoints)
    finally:
        journal.close()


def _tell(journal: "Journal", number: int, lesson: "Lesson", message: bytes, endpoints: "Sequence[Endpoint]") -> str:
    import asyncio

    from earmark.clients.limits import UnansweredError
    from earmark.clients.teaching import teach
    from earmark.stores.lessons import Outcome

    try:
        learned = asyncio.run(teach(endpoints, message, lesson.message_class, lesson.spam_user, deadline=WITHIN))
    except UnansweredError as error:
        journal.end(number, Outcome.FAILED, error.why)
        fail(f"{error.why}: nothing is learnt, as far as is known")
    journal.end(number, Outcome.LEARNED if learned else Outcome.UNCHANGED)
    return (
        f"learned as {lesson.message_class}"
        if learned
        else f"nothing new: SpamAssassin knew it as {lesson.message_class}"
    )
