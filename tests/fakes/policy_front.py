"""The real engine and the real policy front on a real unix socket, in this process, over a literal world."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from earmark.core.policy import Policy, PolicySet
from earmark.core.record import Judged
from earmark.engine import Engine
from earmark.fronts.policy import PolicyFront
from earmark.wire.attributes import encode_request
from fakes.invariants import Before
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.world import FakeWorld

DEADLINE = 20.0
RCPT = {
    "request": "smtpd_access_policy",
    "protocol_state": "RCPT",
    "protocol_name": "ESMTP",
    "client_address": "192.0.2.7",
    "client_port": "2525",
    "client_name": "mail.example.net",
    "reverse_client_name": "mail.example.net",
    "helo_name": "mail.example.net",
    "sender": "a@example.net",
    "recipient": "b@example.org",
    "queue_id": "",
    "instance": "1a2.5f3e.0",
    "sasl_method": "",
    "sasl_username": "",
    "size": "0",
}
"""A request as Postfix sends it, in part."""
EXIM = {
    "request": "earmark",
    "protocol_state": "RCPT",
    "client_address": "192.0.2.7",
    "client_port": "2525",
    "client_name": "mail.example.net",
    "helo_name": "mail.example.net",
    "sender": "a@example.net",
    "recipient": "b@example.org",
    "recipients": "",
    "host": "mx.example.org",
}
"""A request as an ACL of Exim sends it."""


def request(usual: Mapping[str, str] = RCPT, **differs: str | None) -> bytes:
    """Return the usual request with what differs; None leaves an attribute out."""
    attributes = {**usual, **differs}
    return encode_request(
        (name.encode(), value.encode("utf-8", "surrogateescape"))
        for name, value in attributes.items()
        if value is not None
    )


class Mta:
    """The MTA's side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, path: str) -> "Mta":
        return cls(*await asyncio.open_unix_connection(path))

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def hear(self) -> bytes:
        """Return the next answer in Postfix's dialect. Raises EOFError where the connection ends."""
        try:
            async with asyncio.timeout(DEADLINE):
                return (await self.reader.readuntil(b"\n\n")).removesuffix(b"\n\n")
        except asyncio.IncompleteReadError as error:
            raise EOFError(error.partial) from None

    async def hear_all(self) -> bytes:
        """Return all that comes until the connection ends."""
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    async def ask(self, raw: bytes) -> bytes:
        self.send(raw)
        return await self.hear()

    async def vanish(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@dataclass
class RunningPolicyFront:
    """What a test may look at."""

    path: str
    front: PolicyFront
    world: FakeWorld
    events: EventList = field(default_factory=EventList)
    told: list[Judged] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """The 4xx and 5xx replies that the MTA side has seen."""

    async def alone(self, raw: bytes, *, half_close: bool = True) -> bytes:
        """Return all that is answered on a connection of its own, as ${readsocket} has it."""
        mta = await Mta.open(self.path)
        mta.send(raw)
        if half_close:
            mta.writer.write_eof()
        heard = await mta.hear_all()
        await mta.vanish()
        return heard


@asynccontextmanager
async def policy_front(
    world: FakeWorld | None = None,
    *,
    default: Policy | None = None,
    domains: Mapping[str, Policy] | None = None,
    budget: float = 5.0,
    **options: Any,
) -> AsyncIterator[RunningPolicyFront]:
    """Serve on a socket in a private directory; the invariants are checked at the end."""
    world = world or FakeWorld()
    before = Before.now()
    events, told = EventList(), list[Judged]()
    ids = (f"ID{number:010d}" for number in range(10**10))
    policies = PolicySet(default or lists_only(), domains or {}, OWN_SITE)
    engine = replace(Engine(policies, world, GENERATION, told.append, budget=budget), new_id=lambda: next(ids))
    front = PolicyFront(engine, events, **options)
    with TemporaryDirectory() as directory:
        path = str(Path(directory, "policy"))
        server = await asyncio.get_running_loop().create_unix_server(front.protocol, path, backlog=1024)
        running = RunningPolicyFront(path, front, world, events, told)
        try:
            yield running
        finally:
            server.close()
            front.close()
            await asyncio.wait_for(front.drained(), 10)
    await before.holds(running.told, running.refusals, budget)


def answers(raw: bytes) -> Sequence[tuple[str, str]]:
    """Return the fields of an answer in the dialect for Exim, as they come."""
    lines = raw.decode("ascii").splitlines()
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]
