"""The native milter front: an asyncio protocol that carries packets between an MTA and a MilterSession.

What a read brings is worked off at once and answered with one write. While RCPT or end of message waits for the engine,
later packets are kept; an MTA sends none before it has its answer, so reading goes on only to notice that it hung up.
"""

import asyncio
import socket
import time
from collections.abc import Iterator
from itertools import chain
from typing import cast

from earmark.core.text import printable
from earmark.engine import Engine
from earmark.fronts.milter_session import Events, MilterSession, Shared
from earmark.fronts.milter_terms import UNUSED_MACROS
from earmark.wire import RemoteError
from earmark.wire.milter import Packet, Splitter


class MilterFront:
    """All milter connections of a worker."""

    def __init__(self, engine: Engine, log: Events, *, idle: float = 3600.0) -> None:
        """Close connections that bring no whole packet for `idle` seconds."""
        self.shared = Shared(engine, log)
        self._idle = idle
        self.open: set[MilterConnection] = set()
        """The connections as they stand."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event = asyncio.Event()
        self._empty.set()

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol for a new connection: a factory for `loop.create_server` and `create_unix_server`."""
        return MilterConnection(self)

    @property
    def sessions(self) -> int:
        """How many connections are open."""
        return len(self.open)

    def drain(self) -> None:
        """Let every connection end with the SMTP session that it belongs to; close those that the MTA has in store.

        One that is closed between two messages of an SMTP session is an error to Postfix, which answers 451 to all that
        follows in that session; so these are left alone.
        """
        self.shared.draining = True
        for connection in tuple(self.open):
            if connection.session.between_clients:
                connection.close()

    async def drained(self) -> None:
        """Wait until no connection is open. Whoever calls sets the deadline, and ends it with `close`."""
        await self._empty.wait()

    def close(self) -> None:
        """Close all connections as they stand."""
        for connection in tuple(self.open):
            connection.close()

    def opened(self, connection: "MilterConnection") -> None:
        """Count a connection."""
        self.open.add(connection)
        self._empty.clear()
        if self._sweeper is None:
            self._sweep_later()

    def closed(self, connection: "MilterConnection") -> None:
        """Discount a connection."""
        self.open.discard(connection)
        if not self.open:
            self._empty.set()
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None

    def _sweep_later(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(self._idle / 4, self._sweep)

    def _sweep(self) -> None:
        """Close what has been silent for too long. One timer for all is cheaper than one that each read sets anew."""
        before = time.monotonic() - self._idle
        for connection in tuple(self.open):
            if connection.heard < before and not connection.session.waiting:
                self.shared.log.event("idle", front="milter", peer=connection.peer)
                connection.abort()
        self._sweep_later()


class MilterConnection(asyncio.Protocol):
    """One connection: splits what it reads, works off the packets, writes the answers."""

    __slots__ = (
        "_front",
        "_full",
        "_paused",
        "_rest",
        "_splitter",
        "_transport",
        "_working",
        "heard",
        "peer",
        "session",
    )

    def __init__(self, front: MilterFront) -> None:
        self._front = front
        self._splitter = Splitter(UNUSED_MACROS)
        self._rest: Iterator[Packet] = iter(())
        self._working = self._paused = self._full = False
        self.session = MilterSession(front.shared, self._resume)
        self.heard = time.monotonic()
        """When the last whole packet came."""
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but inheritance
        connected: socket.socket = transport.get_extra_info("socket")
        if connected.family != socket.AF_UNIX:
            self.peer = str(transport.get_extra_info("peername")[0])
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 44 ms for each message
        self._front.opened(self)

    def data_received(self, data: bytes) -> None:
        """Work off what the MTA sent."""
        try:
            packets = self._splitter.feed(data)
        except RemoteError as error:
            self._give_up(error)
            return
        if not packets:
            return
        self.heard = time.monotonic()
        if self.session.waiting:
            self._rest = chain(self._rest, packets)
            self._paused = True
            self._transport.pause_reading()
        else:
            self._work(iter(packets))

    def _work(self, packets: Iterator[Packet]) -> None:
        self._working = True
        try:
            self.session.take(packets)
        except RemoteError as error:
            self._write()
            self._give_up(error)
        self._working = False
        self._write()
        if self.session.waiting:
            self._rest = packets
        elif self.session.ended:
            self._transport.close()

    def _write(self) -> None:
        out = self.session.out
        if out:
            self._transport.write(b"".join(out))
            out.clear()

    def _resume(self) -> None:
        """Go on after the engine has decided; where it decided at once, the loop in `_work` goes on by itself."""
        if self._working:
            return
        packets, self._rest = self._rest, iter(())
        self._work(packets)
        if self._paused and not self.session.waiting:
            self._paused = False
            self._read_on()

    @property
    def reading(self) -> bool:
        """False while the MTA is held back."""
        return not self._paused and not self._full

    def _read_on(self) -> None:
        if self.reading and not self._transport.is_closing():
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Stop reading from an MTA that does not read our answers."""
        self._full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._full = False
        self._read_on()

    def _give_up(self, error: RemoteError) -> None:
        self._front.shared.log.event("protocol_error", front="milter", peer=self.peer, why=printable(str(error)))
        self._transport.close()

    def close(self) -> None:
        """Close the connection; what was answered is still written."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once: its MTA may never read what is still to be written."""
        self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the session. An MTA that hangs up is no event: the verdict tells what became of the transaction."""
        self.session.close()
        del self.session  # it has our `_resume`: freed now, not when the collector finds the two
        self._front.closed(self)
