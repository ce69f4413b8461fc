"""Which client or store answers which question: the one place that connects a new kind of question to the world."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from earmark.clients.dns import Lookups
from earmark.clients.names import Names
from earmark.content import Content
from earmark.core.effects import Effect
from earmark.core.evidence import Fact, Question, Status

Deliver = Callable[[Question, Fact], None]
"""Takes the answer; called once, perhaps before `ask` returns, and always on the event loop's thread."""


class Client(Protocol):
    """Answers its kinds of question, each in its own way and with its own way to fail: what it gives is a Fact."""

    def ask(self, question: Any, deliver: Deliver) -> None:  # noqa: ANN401 - each client knows its own kinds
        """Begin to answer; never raises."""


class Messages(Client, Protocol):
    """Answers about whole messages; see `clients.dkim`."""

    def hold(self, content_id: str, content: Content) -> None:
        """Take the message that questions name by this id."""

    def drop(self, content_id: str) -> None:
        """Forget it."""


class State(Client, Protocol):
    """What is counted and remembered; see `stores.state`."""

    def do(self, effect: Effect) -> None:
        """Have it written down. That it cannot be is the store's to tell, never the verdict's."""


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
        names: Client,
        *,
        spf: Client,
        dmarc: Client,
        messages: Messages,
        state: State | None = None,
        access: Client | None = None,
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


class _Unread(Nothing):
    """No client reads messages yet."""

    def hold(self, content_id: str, content: Content) -> None:
        """Take nothing."""

    def drop(self, content_id: str) -> None:
        """Forget nothing."""


def world_over(lookups: Lookups, zones: Client, *, state: State | None = None, access: Client | None = None) -> World:
    """Return the world that is seen through these look-ups."""
    unread = _Unread(Status.TEMPERROR)
    return World(zones, Names(lookups), spf=unread, dmarc=unread, messages=unread, state=state, access=access)
