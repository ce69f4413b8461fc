"""Which client answers which question. The one place where a new kind of question is connected to the world."""

from collections.abc import Callable
from typing import assert_never

from earmark.clients.names import Names
from earmark.clients.zones import Zones
from earmark.core.evidence import Fact, HostAddress, Listing, MailHosts, Question, ReverseName

Deliver = Callable[[Question, Fact], None]
"""Takes the answer; called once, perhaps before `ask` returns, and always on the event loop's thread."""


class World:
    """All that can be asked. Each client has its own way to fail; what arrives here is always a Fact."""

    def __init__(self, zones: Zones, names: Names) -> None:
        self._zones = zones
        self._names = names

    def ask(self, question: Question, deliver: Deliver) -> None:
        """Begin to answer. What is asked twice at once is looked up once; a caller that waits no more is no error."""
        if isinstance(question, Listing):
            self._zones.ask(question, deliver)
        elif isinstance(question, ReverseName | HostAddress | MailHosts):
            self._names.ask(question, deliver)
        else:
            assert_never(question)
