"""DNS lists as a client: from a Listing question to its Fact, by one A look-up (RFC 5782)."""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

from earmark.clients.dns import Lookups
from earmark.core.evidence import Fact, Listing, Question, Status
from earmark.core.zones import Zone, is_public, read_answer, reversed_name
from earmark.wire import dnsxl

Deliver = Callable[[Question, Fact], None]


class _Known:
    """A list, with what is the same for each look-up made once."""

    __slots__ = ("_read", "asked", "timeout")

    def __init__(self, zone: Zone) -> None:
        self.asked = dnsxl.question(zone.name, "A")
        self.timeout = zone.timeout
        self._read = lru_cache(maxsize=256)(partial(read_answer, zone))
        """Lists answer with few different codes."""

    def deliver(self, deliver: Deliver, question: Listing, fact: Fact) -> None:
        """Deliver what the answer means."""
        if fact.status is Status.PASS:
            status, codes, why = self._read(fact.data)
            fact = Fact(status, codes, fact.ttl, fact.at, fact.source, why)
        deliver(question, fact)


class Zones:
    """The lists of one generation. No query leaves for an address that is not public, nor for an unknown list."""

    def __init__(self, resolver: Lookups, zones: Iterable[Zone]) -> None:
        """Take zones whose names are domain names; ValueError for another."""
        self._lookup = resolver.lookup_question
        self._zones = {zone.name: _Known(zone) for zone in zones}

    def ask(self, question: Listing, deliver: Deliver) -> None:
        """Look the address up in the zone; `deliver` is called once, at most the zone's time-out later."""
        known = self._zones.get(question.zone)
        labels = _labels_of_public(question.address)
        if known is None or not labels:
            why = "not a known zone" if known is None else "not a public address"
            deliver(question, Fact(Status.TEMPERROR, at=time.time(), source="earmark", why=why))
            return
        self._lookup(labels + known.asked, partial(known.deliver, deliver, question), give_up=known.timeout)


@lru_cache(maxsize=1000)
def _labels_of_public(address: str) -> bytes:
    """Return the labels of an address in front of a zone's name; empty for what no list is asked about."""
    return dnsxl.labels(reversed_name(address)) if is_public(address) else b""
