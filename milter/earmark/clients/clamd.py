"""ClamAV as a client: the raw message is streamed to clamd while it still comes in (docs/clamav.md)."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from functools import partial

from earmark.clients.limits import Endpoint, UnansweredError, Upstream, message_key, unreadable
from earmark.content import Content
from earmark.core.evidence import Fact, Question, Scanner, Status, VirusScan
from earmark.core.text import printable
from earmark.wire import RemoteError
from earmark.wire import clamd as wire

Deliver = Callable[[Question, Fact], None]

_SOURCE = "clamav"
_LIMIT = ("limit",)
_PATIENCE = 0.25
"""What a message may take to come in, in parts of a scan's deadline, before clamd waits for it no more."""


class Clamd:
    """Answers VirusScan about messages that it was given to hold, and whether the scanner answers at all.

    A message is sent to clamd once, whoever asks and however often. To be made inside the event loop.
    """

    def __init__(self, endpoints: Sequence[str], *, at_once: int, deadline: float) -> None:
        """Take endpoints as in server.toml, in the order of preference; see `Upstream` for the limits."""
        self._patience = _PATIENCE * deadline
        self._upstream = Upstream(list(map(Endpoint.parse, endpoints)), _ping, at_once=at_once, deadline=deadline)
        self._held: dict[str, _Held] = {}

    def hold(self, content_id: str, content: Content) -> None:
        """Be ready for questions about a message, until it is dropped. It stays the caller's to close."""
        self._held[content_id] = _Held(content)

    def drop(self, content_id: str) -> None:
        """Forget a message and end its scan. Who still waits for an answer about it is told TEMPERROR."""
        held = self._held.pop(content_id, None)
        if held is not None and held.task is not None:
            held.task.cancel()

    def close(self) -> None:
        """Stop working. Who still waits is told TEMPERROR."""
        for content_id in list(self._held):
            self.drop(content_id)
        self._upstream.close()

    def counts(self) -> Mapping[str, float]:
        """Return what has been scanned and what has not; see `Upstream.counts`."""
        return self._upstream.counts()

    def ask(self, question: VirusScan | Scanner, deliver: Deliver) -> None:
        """Begin to answer; `deliver` is called once, perhaps at once."""
        if isinstance(question, Scanner):
            deliver(question, self._upstream.fact(_SOURCE))
            return
        held = self._held.get(question.content)
        if held is None:
            deliver(question, _unknown("the message is not there"))
        elif held.is_too_large_for(question):
            deliver(question, _too_large(question))
        elif held.fact is not None:
            deliver(question, held.fact)
        else:
            held.waiting.append((question, deliver))
            if held.task is None:
                held.task = asyncio.get_running_loop().create_task(self._scan(held))
                held.task.add_done_callback(partial(_ended, held))

    async def _scan(self, held: "_Held") -> Fact:
        key = message_key(held.content)
        try:
            if held.content.why:
                raise self._upstream.unanswered(unreadable(held.content), key)
            reply, endpoint = await self._have_scanned(held, key)
        except UnansweredError as error:
            return error.fact(_SOURCE)
        return _fact(reply, endpoint)

    async def _have_scanned(self, held: "_Held", key: str) -> tuple[wire.Reply, Endpoint]:
        """Return what clamd says, and which; what failed while the message came in is tried again when it is whole."""
        talk, content = partial(_talk, held, self._patience), held.content
        if not content.whole:
            try:
                return await self._upstream.run(talk, key=key, count=False)
            except UnansweredError as error:
                if error.limit or held.sent:
                    raise self._upstream.unanswered(error, key) from error.__cause__
            await content.finished()
            if content.why:
                raise self._upstream.unanswered(unreadable(content), key)
        return await self._upstream.run(talk, key=key)


class _Held:
    """A message, who waits for what clamd says of it, and what that was."""

    __slots__ = ("content", "fact", "sent", "task", "waiting")

    def __init__(self, content: Content) -> None:
        self.content = content
        self.waiting: list[tuple[VirusScan, Deliver]] = []
        self.task: asyncio.Task[Fact] | None = None
        self.fact: Fact | None = None
        self.sent = False
        """Some clamd has had all of it."""

    def is_too_large_for(self, question: VirusScan) -> bool:
        """Return whether the message, as far as it has come, is larger than the question allows."""
        return self.content.size > int(question.at_most)

    def tell_outgrown(self) -> None:
        """Answer those for whom the message has become too large."""
        outgrown = [(question, deliver) for question, deliver in self.waiting if self.is_too_large_for(question)]
        if outgrown:
            self.waiting = [
                (question, deliver) for question, deliver in self.waiting if not self.is_too_large_for(question)
            ]
            for question, deliver in outgrown:
                _tell(deliver, question, _too_large(question))

    def settle(self, fact: Fact) -> None:
        """Answer all who wait."""
        self.tell_outgrown()
        self.task = None
        if self.waiting:  # else it was broken off as too large for all of them, and nothing is known
            self.fact = fact
            waiting, self.waiting = self.waiting, []
            for question, deliver in waiting:
                _tell(deliver, question, fact)


