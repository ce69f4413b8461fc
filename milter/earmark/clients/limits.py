"""Servers that are asked over one connection a request: where they are, which answer, how many requests at once.

A scanner that is slow, hung or gone must cost a bounded time, be found out before it costs the next message as much,
and be used again as soon as it answers.
"""

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar

from earmark.content import Content
from earmark.core.evidence import Fact, Status
from earmark.core.text import printable
from earmark.wire import RemoteError

T = TypeVar("T")
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[T]]
"""Speaks the protocol over a new connection, which is closed afterwards. It is called once more for another server.

Raises OSError, EOFError and RemoteError where the server fails, and UnansweredError where it is the request itself.
"""

_PING_WITHIN = 2.0
"""Seconds in which a server answers that lives, however busy it is."""
_PING_EVERY = 1.0
"""Seconds between two questions whether a server is back."""
_REMEMBERED = 10_000
"""Requests that failed and may come again."""
_FAULTS = (OSError, EOFError, RemoteError)  # TimeoutError is an OSError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens."""

    host: str
    """A path where there is no port."""
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "unix:/path", "inet:host:port" or "inet:[::1]:port", as Postfix spells them. Raises ValueError."""
        kind, _, place = text.partition(":")
        host, _, port = place.rpartition(":")
        if kind == "unix" and place.startswith("/"):
            return cls(place)
        if kind == "inet" and host and port.isdecimal() and 0 < int(port) < 65536:
            return cls(host.removeprefix("[").removesuffix("]"), int(port))
        raise ValueError(f'neither "unix:/path" nor "inet:host:port": {printable(text)}')

    def __str__(self) -> str:
        if self.port is None:
            return f"unix:{self.host}"
        return f"inet:[{self.host}]:{self.port}" if ":" in self.host else f"inet:{self.host}:{self.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection. Raises OSError; the caller sets the time limit."""
        if self.port is None:
            return await asyncio.open_unix_connection(self.host)
        return await asyncio.open_connection(self.host, self.port)


class UnansweredError(Exception):
    """A request that was not answered."""

    def __init__(self, why: str, *, since: float = 0.0, limit: bool = False) -> None:
        """`why` may hold what a server says. A Talk that raises this itself leaves `since` to `Upstream.run`."""
        super().__init__(why)
        self.why = printable(why, 200)
        self.since = since
        """Seconds since the epoch: since when no server has answered, or when this very request first failed."""
        self.limit = limit
        """It never will be: it is beyond a limit."""

    def fact(self, source: str) -> Fact:
        """Return this as the answer to a VirusScan or SpamScan; see there for the data."""
        data = ("limit",) if self.limit else ("failing", f"{self.since:.0f}")
        return Fact(Status.TEMPERROR, data, at=time.time(), source=source, why=self.why)


def unreadable(content: Content) -> UnansweredError:
    """Return why a message that was given up (`Content.why`) is not scanned."""
    return UnansweredError(content.why, limit=content.beyond_limits)


def message_key(content: Content) -> str:
    """Return what a message is known by when it comes again: Message-ID, From and Date, or without them its header."""
    named = [field for field in content.headers if field.name.lower() in {b"message-id", b"from", b"date"}]
    digest = hashlib.sha256()
    for name, value in named or content.headers:
        digest.update(b"%b:%b\n" % (name.lower(), value))
    return digest.hexdigest()


async def read_reply(reader: asyncio.StreamReader, at_most: int) -> bytes:
    """Return what a server says until it closes; where that is more than it may say, some of what is over as well."""
    reply = b""
    while len(reply) <= at_most and (more := await reader.read(at_most)):
        reply += more
    return reply


