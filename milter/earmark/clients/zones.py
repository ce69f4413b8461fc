"""DNS lists as a client: from a Listing question to its Fact, by one A look-up (RFC 5782)."""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

from earmark.clients.dns import Lookups
from earmark.core.evidence import Fact, Listing, Question, Status
from earmark.core.zones import Zone, is_public, read_answer, reversed_name

Deliver = Callable[[Question, Fact], None]


class Zones:
    """The lists of one generation. No query leaves for an address that is not public, nor for an unknown list."""

    def __init__(self, resolver: Lookups, zones: Iterable[Zone]) -> None:
        self._lookup = resolver.lookup
        self._zones = {zone.name: zone for zone in zones}

    def ask(self, question: Listing, deliver: Deliver) -> None:
        """Look the address up in the zone; `deliver` is called once, at most the zone's time-out later."""
        zone = self._zones.get(question.zone)
        labels = _labels_of_public(question.address)
        if zone is None or not labels:
            why = "not a known zone" if zone is None else "not a public address"
            deliver(question, Fact(Status.TEMPERROR, at=time.time(), source="earmark", why=why))
            return
        self._lookup(labels + zone.name, "A", partial(_deliver, deliver, question, zone), give_up=zone.timeout)


@lru_cache(maxsize=10_000)
def _labels_of_public(address: str) -> str:
    """Return the labels of an address in front of a zone's name; "" for what no list is asked about."""
    return f"{reversed_name(address)}." if is_public(address) else ""


def _deliver(deliver: Deliver, question: Listing, zone: Zone, fact: Fact) -> None:
    if fact.status is Status.PASS:
        status, codes, why = read_answer(zone, fact.data)
        fact = Fact(status, codes, fact.ttl, fact.at, fact.source, why)
    deliver(question, fact)
