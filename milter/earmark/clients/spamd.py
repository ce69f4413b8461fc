"""SpamAssassin as a client of its spamd: from a message that is held to its score (docs/spamassassin.md)."""

import asyncio
import re
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial
from typing import Literal, NamedTuple

from earmark.clients.limits import Endpoint, UnansweredError, Upstream, message_key, read_reply, unreadable
from earmark.content import Content, with_crlf
from earmark.core.claimed_path import without_path
from earmark.core.evidence import Fact, Points, Question, Scanner, SpamScan, Status
from earmark.core.mail import parse_address_text
from earmark.core.spam_score import SpamScore, spam_score_data
from earmark.wire import spamd as wire

Deliver = Callable[[Question, Fact], None]

_NEW_FIELD = re.compile(rb"\n(?![ \t])")
"""A line end in a field's value that would let the rest of it be a field of its own."""
_DATE_AT_MOST = 100
"""Bytes of a date that are read."""
_RESET = struct.pack("ii", 1, 0)
_RESTART = 5.0
"""Seconds in which spamd is back after SIGHUP, as sa-update's cron job sends it: it drops what it is at."""


class _Scan(NamedTuple):
    """What one request to spamd is about, whoever asks for it."""

    content: str
    user: str
    view: Literal["whole", "without-path"]


class Spamd:
    """Answers SpamScan about messages that it was given to hold, and Scanner("spamassassin").

    spamd has no patience of its own: one request that stalls keeps one of its few children. So a message goes at once,
    when it is there whole, and a connection ends with the deadline.
    """

    def __init__(self, endpoints: Sequence[str], *, at_once: int, deadline: float) -> None:
        """`endpoints` are as server.toml has them; `at_once` and `deadline` as Upstream has them."""
        self._source = " ".join(endpoints)
        self._upstream = Upstream(
            list(map(Endpoint.parse, endpoints)), _ping, at_once=at_once, deadline=deadline, restart=_RESTART
        )
        self._held: dict[str, Content] = {}
        self._open: dict[_Scan, list[tuple[SpamScan, Deliver]]] = {}
        self._tasks: dict[_Scan, asyncio.Task[None]] = {}

    def hold(self, content_id: str, content: Content) -> None:
        """Be ready for questions about a message, until it is dropped. It stays the caller's to close."""
        self._held[content_id] = content

    def drop(self, content_id: str) -> None:
        """Forget a message, and close what is under way for it. Who still waits is told TEMPERROR."""
        if self._held.pop(content_id, None) is not None:
            for scan, task in self._tasks.items():
                if scan.content == content_id:
                    task.cancel()

    def close(self) -> None:
        """Stop working. Who still waits is told TEMPERROR."""
        self._upstream.close()
        for task in self._tasks.values():
            task.cancel()
        for scan in list(self._open):
            self._finish(scan, self._unscanned("closed"))

    def counts(self) -> Mapping[str, float]:
        """Return what has been scanned and what has not; see `Upstream.counts`."""
        return self._upstream.counts()

    def ask(self, question: SpamScan | Scanner, deliver: Deliver) -> None:
        """Begin to answer; `deliver` is called once, perhaps at once."""
        if isinstance(question, Scanner):
            deliver(question, self._upstream.fact(self._source))
            return
        content = self._held.get(question.content)
        scan = _Scan(question.content, question.user, question.view)
        if content is None:
            deliver(question, self._unscanned("the message is not there"))
        elif content.why:
            error = self._upstream.unanswered(unreadable(content), message_key(content))
            deliver(question, error.fact(self._source))
        elif content.size > int(question.at_most):
            why = f"too big to scan: {content.size} bytes of at most {question.at_most}"
            deliver(question, UnansweredError(why, limit=True).fact(self._source))
        elif scan in self._open:
            self._open[scan].append((question, deliver))
        else:
            self._open[scan] = [(question, deliver)]
            task = asyncio.get_running_loop().create_task(self._work_on(scan, content))
            self._tasks[scan] = task
            task.add_done_callback(partial(self._ended, scan))

    async def _work_on(self, scan: _Scan, content: Content) -> None:
        self._finish(scan, await self._answer(scan, content))

    async def _answer(self, scan: _Scan, content: Content) -> Fact:
        try:
            report, endpoint = await self._upstream.run(partial(_talk, scan, content), key=message_key(content))
        except UnansweredError as error:
            return error.fact(self._source)
        found = SpamScore(Points(report.hundredths), parse_address_text(report.last_external), report.rules)
        return Fact(Status.PASS, spam_score_data(found), at=time.time(), source=str(endpoint))

    def _ended(self, scan: _Scan, task: asyncio.Task[None]) -> None:
        """Answer for a task that was cancelled, perhaps before it took its first step, or that failed."""
        if self._tasks.get(scan) is task:
            self._finish(scan, self._unscanned("broken off"))

    def _finish(self, scan: _Scan, fact: Fact) -> None:
        self._tasks.pop(scan, None)
        for question, deliver in self._open.pop(scan, ()):
            try:
                deliver(question, fact)
            except Exception as error:  # noqa: BLE001 - our own bug, reported; the others get their answer
                context = {"message": "taking an answer about spam", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _unscanned(self, why: str) -> Fact:
        return UnansweredError(why, since=time.time()).fact(self._source)


async def _ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    _end_by_reset(writer)
    writer.write(wire.PING)
    wire.decode_pong(await read_reply(reader, wire.REPLY_AT_MOST))


async def _talk(
    scan: _Scan, content: Content, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> wire.Report:
    """Have the message scanned over a new connection."""
    _end_by_reset(writer)
    header = _header(content, scan.view)
    writer.write(wire.encode_report(len(header) + content.body_size, scan.user) + header)
    for chunk in content.body():
        writer.write(chunk)
        await writer.drain()
    if content.why:  # it was given up meanwhile
        raise unreadable(content)
    writer.write_eof()
    return wire.decode_report(await read_reply(reader, wire.REPLY_AT_MOST))


def _end_by_reset(writer: asyncio.StreamWriter) -> None:
    """Let a connection that is closed early be reset: a message sent by half shall not look as if it were whole."""
    connection = writer.get_extra_info("socket")
    if connection.family != socket.AF_UNIX:  # where the Content-length has to do
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _header(content: Content, view: Literal["whole", "without-path"]) -> bytes:
    """Return the header that this view of a message shows, with the empty line after it."""
    if view == "whole":
        return content.received + content.header()
    fields = (
        b"%b:%b\r\n" % (name, with_crlf(_NEW_FIELD.sub(b"\n ", value))) for name, value in without_path(content.headers)
    )
    return _as_old_as_the_message(content) + b"".join(fields) + b"\r\n"


def _as_old_as_the_message(content: Content) -> bytes:
    """Return our own Received field, dated no later than the message itself.

    SpamAssassin compares Date with the Received fields. Without those of its way an honest message that has waited in
    somebody's queue would look as if it had lied about its date.
    """
    clauses, _, ours = content.received.rpartition(b";")
    theirs = next((value for name, value in content.headers if name.strip().lower() == b"date"), b"")
    written, claimed = _date(ours), _date(theirs)
    if written is None or claimed is None or claimed >= written:
        return content.received
    return clauses + b";\r\n\t" + format_datetime(claimed).encode("ascii") + b"\r\n"


def _date(value: bytes) -> datetime | None:
    try:
        date = parsedate_to_datetime(value[:_DATE_AT_MOST].decode("latin-1"))
        return date.replace(tzinfo=date.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