class Upstream:
    """Servers of one service, in the order of preference: the first of them that answers is asked.

    A server that fails is asked at once whether it lives (`ping`), and whoever comes meanwhile waits for what it says.
    Without an answer it is down, what is under way there is broken off, and it is asked again every second. While all
    are down nobody waits, but for a server that may be restarting. To be made inside the event loop.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        ping: Talk[None],
        *,
        at_once: int,
        deadline: float,
        restart: float = 0.0,
    ) -> None:
        """`at_once` is the most requests under way; `deadline` the seconds for one, waiting and retry included.

        `restart` is how many seconds from the beginning of an outage requests wait for its end.
        """
        self._servers = [_Server(endpoint, ping, self._answering) for endpoint in endpoints]
        self._slots = asyncio.Semaphore(at_once)
        self._deadline = deadline
        self._restart = restart
        self._returned = asyncio.Event()
        self._failed: OrderedDict[str, float] = OrderedDict()
        """By key, the loop's time when that request first failed; the latest last."""
        self._counts = {"scans": 0, "unscanned": 0, "retried": 0}
        self._failing_seconds = 0.0
        """Of the outages that are over."""

    @property
    def failing_since(self) -> float | None:
        """Since when no server has answered, in seconds since the epoch; None while one does, as far as is known."""
        begun = self._outage()
        return None if begun is None else _epoch(begun)

    def fact(self, source: str) -> Fact:
        """Return the answer to the question Scanner."""
        since = self.failing_since
        if since is None:
            return Fact(Status.PASS, at=time.time(), source=source)
        return Fact(Status.FAIL, (f"{since:.0f}",), at=time.time(), source=source, why=self._why())

    def counts(self) -> Mapping[str, float]:
        """Return how many requests were answered, not answered, tried twice; for how long none could be answered."""
        begun = self._outage()
        now = 0.0 if begun is None else _now() - begun
        return {**self._counts, "failing_seconds": self._failing_seconds + now}

    async def run(self, talk: Talk[T], *, key: str = "", count: bool = True) -> tuple[T, Endpoint]:
        """Have a request answered; return what `talk` returned, and by whom that was said.

        After a server's failure another one is tried, once. Raises UnansweredError. `key` names a request that may come
        again: how long it has been failing is remembered. A failure is not counted where the caller is to (`count`).
        """
        try:
            answer = await self._within(_now() + self._deadline, talk)
        except UnansweredError as error:
            raise (self.unanswered(error, key) if count else error) from error.__cause__
        except Exception as error:  # a bug of ours, reported: it must not keep a message waiting for ever either
            context = {"message": "asking a scanner", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            unanswered = UnansweredError("an error of our own")
            raise (self.unanswered(unanswered, key) if count else unanswered) from error
        self._counts["scans"] += 1
        self._failed.pop(key, None)
        return answer

    def unanswered(self, error: UnansweredError, key: str) -> UnansweredError:
        """Count a request that was not answered, or not even made, and say since when; return its error."""
        if not error.limit:
            error.since = self._note_failure(key)
        return error

    def close(self) -> None:
        """Ask no server any more whether it lives. Requests under way are for those to cancel who made them."""
        for server in self._servers:
            server.close()

    async def _within(self, end: float, talk: Talk[T]) -> tuple[T, Endpoint]:
        try:
            async with asyncio.timeout_at(end):
                await self._slots.acquire()
        except TimeoutError:
            raise UnansweredError(f"too many requests at once for {self._deadline:g} s") from None
        try:
            return await self._with_retry(end, talk)
        finally:
            self._slots.release()

    async def _with_retry(self, end: float, talk: Talk[T]) -> tuple[T, Endpoint]:
        server = await self._choose(end) or await self._restarted(end)
        if server is None:
            raise UnansweredError(self._why())
        others = any(other.answers for other in self._servers if other is not server)
        try:  # a server that hangs leaves time for another one
            return await server.talk(talk, (_now() + end) / 2 if others else end), server.endpoint
        except _FAULTS as error:
            first = error
        another = await self._choose(end, server)
        if another is None:
            another = await self._restarted(end, server)
        if another is None:
            raise UnansweredError(_blame(server, first))
        self._counts["retried"] += 1
        try:
            return await another.talk(talk, end), another.endpoint
        except _FAULTS as error:
            raise UnansweredError(f"{_blame(server, first)}; {_blame(another, error)}") from error

    async def _choose(self, end: float, failed: "_Server | None" = None) -> "_Server | None":
        """Return the first server that answers; where that is in doubt for all, once it is known."""
        candidates = [server for server in self._servers if server is not failed]
        for server in candidates:
            if server.answers:
                return server
        for server in candidates:
            if await server.lives(end):
                return server
        return None

    async def _restarted(self, end: float, failed: "_Server | None" = None) -> "_Server | None":
        """Return the first server that is back from an outage as short as a restart; None where nothing was down."""
        if not self._restart or (failed is not None and await failed.lives(end)):
            return None
        begun = self._outage()
        if begun is not None:
            self._returned.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(end, begun + self._restart)):
                    await self._returned.wait()
        return next((server for server in self._servers if server.answers), None)

    def _why(self) -> str:
        """Return what each server's failure was."""
        return "; ".join(f"{server.endpoint}: {server.why}" for server in self._servers)

    def _outage(self) -> float | None:
        """Return the loop's time since when all servers have been down; None where one is not."""
        begun = [server.failing_since for server in self._servers if server.is_down]
        return max(begun) if begun and len(begun) == len(self._servers) else None

    def _answering(self) -> None:
        """Note that a server is about to count as living again: perhaps an outage ends."""
        begun = self._outage()
        if begun is not None:
            self._failing_seconds += _now() - begun
        self._returned.set()

    def _note_failure(self, key: str) -> float:
        """Return since when this request, or every request, has been failing."""
        self._counts["unscanned"] += 1
        begun = self._outage()
        since = _now() if begun is None else begun
        if key:
            since = self._failed[key] = min(self._failed.get(key, since), since)
            self._failed.move_to_end(key)
            if len(self._failed) > _REMEMBERED:
                self._failed.popitem(last=False)
        return _epoch(since)


