"""The look-ups of one SPF check: each is counted against the limits, and remembered for the age of the result."""

import time
from collections.abc import Callable, Sequence

from earmark.clients.dns import Lookups
from earmark.clients.dns.chains import ask_all, sum_up
from earmark.core.evidence import Fact, Status
from earmark.core.zones import reversed_name

TERMS_AT_MOST = 10
"""Terms that ask the DNS (RFC 7208 section 4.6.4)."""
VOIDS_AT_MOST = 2
"""Terms whose look-up finds nothing (likewise)."""
HOSTS_AT_MOST = 10
"""Mail hosts of one `mx`, and reverse names of the client (likewise)."""
_TTL_AT_LEAST = 60


class SpfError(Exception):
    """Ends a check: TEMPERROR or PERMERROR, and why."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Asking:
    """Asks on behalf of one check, at most 1 + 10 * (1 + 10) + 1 + 10 = 122 times.

    That is the first record; ten terms, each of which may have ten mail hosts; and the reverse names of the client,
    which are asked for once.
    """

    def __init__(self, resolver: Lookups, address: str) -> None:
        self._resolver = resolver
        self._address = address
        self.family = "AAAA" if ":" in address else "A"
        """The record type of the client's kind of address."""
        self._answers: list[Fact] = []
        self._terms = 0
        self._voids = 0
        self._client_names: tuple[str, ...] | None = None

    def count_term(self) -> None:
        """Count a term that asks the DNS. Raises SpfError beyond the limit, which ends every loop."""
        self._terms += 1
        if self._terms > TERMS_AT_MOST:
            raise SpfError(Status.PERMERROR, f"more than {TERMS_AT_MOST} terms that ask the DNS")

    async def get(self, name: str, rtype: str) -> Fact:
        """Look a name up. Raises SpfError where the DNS fails, and for one void look-up too many."""
        fact = await self._resolver.get(name, rtype)
        self._answers.append(fact)
        if fact.status is Status.TEMPERROR:
            raise SpfError(Status.TEMPERROR, f"{rtype} of {name}: {fact.why}")
        if fact.why in {"NXDOMAIN", "NODATA"}:
            self._voids += 1
            if self._voids > VOIDS_AT_MOST:
                raise SpfError(Status.PERMERROR, f"more than {VOIDS_AT_MOST} look-ups that find nothing")
        return fact

    async def addresses(self, hosts: Sequence[str], enough: Callable[[Fact], bool]) -> list[Fact]:
        """Look up the addresses of hosts side by side, in the client's family, until one is enough."""
        answers = await ask_all(self._resolver, [(host, self.family) for host in hosts], enough)
        found = [fact for fact in answers if fact is not None]
        self._answers += found
        return found

    async def client_names(self) -> tuple[str, ...]:
        """Return the validated names of the client (section 5.5): those that lead back to it. Failures find none."""
        if self._client_names is None:
            self._client_names = await self._validated()
        return self._client_names

    async def _validated(self) -> tuple[str, ...]:
        name = reversed_name(self._address) + (".ip6.arpa" if self.family == "AAAA" else ".in-addr.arpa")
        pointer = await self._resolver.get(name, "PTR")
        self._answers.append(pointer)
        names = pointer.data[:HOSTS_AT_MOST]
        answers = await ask_all(self._resolver, [(name, self.family) for name in names])
        self._answers += [fact for fact in answers if fact is not None]
        return tuple(
            name for name, fact in zip(names, answers, strict=True) if fact is not None and self._address in fact.data
        )

    def sum_up(self, status: Status, data: tuple[str, ...], why: str) -> Fact:
        """Return the Fact of the check: good until the first of its look-ups ends, a minute where one has failed."""
        lasting = [fact for fact in self._answers if fact.status is not Status.TEMPERROR]
        if status is Status.TEMPERROR or not lasting:
            source = self._answers[-1].source if self._answers else "earmark"
            return Fact(status, data, 0 if status is Status.TEMPERROR else _TTL_AT_LEAST, time.time(), source, why)
        fact = sum_up(status, data, lasting, why)._replace(source=lasting[0].source)
        return fact if len(lasting) == len(self._answers) else fact._replace(ttl=_TTL_AT_LEAST)
