"""The real engine, played without an MTA: for `explain FILE`, `session`, and the tests in policy files."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from earmark.clients.dns import Lookups, Resolver
from earmark.clients.offline import ZoneFile
from earmark.clients.zones import Zones
from earmark.config import Generation, read_keys
from earmark.content import Content
from earmark.core.evidence import Fact, Question, Status
from earmark.core.held import Held
from earmark.core.mail import Address, Client, Header
from earmark.core.verdict import Action, Outcome, Verdict
from earmark.engine import Engine, Session
from earmark.log import Log
from earmark.stores.access import AccessLists
from earmark.stores.access_file import FILE_NAME
from earmark.world import Readers, world_over

if TYPE_CHECKING:
    from earmark.core.record import Judged

T = TypeVar("T")


@contextmanager
def answers(generation: Generation, zone_file: Path | None) -> Iterator[Lookups]:
    """Give what answers DNS look-ups: a file's text, or the generation's resolvers. To be entered inside an event loop.

    Raises OSError for a file that cannot be read, ValueError for one that holds anything else than answers.
    """
    if zone_file is not None:
        yield ZoneFile.parse(zone_file.read_text(encoding="utf-8"), str(zone_file))
        return
    resolver = Resolver(generation.server.dns.resolvers)
    try:
        yield resolver
    finally:
        resolver.close()


def access_lists(generation: Generation) -> AccessLists:
    """Return the allow and deny lists of the service on this machine as they stand now; errors go to standard error."""
    return AccessLists(generation.server.state / FILE_NAME, Log(sys.stderr.buffer))


class NotHeld:
    """In place of the quarantine: what would be held is said to be, and nothing is written."""

    def ask(self, question: Question, deliver: Callable[[Question, Fact], None]) -> None:
        """Know of no release."""
        deliver(question, Fact(Status.NONE, at=time.time(), source="earmark", why="nothing is held here"))

    def keep(self, _held: Held, _content: Content, done: Callable[[str], None]) -> None:
        """Hold nothing."""
        done("")

    async def close(self) -> None:
        """Do nothing."""


class Player:
    """Plays sessions one after the other; `judged` holds every transaction that has ended. To be closed."""

    def __init__(
        self,
        generation: Generation,
        lookups: Lookups,
        access: AccessLists | None = None,
        scanners: Readers = (None, None),
    ) -> None:
        """Without `access`, the allow and deny lists are empty. A scanner that is not given leaves mail unscanned."""
        self.judged: list[Judged] = []
        keys = None if isinstance(lookups, ZoneFile) else read_keys(generation)[0]
        zones = Zones(lookups, generation.zones.values(), keys=keys)
        self._world = world_over(lookups, zones, access=access, scanners=scanners, quarantine=NotHeld())
        server = generation.server
        self._engine = Engine(
            generation.policies, self._world, generation.id, self.judged.append, server.budget, server.scan_budget
        )

    def connect(self, address: str, name: str = "") -> Session:
        """Begin a session for a client; `name` is its confirmed reverse name, "" to have it looked up."""
        session = self._engine.session()
        reverse = Fact(Status.PASS, (name,), at=time.time(), source="--ptr") if name else None
        session.connect(Client(address), reverse)
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_unused: object) -> None:
        await self._world.close()


async def rcpt(session: Session, recipient: Address) -> Outcome:
    """Return the outcome for a recipient."""
    return await _answer(lambda done: session.rcpt(recipient, done))


async def end_of_message(session: Session, headers: Sequence[Header], body: bytes = b"") -> Verdict:
    """Return the verdict on the message."""
    if session.header(headers):
        session.body(body)
    return await _answer(session.end_of_message)


async def play_message(
    session: Session,
    sender: Address,
    recipients: Sequence[Address],
    headers: Sequence[Header],
    *,
    user: str = "",
    body: bytes = b"",
) -> None:
    """Play a whole transaction. Where every recipient is refused, the message is never sent, as in SMTP."""
    session.mail(sender, user=user)
    outcomes = [await rcpt(session, recipient) for recipient in recipients]
    if any(outcome.action is Action.ACCEPT for outcome in outcomes):
        await end_of_message(session, headers, body)
    session.close()


async def _answer(begin: Callable[[Callable[[T], None]], None]) -> T:
    answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    begin(answer.set_result)
    return await answer
