"""The policy front: an asyncio protocol that carries requests between an MTA and a PolicySession.

What a read brings is worked off at once and answered with one write. While RCPT waits for the engine, later requests
are kept, and nothing more is read after them.
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import chain

from earmark.engine import Engine
from earmark.fronts.connections import Connection, Connections
from earmark.fronts.events import Events
from earmark.fronts.policy_session import PolicySession
from earmark.wire import RemoteError
from earmark.wire.attributes import Attributes, Splitter


class PolicyFront(Connections["PolicyConnection"]):
    """All policy connections of a worker."""

    def __init__(self, engine: Engine, log: Events, *, idle: float = 600.0) -> None:
        """Close connections that bring no whole request for `idle` seconds."""
        super().__init__("policy", log, idle=idle)
        self.engine = engine

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol for a new connection: a factory for `loop.create_server` and `create_unix_server`."""
        return PolicyConnection(self)


class PolicyConnection(Connection):
    """One connection: splits what it reads, works off the requests, writes the answers."""

    __slots__ = ("_no_more", "_rest", "_splitter", "_working", "session")

    def __init__(self, front: PolicyFront) -> None:
        super().__init__(front)
        self._splitter = Splitter()
        self._rest: Iterator[Attributes] = iter(())
        self._working = self._no_more = False
        self.session = PolicySession(front.engine, front.log, self._resume)

    @property
    def busy(self) -> bool:
        """True while RCPT waits for the engine."""
        return self.session.waiting

    def drain(self) -> None:
        """Close once nothing waits: who keeps the connection for later opens another one."""
        if not self.busy:
            self.close()

    def data_received(self, data: bytes) -> None:
        """Work off what the MTA sent."""
        try:
            requests = self._splitter.feed(data)
        except RemoteError as error:
            self.give_up(error)
            return
        if not requests:
            return
        self.heard = time.monotonic()
        if self.busy:
            self._rest = chain(self._rest, requests)
            self.hold_back()
        else:
            self._work(iter(requests))

    def eof_received(self) -> bool:
        """Keep the connection of one who has closed his side and waits for his answer; else nobody waits any more."""
        if self._splitter.in_request:
            self.give_up(RemoteError("a request without the empty line that ends it"))
            return False
        self._no_more = True
        return self.busy and self.session.may_half_close

    def _work(self, requests: Iterator[Attributes]) -> None:
        self._working = True
        try:
            self.session.take(requests)
        except RemoteError as error:
            self._write()
            self.session.close()
            self.give_up(error)
        self._working = False
        self._write()
        if self.busy:
            self._rest = requests
        elif self.session.ended or self._no_more or self._front.draining:
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
        requests, self._rest = self._rest, iter(())
        self._work(requests)
        if not self.busy:
            self.read_on()

    def connection_lost(self, error: Exception | None) -> None:
        """End the waiting: who hangs up is told nothing, and nothing is remembered of it."""
        self.session.close()
        del self.session  # it has our `_resume`: freed now, not when the collector finds the two
        super().connection_lost(error)