class _Server:
    """One of an upstream's servers: it answers, is in doubt, or is down."""

    def __init__(self, endpoint: Endpoint, ping: Talk[None], on_answer: Callable[[], None]) -> None:
        """`on_answer` is called before a server that was down counts as living."""
        self.endpoint = endpoint
        self.is_down = False
        self.failing_since = 0.0
        """The loop's time of the failure that brought it into doubt."""
        self.why = ""
        """What that failure was."""
        self._ping = ping
        self._on_answer = on_answer
        self._known = asyncio.Event()
        """It is not in doubt."""
        self._known.set()
        self._attempts: set[asyncio.Timeout] = set()
        """The time limits of what is under way."""
        self._probing: asyncio.Task[None] | None = None

    @property
    def answers(self) -> bool:
        """Whether it does, as far as is known."""
        return self._known.is_set() and not self.is_down

    async def lives(self, end: float) -> bool:
        """Return whether it answers, once that is known; False at the end of time."""
        try:
            async with asyncio.timeout_at(end):
                await self._known.wait()
        except TimeoutError:
            return False
        return not self.is_down

    async def talk(self, talk: Talk[T], end: float) -> T:
        """Ask it. Raises what `talk` raises, and TimeoutError; a failure brings it into doubt."""
        begun = _now()
        try:
            return await self._attempt(talk, end)
        except _FAULTS as error:
            self._doubt(_reason(error))
            raise
        except asyncio.CancelledError:
            if _now() - begun > _PING_WITHIN:
                self._doubt("somebody gave up waiting")
            raise

    async def _attempt(self, talk: Talk[T], end: float) -> T:
        async with asyncio.timeout_at(end) as limit:
            self._attempts.add(limit)
            try:
                reader, writer = await self.endpoint.connect()
                try:
                    return await talk(reader, writer)
                finally:
                    writer.transport.abort()
            finally:
                self._attempts.discard(limit)

    def _doubt(self, why: str) -> None:
        if self.answers:
            self.why = why
            self.failing_since = _now()
            self._known.clear()
            self._probing = asyncio.get_running_loop().create_task(self._probe())

    async def _probe(self) -> None:
        """Find out whether it lives, and if not, when it does again."""
        while not await self._is_alive():
            self._set_down()
            await asyncio.sleep(_PING_EVERY)
        self._on_answer()
        self.is_down = False
        self._known.set()

    async def _is_alive(self) -> bool:
        try:
            await self._attempt(self._ping, _now() + _PING_WITHIN)
        except _FAULTS:
            return False
        return True

    def _set_down(self) -> None:
        """Let nobody wait for it any more."""
        self.is_down = True
        self._known.set()
        for limit in self._attempts:
            if not limit.expired():
                limit.reschedule(_now())

    def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()


def _blame(server: _Server, error: Exception) -> str:
    return f"{server.endpoint}: {_reason(error)}"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, EOFError):
        return "closed without an answer"
    number = error.errno if isinstance(error, OSError) else None
    return printable(os.strerror(number) if number and number > 0 else str(error) or type(error).__name__, 100)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _epoch(loop_time: float) -> float:
    """Return a time of the loop in seconds since the epoch."""
    return time.time() - (_now() - loop_time)
