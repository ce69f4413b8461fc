"""The whole earmark in this process, from the policy files to the spamd that it asks: for many mails, quickly."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from earmark.clients.dns import Lookups
from earmark.clients.spamd import Spamd
from earmark.clients.zones import Zones
from earmark.config import Generation, shipped
from earmark.config.files import read_files
from earmark.config.generation import DEFAULT, DOMAINS, SERVER, compile_generation
from earmark.content import Content
from earmark.core.evidence import ReverseName, Status
from earmark.core.mail import Client, Header, parse_path
from earmark.core.own_received import own_received
from earmark.core.record import Judged
from earmark.core.verdict import InsertHeader
from earmark.engine import Engine, Session
from earmark.playing import end_of_message, rcpt
from earmark.wire.message import split_header, without_fields
from earmark.world import world_over

RECIPIENT = "bob@lab.test"
QUEUE_ID = "4RkT3x0B1mz9sZQ"
DEADLINE = 60.0
AT_ONCE = 2


class Mail(NamedTuple):
    """A message, and who hands it over."""

    client: str
    helo: str
    sender: str
    message: bytes
    """As it is on the wire: see `on_the_wire`."""
    at: float
    """When, in seconds since the epoch."""


def on_the_wire(message: bytes) -> bytes:
    """Return a message out of a file with lines that end in CRLF, without the first line of an mbox."""
    return without_fields(message, lambda _: False)


class Handled(NamedTuple):
    """What became of it."""

    judged: Judged
    scanned: bytes
    """What an ordinary scan sees: the message under the fields that our MTA writes."""

    @property
    def fields(self) -> dict[str, str]:
        """The fields that were put on top of the message."""
        return {edit.name: edit.value for edit in self.judged.verdict.edits if isinstance(edit, InsertHeader)}

    @property
    def refused(self) -> str:
        """The code of the refusal, at RCPT or after DATA; "" where it was taken."""
        replies = (self.judged.verdict.reply, *(outcome.reply for _, _, outcome in self.judged.recipients))
        return next((str(reply.code) for reply in replies if reply), "")


def generation(spamd: str, policy: str = "") -> Generation:
    """Return the shipped configuration with this spamd, and with these lines of policy for the recipient's domain."""
    files = {name: content for name, content in read_files(shipped()).items() if not name.startswith(DOMAINS)}
    files = {name: content for name, content in files.items() if name in (SERVER, DEFAULT) or name.startswith("rules/")}
    files[SERVER] = f'schema = 1\n[site]\nnames = ["mx.lab.test"]\n[spamd]\nendpoints = ["{spamd}"]\n'.encode()
    files[f"{DOMAINS}lab.toml"] = f'domains = ["lab.test"]\n{policy}\n'.encode()
    return compile_generation(files)


class Earmark:
    """Judges mails, some at once."""

    def __init__(self, session: Callable[[Mail], Session], judged: list[Judged]) -> None:
        self._session = session
        self._judged = judged

    async def handle(self, mail: Mail) -> Handled:
        """Play one mail to its end."""
        session = self._session(mail)
        sender, recipient = (parse_path(f"<{address}>".encode()) for address in (mail.sender, RECIPIENT))
        session.connect(Client(mail.client))
        session.helo(mail.helo.encode())
        session.mail(sender)
        await rcpt(session, recipient)
        session.queue_id, id_ = QUEUE_ID, session.id
        fields, begin = split_header(mail.message)
        headers, body = list(map(Header._make, fields)), mail.message[begin:]
        await end_of_message(session, headers, body)
        session.close()
        judged = next(judged for judged in self._judged if judged.id == id_)
        return Handled(judged, _ours(judged) + Content(headers).header() + body)

    async def handle_all(self, mails: Iterable[Mail]) -> list[Handled]:
        """Play many, as many at once as spamd has children."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(mail: Mail) -> Handled:
            async with turns:
                return await self.handle(mail)

        return await asyncio.gather(*map(in_turn, mails))


def _ours(judged: Judged) -> bytes:
    envelope = judged.txn.envelope
    reverse = judged.facts[ReverseName(envelope.client.address)]
    name = reverse.data[0] if reverse.status is Status.PASS else ""
    if reverse.status is Status.TEMPERROR:  # taken in the kindest sense
        name = envelope.helo or ""
    return own_received(envelope, name, judged.queue_id)


@asynccontextmanager
async def earmark(configured: Generation, lookups: Lookups, client: type[Spamd] = Spamd) -> AsyncIterator[Earmark]:
    """Give an earmark; `client` may be another client of spamd than the one that it has."""
    judged: list[Judged] = []
    spamd = client(configured.server.spamd.endpoints, at_once=AT_ONCE, deadline=DEADLINE)
    zones = Zones(lookups, configured.zones.values(), keys=None)
    world = world_over(lookups, zones, scanners=(None, spamd))

    def session(mail: Mail) -> Session:
        return Engine(configured.policies, world, configured.id, judged.append, clock=lambda: mail.at).session()

    try:
        yield Earmark(session, judged)
    finally:
        await world.close()
