"""The native milter front: an asyncio protocol that carries packets between an MTA and a MilterSession.

What a read brings is worked off at once and answered with one write. While RCPT or end of message waits for the engine,
later packets are kept; an MTA sends none before it has its answer, so reading goes on only to notice that it hung up.
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import chain

from earmark.engine import Engine
from earmark.fronts.connections import Connection, Connections
from earmark.fronts.events import Events
from earmark.fronts.milter_dialogue import Shared
from earmark.fronts.milter_session import MilterSession
from earmark.fronts.milter_terms import UNUSED_MACROS
from earmark.wire import RemoteError
from earmark.wire.milter import Packet, Splitter


class MilterFront(Connections["MilterConnection"]):
    """All milter connections of a worker."""

    def __init__(self, engine: Engine, log: Events, *, idle: float = 3600.0) -> None:
        """Close connections that bring no whole packet for `idle` seconds."""
        super().__init__("milter", log, idle=idle)
        self.shared = Shared(engine, log)

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol for a new connection: a factory for `loop.create_server` and `create_unix_server`."""
        return MilterConnection(self)


class MilterConnection(Connection):
    """One connection: splits what it reads, works off the packets, writes the answers."""

    __slots__ = ("_rest", "_splitter", "_working", "session")

    def __init__(self, front: MilterFront) -> None:
        super().__init__(front)
        self._splitter = Splitter(UNUSED_MACROS)
        self._rest: Iterator[Packet] = iter(())
        self._working = False
        self.session = MilterSession(front.shared, self._resume)

    @property
    def busy(self) -> bool:
        """True while RCPT or end of message waits for the engine."""
        return bool(self.session.waiting)

    def drain(self) -> None:
        """Close if the MTA keeps the connection for a client to come; else it ends with its SMTP session.

        One that is closed between two messages of an SMTP session is an error to Postfix, which answers 451 to all that
        follows in that session; so these are left alone.
        """
        if self.session.between_clients:
            self.close()

    def data_received(self, data: bytes) -> None:
        """Work off what the MTA sent."""
        try:
            packets = self._splitter.feed(data)
        except RemoteError as error:
            self.give_up(error)
            return
        if not packets:
            return
        self.heard = time.monotonic()
        if self.session.waiting:
            self._rest = chain(self._rest, packets)
            self.hold_back()
        else:
            self._work(iter(packets))

    def _work(self, packets: Iterator[Packet]) -> None:
        self._working = True
        try:
            self.session.take(packets)
        except RemoteError as error:
            self._write()
            self.give_up(error)
        self._working = False
        self._write()
        if self.session.waiting:
            self._rest = packets
        elif self.session.ended or (self.session.between_clients and self._front.draining):
            self.close()

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
        if not self.session.waiting:
            self.read_on()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the session. An MTA that hangs up is no event: the verdict tells what became of the transaction."""
        self.session.close()
        del self.session  # it has our `_resume`: freed now, not when the collector finds the two
        super().connection_lost(error)
