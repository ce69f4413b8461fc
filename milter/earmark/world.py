"""Which client or store answers which question: the one place that connects a new kind of question to the world."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from earmark.clients.dkim import Dkim
from earmark.clients.dmarc import Dmarc
from earmark.clients.dns import Lookups
from earmark.clients.names import Names
from earmark.clients.spf import Spf
from earmark.core.effects import Effect
from earmark.core.evidence import Fact, Question, Status
from earmark.stores.access import AccessLists
from earmark.stores.state import State

Deliver = Callable[[Question, Fact], None]
"""Takes the answer; called once, perhaps before `ask` returns, and always on the event loop's thread."""


class Client(Protocol):
    """Answers its kinds of question, each in its own way and with its own way to fail: what it gives is a Fact."""

    def ask(self, question: Any, deliver: Deliver) -> None:  # noqa: ANN401 - each client knows its own kinds
        """Begin to answer; never raises."""


class Nothing:
    """In place of a store where none is kept, as for a mail played by hand: every answer is the same."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def ask(self, question: Question, deliver: Deliver) -> None:
        """Answer."""
        deliver(question, Fact(self._status, at=time.time(), source="earmark", why="nothing is kept here"))


class World:
    """All that can be asked."""

    def __init__(
        self,
        zones: Client,
        names: Names,
        *,
        spf: Spf,
        dmarc: Dmarc,
        messages: Dkim,
        state: State | None = None,
        access: AccessLists | None = None,
    ) -> None:
        """Without `state` nobody has been seen before and every bucket is full; without `access` there is no entry."""
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
        }
        self._ask = {kind: client.ask for kind, client in clients.items()}
        self._closing = [client.close for client in (names, spf, dmarc, messages, access) if client]
        self._state = state
        self.hold = messages.hold
        self.drop = messages.drop

    def ask(self, question: Question, deliver: Deliver) -> None:
        """Begin to answer. What is asked twice at once is looked up once; a caller that waits no more is no error."""
        self._ask[question[-1]](question, deliver)

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


def world_over(
    lookups: Lookups, zones: Client, *, state: State | None = None, access: AccessLists | None = None
) -> World:
    """Return the world that is seen through these look-ups. To be made inside the event loop."""
    return World(
        zones,
        Names(lookups),
        spf=Spf(lookups),
        dmarc=Dmarc(lookups),
        messages=Dkim(lookups),
        state=state,
        access=access,
    )
