"""Which client or store answers which question: the one place that connects a new kind of question to the world."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from earmark.clients.clamd import Clamd
from earmark.clients.dkim import Dkim
from earmark.clients.dmarc import Dmarc
from earmark.clients.dns import Lookups
from earmark.clients.names import Names
from earmark.clients.spamd import Spamd
from earmark.clients.spf import Spf
from earmark.config.settings import ServerSettings
from earmark.content import Content
from earmark.core.effects import Effect
from earmark.core.evidence import Fact, Question, Scanner, Status
from earmark.core.held import Held
from earmark.stores.access import AccessLists
from earmark.stores.state import State

Deliver = Callable[[Question, Fact], None]
"""Takes the answer; called once, perhaps before `ask` returns, and always on the event loop's thread."""


class Client(Protocol):
    """Answers its kinds of question, each in its own way and with its own way to fail: what it gives is a Fact."""

    def ask(self, question: Any, deliver: Deliver) -> None:  # noqa: ANN401 - each client knows its own kinds
        """Begin to answer; never raises."""


class Keeper(Client, Protocol):
    """Holds messages, and knows which it is letting go."""

    def keep(self, held: Held, content: Content, done: Callable[[str], None]) -> None:
        """Hold a message; see `stores.quarantine.Quarantine`."""

    async def close(self) -> None:
        """Finish what is being written."""


Scanners = tuple[Clamd | None, Spamd | None]
"""Those for viruses and for spam; None for one that server.toml names no endpoint of."""


class Nothing:
    """In place of a store where none is kept, as for a mail played by hand: every answer is the same."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def ask(self, question: Question, deliver: Deliver) -> None:
        """Answer."""
        deliver(question, Fact(self._status, at=time.time(), source="earmark", why="nothing is kept here"))


class Reader(Client, Protocol):
    """Answers what only the whole message says: it is handed the message first."""

    def hold(self, content_id: str, content: Content) -> None:
        """Take the message that questions name by this id."""

    def drop(self, content_id: str) -> None:
        """Forget that message; what runs for it ends."""

    def close(self) -> None:
        """Stop working."""


Readers = tuple[Reader | None, Reader | None]
"""As `Scanners`, whoever answers."""


class World:
    """All that can be asked."""

    def __init__(
        self,
        zones: Client,
        names: Names,
        *,
        spf: Spf,
        dmarc: Dmarc,
        messages: Reader,
        virus: Reader | None = None,
        spam: Reader | None = None,
        state: State | None = None,
        access: AccessLists | None = None,
        quarantine: Keeper | None = None,
    ) -> None:
        """Without `state` nobody has been seen before and every bucket is full; without `access` there is no entry.

        Without `virus` or `spam` that scanner is asked nothing; without `quarantine` nothing can be held.
        """
        unscanned = Nothing(Status.TEMPERROR)
        self._scanners = {"clamav": virus or unscanned, "spamassassin": spam or unscanned}
        clients: Mapping[str, Client] = {
            "list": zones,
            "domain-list": zones,
            "iprev": names,
            "host": names,
            "mx": names,
            "spf": spf,
            "dmarc": dmarc,
            "dkim": messages,
            "arc": messages,
            "greylist": state or Nothing(Status.NONE),
            "rate": state or Nothing(Status.PASS),
            "access": access or Nothing(Status.NONE),
            "virus": self._scanners["clamav"],
            "spam": self._scanners["spamassassin"],
            "release": quarantine or Nothing(Status.NONE),
        }
        self._ask = {kind: client.ask for kind, client in clients.items()}
        self._ask["scanner"] = self._ask_scanner
        self._readers = [reader for reader in (messages, virus, spam) if reader]
        self._closing = [client.close for client in (names, spf, dmarc, *self._readers, access) if client]
        self._state = state
        self._quarantine = quarantine

    def ask(self, question: Question, deliver: Deliver) -> None:
        """Begin to answer. What is asked twice at once is looked up once; a caller that waits no more is no error."""
        self._ask[question[-1]](question, deliver)

    def _ask_scanner(self, question: Scanner, deliver: Deliver) -> None:
        self._scanners[question.name].ask(question, deliver)

    def hold(self, content_id: str, content: Content) -> None:
        """Have the message ready that questions name by this id, until it is dropped. The caller closes it."""
        for reader in self._readers:
            reader.hold(content_id, content)

    def drop(self, content_id: str) -> None:
        """Forget that message; who still waits for an answer about it is told TEMPERROR."""
        for reader in self._readers:
            reader.drop(content_id)

    def keep(self, held: Held, content: Content, done: Callable[[str], None]) -> None:
        """Write a message to our quarantine; `done` gets "" when it is safely on disk, else why it is not."""
        if self._quarantine is None:
            done("there is no quarantine here")
        else:
            self._quarantine.keep(held, content, done)

    def do(self, effect: Effect) -> None:
        """Have an effect written down."""
        if self._state is not None:
            self._state.do(effect)

    async def close(self) -> None:
        """Stop working: who still waits is told TEMPERROR. What is being written is finished."""
        for close in self._closing:
            close()
        if self._state is not None:
            await self._state.close()
        if self._quarantine is not None:
            await self._quarantine.close()


def world_over(
    lookups: Lookups,
    zones: Client,
    *,
    state: State | None = None,
    access: AccessLists | None = None,
    scanners: Readers | None = None,
    quarantine: Keeper | None = None,
) -> World:
    """Return the world that is seen through these look-ups. To be made inside the event loop."""
    virus, spam = scanners or (None, None)
    return World(
        zones,
        Names(lookups),
        spf=Spf(lookups),
        dmarc=Dmarc(lookups),
        messages=Dkim(lookups),
        virus=virus,
        spam=spam,
        state=state,
        access=access,
        quarantine=quarantine,
    )


def scanners_of(server: ServerSettings, *, workers: int = 1) -> Scanners:
    """Return the content scanners. Each of so many workers has its share of what may run at once, one at least."""
    virus, spam = server.clamd, server.spamd
    return (
        Clamd(virus.endpoints, at_once=max(1, virus.at_once // workers), deadline=server.scan_budget)
        if virus.endpoints
        else None,
        Spamd(spam.endpoints, at_once=max(1, spam.at_once // workers), deadline=server.scan_budget)
        if spam.endpoints
        else None,
    )
