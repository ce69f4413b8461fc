"""What every source of DNS answers offers: the network's resolvers, or a zone file."""

from collections.abc import Callable
from typing import Protocol

from earmark.core.evidence import Fact

Done = Callable[[Fact], None]
"""Takes the answer."""


class Lookups(Protocol):
    """One name and type in, one Fact out.

    PASS: `data` are the records as text: A and AAAA canonical; PTR and MX names in lower case without a final dot, MX
    as "10 host", the null MX as "0 ."; TXT with its strings joined, a character for each octet. NONE: `why` is
    "NXDOMAIN", "NODATA" or "not a domain name". TEMPERROR: `why` is "timeout", "SERVFAIL" and the like. `ttl`, `at` and
    `source` are always set.
    """

    def lookup(self, name: str, rtype: str, done: Done, *, give_up: float = 5.0) -> None:
        """Look a name up: A-labels, no search list; A, AAAA, MX, PTR or TXT; KeyError for another type.

        `done` is called exactly once, within `give_up` seconds, perhaps at once, on the event loop's thread.
        """

    def lookup_question(self, asked: bytes, done: Done, *, give_up: float = 5.0) -> None:
        """Look up what a question section asks (RFC 1035 section 4.1.2); otherwise as `lookup`.

        `asked` is as `wire.dnsxl.question` writes it; it may be too long by what was put in front of a name.
        """

    async def get(self, name: str, rtype: str, *, give_up: float = 5.0) -> Fact:
        """Look a name up and wait for it."""
