"""The content front: an asyncio protocol that carries one message from Exim to an EximSession, and the answer back.

Exim opens a connection for each message, and reads until we close it.
"""

import asyncio

from earmark.engine import Engine
from earmark.fronts.connections import Connection, Connections
from earmark.fronts.events import Events
from earmark.fronts.exim_session import EximSession
from earmark.wire import RemoteError


class EximFront(Connections["EximConnection"]):
    """All content connections of a worker."""

    def __init__(self, engine: Engine, log: Events, *, idle: float = 300.0) -> None:
        """Close connections on which no whole message comes within `idle` seconds."""
        super().__init__("exim", log, idle=idle)
        self.engine = engine

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol for a new connection: a factory for `loop.create_server` and `create_unix_server`."""
        return EximConnection(self)


class EximConnection(Connection):
    """One connection: reads a message, writes the answer, and closes."""

    __slots__ = ("session",)

    def __init__(self, front: EximFront) -> None:
        super().__init__(front)
        self.session = EximSession(front.engine, front.log, self._go_on)

    @property
    def busy(self) -> bool:
        """True while the engine decides: on the recipients, or on the message."""
        return self.session.held_back or (self.session.whole and not self.session.ended)

    def drain(self) -> None:
        """Do nothing: the connection ends with the message that it was opened for."""

    def data_received(self, data: bytes) -> None:
        """Take what Exim sent."""
        try:
            self.session.take(data)
        except RemoteError as error:
            self.session.close()
            self.give_up(error)
        else:
            self._go_on()

    def eof_received(self) -> bool:
        """Wait for nothing more, nor let anything run on: Exim closes its side only when it gives up."""
        if self.session.begun and not self.session.whole:
            self.give_up(RemoteError("a message that is not whole"))
        return False

    def _go_on(self) -> None:
        """Do what the session has come to; it may be told twice."""
        session = self.session
        answer, session.answer = session.answer, b""
        if answer:
            self._transport.write(answer)
        if session.ended:
            self.close()
        elif session.held_back:
            self.hold_back()
        else:
            self.read_on()

    def connection_lost(self, error: Exception | None) -> None:
        """End what is under way: who hangs up is told nothing."""
        self.session.close()
        del self.session  # it has our `_go_on`: freed now, not when the collector finds the two
        super().connection_lost(error)
