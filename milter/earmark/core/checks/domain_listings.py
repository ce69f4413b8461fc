"""Names of the envelope in lists of domain names (RFC 5782 section 2.2): the sender's, that of HELO, the reverse name.

A list is asked about the registrable domain, and never about an address or what stands for one: see `asked_domain`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from earmark.core.checks.check import EnvelopeCheck
from earmark.core.checks.listings import weight_of
from earmark.core.evidence import (
    UNKNOWN,
    DomainListing,
    Facts,
    Finding,
    Origin,
    Points,
    Question,
    ReverseName,
    Stage,
    Status,
)
from earmark.core.mail import Envelope, Site, domain_key
from earmark.core.zones import Zone, ZoneKind, is_public

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])", re.ASCII)
"""Two labels or more, the last one as a top-level domain is (RFC 3696 section 2): no address can be written so."""
_LONGEST = 253


@dataclass(frozen=True, slots=True, eq=False)
class DomainListingsKnobs:
    """Settings of [domain_listings]; compared by identity."""

    zones: tuple[Zone, ...] = ()
    """The lists of names to ask, by name from rules/zones.toml."""
    weights: dict[str, Points] = field(default_factory=dict)
    """Weights in place of the code book's, by symbol."""


def asked_domain(name: str, registrable: Callable[[str], str]) -> str:
    """Return the domain that a list of names is asked about for this name (as `domain_key` writes it); "" for none.

    None: an address in any notation, what is no host name, a name without a dot, a public suffix, and everything below
    .arpa, where names stand for addresses.
    """
    if len(name) > _LONGEST or name.endswith(".arpa") or not _HOST.fullmatch(name):
        return ""
    return registrable(name)


def wants(envelope: Envelope, facts: Facts, knobs: DomainListingsKnobs) -> Iterator[Question]:
    """Ask each list about each domain once, and for the reverse name where a list takes it."""
    address = envelope.client.address
    if _zones(knobs, ("reverse",)) and is_public(address):
        yield ReverseName(address)
    for domain, subjects in _domains(envelope, facts):
        for zone in _zones(knobs, subjects):
            yield DomainListing(zone.name, domain)


def _domains(envelope: Envelope, facts: Facts) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Return the domains to be asked about but ours, each with the subjects (words of `ask`) that showed it."""
    site = envelope.site
    reverse = facts.get(ReverseName(envelope.client.address), UNKNOWN)
    confirmed = reverse.data if reverse.status is Status.PASS else ()
    sender, helo = _theirs(envelope.sender.domain, site), _theirs(domain_key(envelope.helo or ""), site)
    return [shown for shown in _shown(sender, helo, confirmed, site.registrable) if shown[0] not in site.domains]


def _theirs(name: str, site: Site) -> str:
    return "" if name in site.names or name in site.domains else name


@lru_cache(maxsize=1000)
def _shown(
    sender: str, helo: str, reverse: tuple[str, ...], registrable: Callable[[str], str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    names = [("sender", sender), ("helo", helo), *(("reverse", domain_key(name)) for name in reverse)]
    found: dict[str, dict[str, None]] = {}
    for subject, name in names:
        domain = asked_domain(name, registrable)
        if domain:
            found.setdefault(domain, {})[subject] = None
    return tuple((domain, tuple(subjects)) for domain, subjects in found.items())


@lru_cache(maxsize=1000)
def _zones(knobs: DomainListingsKnobs, subjects: tuple[str, ...]) -> tuple[Zone, ...]:
    """Return the lists that may be asked about one of these subjects."""
    return tuple(zone for zone in knobs.zones if any(getattr(zone, subject) for subject in subjects))


def examine(envelope: Envelope, facts: Facts, knobs: DomainListingsKnobs) -> Iterator[Finding]:
    """Find the heaviest listing of each owner's block lists, and the most trusting one of its allow lists."""
    heaviest: dict[tuple[str, ZoneKind], Finding] = {}
    for domain, subjects in _domains(envelope, facts):
        for zone in _zones(knobs, subjects):
            finding = _listed(zone, domain, subjects, facts, knobs)
            best = heaviest.get((zone.owner, zone.kind))
            if finding is not None and (best is None or abs(finding.score) > abs(best.score)):
                heaviest[zone.owner, zone.kind] = finding
    yield from heaviest.values()


_SAID = {"sender": "sender", "helo": "HELO name", "reverse": "reverse name"}


def _listed(
    zone: Zone, domain: str, subjects: Iterable[str], facts: Facts, knobs: DomainListingsKnobs
) -> Finding | None:
    question = DomainListing(zone.name, domain)
    fact = facts.get(question, UNKNOWN)
    if fact.status not in (Status.FAIL, Status.PASS):
        return None
    code = max(zone.entries(fact.data), key=lambda entry: abs(weight_of(entry, knobs.weights)), default=None)
    if code is None:
        return None
    who = ", ".join(_SAID[subject] for subject in subjects)
    why = f"{domain} ({who}) is listed by {zone.name} ({code.meaning})"
    knob = f"domain_listings.weights.{code.symbol}" if code.symbol in knobs.weights else f"zones.{code.symbol}"
    return Finding(code.symbol, Origin.ENVELOPE, weight_of(code, knobs.weights), why, knob, question)


def relief(question: Question, _envelope: Envelope, _facts: Facts, knobs: DomainListingsKnobs) -> int:
    """Return the most trusting score that the zone could have given, or all zones for a name that is not known yet."""
    kindest: dict[str, int] = {}
    for zone in knobs.zones:
        asked = isinstance(question, DomainListing) and question.zone == zone.name
        if asked or (isinstance(question, ReverseName) and zone.reverse):
            best = min((weight_of(code, knobs.weights) for code in zone.codes), default=0)
            kindest[zone.owner] = min(best, kindest.get(zone.owner, 0))
    return sum(kindest.values())


DOMAIN_LISTINGS = EnvelopeCheck(
    "domain_listings", Stage.MAIL, Origin.ENVELOPE, DomainListingsKnobs, wants, examine, relief
)
