"""The resolver: look-ups by callback, over UDP, with nothing made for a look-up but its entry in a table.

A task or a timer for each look-up costs more than the look-up itself. So answers are read as the sockets get them, one
sweep at a time finds what is overdue, and only a truncated answer gets a task of its own.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence

from earmark.clients.dns.cache import Cache
from earmark.clients.dns.codec import read_reply
from earmark.clients.dns.lookups import Done
from earmark.clients.dns.server import Server, Socket, system_resolvers
from earmark.clients.dns.tcp import ask_by_tcp
from earmark.core.evidence import Fact, Status
from earmark.wire import dnsxl

_TTL_AT_LEAST, _TTL_AT_MOST = 60, 3600
_ERROR_TTL = 5
"""Seconds for which an error that a resolver reported is remembered."""
_RESEND_AFTER = (0.5, 1.0, 2.0)
"""Seconds from the first try to the second, from the second to the third, and so on."""
_SWEEP_EVERY = 0.05
_OPEN_AT_MOST = 20_000
_BY_TCP_AT_MOST = 100
_RECORDS_AT_MOST = 100


class _Lookup:
    """One name and type under way, for all who wait for it."""

    __slots__ = (
        "asked", "due", "earlier", "edns", "errors", "number", "refusals", "resend_at", "sent_at", "server", "socket",
        "task", "tries", "waiters",
    )  # fmt: skip

    def __init__(self, asked: bytes, server: "Server[_Lookup]", done: Done, deadline: float) -> None:
        self.asked = asked
        self.server = server
        """The one that was asked last, or that is answering."""
        self.waiters = [(deadline, done)]
        self.due = deadline
        self.resend_at = math.inf
        self.tries = 0
        self.errors = 0
        self.refusals = 0
        self.edns = True
        self.socket: Socket[_Lookup] | None = None
        """Where the last try was sent, with which number, and when. None while no answer by UDP is waited for."""
        self.number = 0
        self.sent_at = 0.0
        self.earlier: tuple[tuple[Socket[_Lookup], int], ...] = ()
        """The tries before, which may be answered yet."""
        self.task: asyncio.Task[None] | None = None

    def set_due(self) -> None:
        """Set when the sweep has to look at this again."""
        self.due = min(self.resend_at, *(deadline for deadline, _ in self.waiters))

    def wait_on(self, socket: "Socket[_Lookup]", number: int) -> None:
        """Wait for an answer to a try."""
        if self.socket is not None:
            self.earlier += ((self.socket, self.number),)
        self.socket, self.number = socket, number
        socket.waiting[number] = self

    def release(self) -> None:
        """Wait on no socket any more; what still comes finds nobody."""
        if self.socket is not None:
            self.socket.waiting.pop(self.number, None)
            self.socket = None
        if self.earlier:
            for socket, number in self.earlier:
                socket.waiting.pop(number, None)
            self.earlier = ()


class Resolver:
    """Asks the resolvers of the site; see `Lookups` for what it answers.

    The first resolver that is well is asked; the next one when it is silent for half a second, refuses or reports an
    error. What is asked twice at once is asked once. Answers are kept from a minute to an hour, whatever the TTL says.
    """

    def __init__(self, servers: Sequence[str] = (), *, cache_size: int = 100_000) -> None:
        """Take the resolvers' addresses, in order of preference; none given means the system's.

        Raises ValueError for what is no address.
        """
        self._servers: list[Server[_Lookup]] = [
            Server(text, self._hear, self._refused) for text in servers or system_resolvers()
        ]
        self._cache = Cache(cache_size)
        self._open: dict[bytes, _Lookup] = {}
        self._by_tcp: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def lookup(self, name: str, rtype: str, done: Done, *, give_up: float = 5.0) -> None:
        """Look a name up; see `Lookups.lookup`."""
        try:
            asked = dnsxl.question(name.lower(), rtype)
        except ValueError:
            done(self._no_name())
            return
        self.lookup_question(asked, done, give_up=give_up)

    def lookup_question(self, asked: bytes, done: Done, *, give_up: float = 5.0) -> None:
        """Look up what a question section asks; see `Lookups.lookup_question`."""
        now = time.monotonic()
        known = self._cache.get(asked, now)
        if known is not None:
            done(known)
            return
        under_way = self._open.get(asked)
        if under_way is not None:
            under_way.waiters.append((now + give_up, done))
            under_way.due = min(under_way.due, now + give_up)
            return
        self._begin(asked, done, now, give_up)

    async def get(self, name: str, rtype: str, *, give_up: float = 5.0) -> Fact:
        """Look a name up and wait for it."""
        future: asyncio.Future[Fact] = asyncio.get_running_loop().create_future()

        def arrive(fact: Fact) -> None:
            if not future.done():
                future.set_result(fact)

        self.lookup(name, rtype, arrive, give_up=give_up)
        return await future

    def close(self) -> None:
        """Close the sockets. Who still waits is told TEMPERROR."""
        self._closed = True
        while self._open:  # who is told may close us too
            self._finish(next(iter(self._open.values())), self._error("closed"))
        for server in self._servers:
            server.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, asked: bytes, done: Done, now: float, give_up: float) -> None:
        if len(asked) > dnsxl.QUESTION_AT_MOST:
            done(self._no_name())
            return
        if self._closed or len(self._open) >= _OPEN_AT_MOST:
            done(self._error("closed" if self._closed else "too many look-ups under way"))
            return
        first = self._servers[0]
        server = first if first.is_well else self._choose(0, now)
        lookup = self._open[asked] = _Lookup(asked, server, done, now + give_up)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP_EVERY, self._sweep)
        self._send(lookup, server, now)

    def _no_name(self) -> Fact:
        return Fact(Status.NONE, (), _TTL_AT_LEAST, time.time(), self._servers[0].name, "not a domain name")

    def _choose(self, tries: int, now: float) -> Server[_Lookup]:
        servers = self._servers
        if not tries:
            if servers[0].is_well:
                return servers[0]
            for server in servers:
                if not server.is_well and server.may_be_probed(now):
                    return server
        well = [server for server in servers if server.is_well] or servers
        return well[tries % len(well)]

    def _send(self, lookup: _Lookup, server: Server[_Lookup], now: float) -> None:
        wait = _RESEND_AFTER[lookup.tries] if lookup.tries < len(_RESEND_AFTER) else math.inf
        lookup.tries += 1
        lookup.server, lookup.sent_at, lookup.resend_at = server, now, now + wait
        lookup.due = min(lookup.due, lookup.resend_at)
        try:
            socket, number = server.draw(now)
        except OSError as error:
            self._refused((lookup,), error)
            return
        lookup.wait_on(socket, number)
        try:
            socket.send(dnsxl.query(number, lookup.asked, edns=lookup.edns))
        except OSError as error:
            server.lose(socket, error)

    def _refused(self, lookups: Iterable[_Lookup], error: OSError) -> None:
        """Go to a resolver that is well, or wait for the next try; give up when each has refused, and one twice."""
        now = time.monotonic()
        for lookup in lookups:
            if self._open.get(lookup.asked) is not lookup:
                continue
            lookup.refusals += 1
            if lookup.refusals > len(self._servers):
                self._finish(lookup, self._error(f"resolver unreachable: {error.strerror}", lookup.server))
            elif any(server.is_well for server in self._servers):
                self._send(lookup, self._choose(lookup.tries, now), now)

    def _hear(self, server: Server[_Lookup], lookup: _Lookup, packet: bytes, now: float) -> None:
        """Take a packet that bears a look-up's id: forged, broken or true."""
        answer = dnsxl.read_common(packet, lookup.asked)
        if answer is None:
            self._hear_uncommon(server, lookup, packet, now)
            return
        server.answered(now)
        lookup.server = server
        rcode, ttl, data = answer
        self._learn(lookup, data, ttl, "NXDOMAIN" if rcode else "NODATA", now)

    def _hear_uncommon(self, server: Server[_Lookup], lookup: _Lookup, packet: bytes, now: float) -> None:
        if not dnsxl.is_reply(packet, lookup.asked):
            return
        server.answered(now)
        lookup.server = server
        if dnsxl.is_truncated(packet):
            self._go_to_tcp(server, lookup)
            return
        self._take(server, lookup, packet, now)

    def _go_to_tcp(self, server: Server[_Lookup], lookup: _Lookup) -> None:
        if len(self._by_tcp) >= _BY_TCP_AT_MOST:
            self._finish(lookup, self._error("truncated; too many connections by TCP", server))
            return
        lookup.release()
        lookup.resend_at = math.inf
        lookup.set_due()
        lookup.task = asyncio.get_running_loop().create_task(self._hear_by_tcp(server, lookup))
        self._by_tcp.add(lookup.task)
        lookup.task.add_done_callback(self._by_tcp.discard)

    async def _hear_by_tcp(self, server: Server[_Lookup], lookup: _Lookup) -> None:
        """Ask again by TCP. The look-up's deadline cancels this."""
        query = dnsxl.query(0, lookup.asked, edns=lookup.edns)
        why = "the answer by TCP is no reply"
        try:
            packet = await ask_by_tcp(server.host, server.port, query)
        except (OSError, EOFError) as error:
            why = f"{type(error).__name__} by TCP"
        else:
            lookup.task = None
            if dnsxl.is_reply(packet, lookup.asked) and not dnsxl.is_truncated(packet):
                self._take(server, lookup, packet, time.monotonic())
        if self._open.get(lookup.asked) is lookup and lookup.socket is None:
            lookup.task = None
            self._finish(lookup, self._error(f"truncated; {why}", server))

    def _take(self, server: Server[_Lookup], lookup: _Lookup, packet: bytes, now: float) -> None:
        """Take a true reply, whatever it says."""
        reply = read_reply(packet)
        if reply is None:
            return
        if reply.rcode in {"NOERROR", "NXDOMAIN"} and not reply.problem:
            negative = "NODATA" if reply.rcode == "NOERROR" else "NXDOMAIN"
            self._learn(lookup, reply.data, reply.ttl, negative, now)
            return
        self._fail(server, lookup, reply.problem or reply.rcode, now)

    def _learn(self, lookup: _Lookup, data: tuple[str, ...], ttl: int, negative: str, now: float) -> None:
        if not _TTL_AT_LEAST <= ttl <= _TTL_AT_MOST:
            ttl = min(max(ttl, _TTL_AT_LEAST), _TTL_AT_MOST)
        source = lookup.server.name
        if data:
            fact = Fact(Status.PASS, data[:_RECORDS_AT_MOST], ttl, time.time(), source)
        else:
            fact = Fact(Status.NONE, (), ttl, time.time(), source, negative)
        self._finish(lookup, fact, now + ttl)

    def _fail(self, server: Server[_Lookup], lookup: _Lookup, why: str, now: float) -> None:
        """Take an error: ask without EDNS where that may be the cause, or ask another resolver, or let it stand."""
        if why == "FORMERR" and lookup.edns:
            lookup.edns = False
            lookup.release()
            self._send(lookup, server, now)
            return
        lookup.errors += 1
        others = [other for other in self._servers if other.is_well and other is not server]
        if lookup.errors <= len(others):
            lookup.release()
            self._send(lookup, others[lookup.errors - 1], now)
            return
        self._finish(lookup, self._error(why, server)._replace(ttl=_ERROR_TTL), now + _ERROR_TTL)

    def _error(self, why: str, server: Server[_Lookup] | None = None) -> Fact:
        source = (server or self._servers[0]).name
        return Fact(Status.TEMPERROR, (), 0, time.time(), source, why)

    def _finish(self, lookup: _Lookup, fact: Fact, until: float = 0.0) -> None:
        del self._open[lookup.asked]
        lookup.release()
        if lookup.task is not None:
            lookup.task.cancel()
            lookup.task = None
        if until:
            self._cache.put(lookup.asked, fact, until)
        _tell(lookup.waiters, fact)

    def _sweep(self) -> None:
        now = time.monotonic()
        for lookup in [lookup for lookup in self._open.values() if lookup.due <= now]:
            if self._open.get(lookup.asked) is lookup:
                self._overdue(lookup, now)
        untidy = [server.tidy() for server in self._servers]
        again = self._open or any(untidy)
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_EVERY, self._sweep) if again else None

    def _overdue(self, lookup: _Lookup, now: float) -> None:
        """Tell those whose time is up, and try again for the others."""
        late = [waiter for waiter in lookup.waiters if waiter[0] <= now]
        server = lookup.server
        if lookup.task is None and now >= lookup.sent_at + _RESEND_AFTER[0]:
            server.missed(lookup.sent_at)
        if len(late) == len(lookup.waiters):
            self._finish(lookup, self._error("timeout", server))
            return
        if late:
            lookup.waiters = [waiter for waiter in lookup.waiters if waiter[0] > now]
        if now >= lookup.resend_at:
            self._send(lookup, self._choose(lookup.tries, now), now)
        if self._open.get(lookup.asked) is lookup:
            lookup.set_due()
        _tell(late, self._error("timeout", server))


def _tell(waiters: Iterable[tuple[float, Done]], fact: Fact) -> None:
    """Hand an answer over. One who cannot take it is our own bug, and must not keep the others from theirs."""
    for _, done in waiters:
        try:
            done(fact)
        except Exception as error:  # noqa: BLE001 - reported to the loop's handler
            asyncio.get_running_loop().call_exception_handler({"message": "taking a DNS answer", "exception": error})
