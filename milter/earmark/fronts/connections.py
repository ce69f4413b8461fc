"""What all fronts have in common: the set of open connections, how long one may be silent, and how they end."""

import asyncio
import socket
import time
from abc import abstractmethod
from typing import Any, Generic, TypeVar, cast

from earmark.core.text import printable
from earmark.fronts.events import Events
from earmark.wire import RemoteError


class Connection(asyncio.Protocol):
    """One connection: reads unless it is held back, and knows when it last brought something whole."""

    __slots__ = ("_front", "_full", "_held", "_transport", "heard", "peer")

    def __init__(self, front: "Connections[Any]") -> None:
        self._front = front
        self._held = self._full = False
        self.heard = time.monotonic()
        """When the last whole packet or request came."""
        self.peer = ""
        """The other end's address; "" on a unix socket."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """True while the other end waits for us."""

    @abstractmethod
    def drain(self) -> None:
        """End as soon as the protocol allows: now, or after what is under way."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but inheritance
        connected: socket.socket = transport.get_extra_info("socket")
        if connected.family != socket.AF_UNIX:
            self.peer = str(transport.get_extra_info("peername")[0])
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 44 ms for each answer
        self._front.opened(self)

    @property
    def reading(self) -> bool:
        """False while the other end is held back."""
        return not self._held and not self._full

    def hold_back(self) -> None:
        """Read no more until `read_on`."""
        self._held = True
        self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again after `hold_back`."""
        if self._held:
            self._held = False
            self._resume_reading()

    def pause_writing(self) -> None:
        """Stop reading from one who does not read our answers."""
        self._full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._full = False
        self._resume_reading()

    def _resume_reading(self) -> None:
        if self.reading and not self._transport.is_closing():
            self._transport.resume_reading()

    def give_up(self, error: RemoteError) -> None:
        """Tell that the other end broke the protocol, and close the connection."""
        self._front.log.event("protocol_error", front=self._front.name, peer=self.peer, why=printable(str(error)))
        self._transport.close()

    def close(self) -> None:
        """Close the connection; what was answered is still written."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once: the other end may never read what is still to be written."""
        self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection."""
        self._front.closed(self)


C = TypeVar("C", bound=Connection)


class Connections(Generic[C]):
    """All connections of a front. What speaks its protocol is `protocol`, which each front has for itself."""

    def __init__(self, name: str, log: Events, *, idle: float) -> None:
        """`name` is the front's in events. Close connections that bring nothing whole for `idle` seconds."""
        self.name = name
        self.log = log
        self.draining = False
        self._idle = idle
        self.open: set[C] = set()
        """The connections as they stand."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event = asyncio.Event()
        self._empty.set()

    @property
    def sessions(self) -> int:
        """How many connections are open."""
        return len(self.open)

    def drain(self) -> None:
        """Let every connection end, as its protocol allows."""
        self.draining = True
        for connection in tuple(self.open):
            connection.drain()

    async def drained(self) -> None:
        """Wait until no connection is open. Whoever calls sets the deadline, and ends it with `close`."""
        await self._empty.wait()

    def close(self) -> None:
        """Close all connections as they stand."""
        for connection in tuple(self.open):
            connection.close()

    def opened(self, connection: C) -> None:
        """Count a connection."""
        self.open.add(connection)
        self._empty.clear()
        if self._sweeper is None:
            self._sweep_later()

    def closed(self, connection: C) -> None:
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
            if connection.heard < before and not connection.busy:
                self.log.event("idle", front=self.name, peer=connection.peer)
                connection.abort()
        self._sweep_later()
