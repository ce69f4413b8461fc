"""DNS lists as a client: from a question about an address or a name to its Fact, by one A look-up (RFC 5782)."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial

from earmark.clients.dns import Lookups
from earmark.clients.health import Health
from earmark.core.evidence import DISARMED, DomainListing, Fact, Listing, Question, Status
from earmark.core.zones import Zone, is_public, read_answer, reversed_name
from earmark.wire import dnsxl

FAILURES_AT_MOST = 5
"""Look-ups in a row without an answer, after which a list is not asked any more until the watcher hears from it."""

_NONE = Status.NONE

Deliver = Callable[[Question, Fact], None]


class _Known:
    """A list, with what is the same for each look-up made once, and what its answers were."""

    __slots__ = (
        "_answered", "_failures", "_health", "_latest", "_read", "asked", "asking", "errors", "hits", "labels",
        "locked", "names", "place", "queries", "timeout",
    )  # fmt: skip

    def __init__(self, zone: Zone, keys: Mapping[str, str] | None, place: int, health: Health | None) -> None:
        self.asked = _question(zone, keys.get(zone.name, "") if keys else "")
        self.timeout = zone.timeout
        self.names = zone.names
        self.labels = _labels_of_name if zone.names else _labels_of_public
        self.locked = bool(zone.key_file) and keys is not None and zone.name not in keys
        """Whether it needs a key that we have not."""
        self.place = place
        self._health = health
        self._read = lru_cache(maxsize=256)(partial(read_answer, zone))
        """Lists answer with few different codes."""
        self.asking = False
        """Whether a look-up is just beginning: what is delivered now was known already, and is no query."""
        self._latest: Fact | None = None
        self.queries = self.hits = self.errors = 0
        self._answered = self._failures = 0

    def deliver(self, deliver: Deliver, question: Question, fact: Fact) -> None:
        """Deliver what the answer means, and count it once for all who waited for it."""
        is_new = not self.asking and fact is not self._latest
        if is_new:
            self._latest = fact
            self.queries += 1
        if fact.status is not _NONE:
            fact = self._heed(fact, is_new=is_new)
        deliver(question, fact)

    def _heed(self, fact: Fact, *, is_new: bool) -> Fact:
        if fact.status is not Status.PASS:
            if is_new:
                self._fail()
            return fact
        if is_new:
            self.hits += 1
        status, codes, why = self._read(fact.data)
        return Fact(status, codes, fact.ttl, fact.at, fact.source, why)

    def _fail(self) -> None:
        """Count a look-up without an answer; open the breaker when there were some in a row."""
        self.errors += 1
        answered = self.queries - self.errors
        self._failures = self._failures + 1 if answered == self._answered else 1
        self._answered = answered
        if self._failures >= FAILURES_AT_MOST and self._health is not None:
            self._failures = 0
            self._health.set_open(self.place, is_open=True)


def _question(zone: Zone, key: str) -> bytes:
    """Return the question about a list itself, to be put behind labels. The key is in it and nowhere else."""
    if not key:
        return dnsxl.question(zone.name, "A")
    try:
        return dnsxl.labels(key.lower()) + dnsxl.question(zone.name, "A")
    except ValueError:
        raise ValueError(f"{zone.name}: its key, or its name, is no domain name") from None


class Zones:
    """The lists of one generation. No query leaves for what is not public, nor for a list that is not believed."""

    def __init__(
        self,
        lookups: Lookups,
        zones: Iterable[Zone],
        *,
        keys: Mapping[str, str] | None = None,
        health: Health | None = None,
    ) -> None:
        """Take zones whose names are domain names; ValueError for another.

        `keys` are the customer's, by the zone's name; a list that has a key and not here is never asked. None is for
        answers from a file, which know no keys. Without `health`, no canary is asked and every list is believed.
        """
        self._lookup = lookups.lookup_question
        self._health = health
        zones = tuple(zones)
        places = [health.place(zone.name) for zone in zones] if health else range(len(zones))
        self._zones = {zone.name: _Known(zone, keys, place, health) for zone, place in zip(zones, places, strict=True)}
        self._trouble = health.trouble if health else (0,) * len(zones)

    def ask(self, question: Listing | DomainListing, deliver: Deliver) -> None:
        """Look an address or a name up; `deliver` is called once, at most the zone's time-out later."""
        known = self._zones.get(question[0])
        if known is not None:
            labels = known.labels(question[1])
            if labels and not known.locked and not self._trouble[known.place]:
                known.asking = True
                self._lookup(labels + known.asked, partial(known.deliver, deliver, question), give_up=known.timeout)
                known.asking = False
                return
        fact = Fact(Status.TEMPERROR, at=time.time(), source="earmark", why=self._why_not(known, question))
        deliver(question, fact)

    def _why_not(self, known: _Known | None, question: Listing | DomainListing) -> str:
        if known is None:
            return "not a known zone"
        if not known.labels(question[1]):
            return "not a domain name" if known.names else "not a public address"
        if known.locked:
            return f"{DISARMED}: its key could not be read"
        return (self._health and self._health.why_not(known.place)) or DISARMED

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """Return of each list that was asked: queries, those of them that were hits, and those without an answer.

        Queries are those that left for the resolver: what the cache knew is not among them.
        """
        return {name: (one.queries, one.hits, one.errors) for name, one in self._zones.items() if one.queries}


@lru_cache(maxsize=1000)
def _labels_of_public(address: str) -> bytes:
    """Return the labels of an address in front of a zone's name; empty for what no list is asked about."""
    return dnsxl.labels(reversed_name(address)) if is_public(address) else b""


@lru_cache(maxsize=1000)
def _labels_of_name(name: str) -> bytes:
    """Return a name's labels; empty for what is none. Its last one begins with a letter: all else could be an address.

    inet_aton(3) takes even "1.0x7f" for one.
    """
    if "." not in name or not name.rpartition(".")[2][:1].isalpha():
        return b""
    try:
        return dnsxl.labels(name)
    except ValueError:
        return b""