def _ended(held: _Held, task: asyncio.Task[Fact]) -> None:
    """Take what a scan came to, one that was cancelled before its first step too."""
    if task.cancelled():
        held.settle(_unknown("broken off"))
    elif error := task.exception():
        held.settle(_unknown("an error of our own"))
        _report("scanning for viruses", error)
    else:
        held.settle(task.result())


async def _talk(held: _Held, patience: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> wire.Reply:
    """Have the message scanned. Raises as a `limits.Talk` does."""
    answer = asyncio.ensure_future(_said(reader))  # clamd may speak, and close, at any time
    whole = False
    with _kept_open(writer) as descriptor:
        try:
            whole = await _send_patiently(held, patience, writer, answer)
            if whole:
                held.sent = True
                writer.write(wire.END)
                await writer.drain()
            raw = await answer
        except ConnectionError:
            raw = (await answer) + _left(descriptor)
            if not raw:
                raise
        finally:
            answer.cancel()
    reply = wire.read_reply(raw)
    if reply.result in (wire.Result.ERROR, wire.Result.TIMED_OUT, wire.Result.UNKNOWN_COMMAND):
        raise RemoteError(reply.text)
    if reply.result is wire.Result.OK and not whole:
        raise RemoteError("OK before it had the whole message")
    return reply


async def _send_patiently(
    held: _Held, patience: float, writer: asyncio.StreamWriter, answer: "asyncio.Future[bytes]"
) -> bool:
    """Send the message, for `patience` seconds while it comes in. Raises UnansweredError when they are over."""
    try:
        async with asyncio.timeout(None if held.content.whole else patience):
            return await _send(held, writer, answer)
    except TimeoutError:
        if held.content.whole:
            raise
        raise UnansweredError("it comes in too slowly") from None


async def _send(held: _Held, writer: asyncio.StreamWriter, answer: "asyncio.Future[bytes]") -> bool:
    """Send the message as it comes in, but for its end; return whether clamd took it all. Raises UnansweredError."""
    writer.write(wire.INSTREAM + wire.chunk(wire.ON_TOP))
    async with aclosing(held.content.follow()) as pieces:
        async for piece in pieces:
            held.tell_outgrown()
            if not held.waiting:
                raise UnansweredError("larger than anybody allows", limit=True)
            if answer.done():
                return False
            writer.write(wire.chunk(piece))
            await writer.drain()
    if held.content.why:
        raise unreadable(held.content)
    return True


async def _said(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes up to the end of an answer, or of the connection, however it ends."""
    said = b""
    with suppress(OSError):
        while len(said) <= wire.REPLY_AT_MOST and (more := await reader.read(wire.REPLY_AT_MOST)):
            said += more
    return said


@contextmanager
def _kept_open(writer: asyncio.StreamWriter) -> Iterator[int]:
    """Return a second descriptor of a connection.

    When sending fails, asyncio and uvloop close the connection without reading what came before. But clamd says that a
    message is too long, and closes, while we still send.
    """
    descriptor = os.dup(writer.get_extra_info("socket").fileno())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _left(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, wire.REPLY_AT_MOST + 1)
    except OSError:
        return b""


async def _ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(wire.PING)
    wire.read_pong(await _said(reader))


def _fact(reply: wire.Reply, endpoint: Endpoint) -> Fact:
    now, source = time.time(), str(endpoint)
    if reply.result is wire.Result.OK:
        return Fact(Status.NONE, at=now, source=source)
    text = printable(reply.text, 200)
    if reply.result is wire.Result.FOUND:
        return Fact(Status.FAIL, (text,), at=now, source=source)
    return Fact(Status.TEMPERROR, _LIMIT, at=now, source=source, why=text)


def _too_large(question: VirusScan) -> Fact:
    return UnansweredError(f"larger than {question.at_most} bytes", limit=True).fact(_SOURCE)


def _unknown(why: str) -> Fact:
    return UnansweredError(why, since=time.time()).fact(_SOURCE)


def _tell(deliver: Deliver, question: Question, fact: Fact) -> None:
    try:
        deliver(question, fact)
    except Exception as error:  # noqa: BLE001 - our own bug, reported; the others get their answer
        _report("taking an answer about viruses", error)


def _report(what: str, error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": what, "exception": error})
