"""DNS lists as a client: from a Listing question to its Fact, by one A look-up (RFC 5782)."""

from collections.abc import Callable
from typing import Protocol

from earmark.core.evidence import Fact


class Lookup(Protocol):
    """What this client needs of a resolver."""

    def lookup(self, name: str, rtype: str, done: Callable[[Fact], None], tries_for: float = 5.0) -> None:
        """Look one name up; see `clients.dns.Resolver.lookup`."""
