"""The connecting address in DNS lists (RFC 5782). The one kind of evidence that may refuse alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from earmark.core.checks.check import EnvelopeCheck
from earmark.core.evidence import UNKNOWN, Facts, Finding, Listing, Origin, Points, Question, Stage, Status
from earmark.core.mail import Envelope
from earmark.core.zones import Code, Zone, is_public


@dataclass(frozen=True, slots=True)
class ListingsKnobs:
    """Settings of [listings]."""

    zones: tuple[Zone, ...] = ()
    """The lists to ask, by name from rules/zones.toml."""
    weights: dict[str, Points] = field(default_factory=dict)
    """Weights in place of the code book's, by symbol."""


def wants(envelope: Envelope, _facts: Facts, knobs: ListingsKnobs) -> Iterable[Question]:
    """Ask every zone that takes the client's family, if the address is a public one."""
    address = envelope.client.address
    if not address or not is_public(address):
        return ()
    return [Listing(zone.name, address) for zone in knobs.zones if zone.connection and zone.takes(address)]


def examine(envelope: Envelope, facts: Facts, knobs: ListingsKnobs) -> Iterator[Finding]:
    """Find the heaviest listing of each owner's zones."""
    heaviest: dict[str, Finding] = {}
    for zone in knobs.zones:
        question = Listing(zone.name, envelope.client.address)
        fact = facts.get(question, UNKNOWN)
        if fact.status not in (Status.FAIL, Status.PASS):
            continue
        finding = listing_finding(zone, question, fact.data, knobs.weights)
        best = heaviest.get(zone.owner)
        if finding is not None and (best is None or abs(finding.score) > abs(best.score)):
            heaviest[zone.owner] = finding
    yield from heaviest.values()


def listing_finding(
    zone: Zone, question: Listing, answers: Iterable[str], weights: dict[str, Points]
) -> Finding | None:
    """Return the finding for the heaviest of a zone's codes, at its full weight on the connection."""
    entries = zone.entries(answers)
    if not entries:
        return None
    code = max(entries, key=lambda entry: abs(weight_of(entry, weights)))
    why = f"{question.address} is listed by {zone.name} ({code.meaning})"
    return Finding(code.symbol, Origin.CONNECTION, weight_of(code, weights), why, knob_of(code, weights), question)


def weight_of(code: Code, weights: dict[str, Points]) -> Points:
    """Return the weight in force for a code."""
    return weights.get(code.symbol, code.score)


def knob_of(code: Code, weights: dict[str, Points]) -> str:
    """Return the setting that gave the weight in force."""
    return f"listings.weights.{code.symbol}" if code.symbol in weights else f"zones.{code.symbol}"


def relief(question: Question, _envelope: Envelope, _facts: Facts, knobs: ListingsKnobs) -> int:
    """Return the most trusting score that the zone could have given."""
    for zone in knobs.zones:
        if isinstance(question, Listing) and zone.name == question.zone:
            return min((0, *(weight_of(code, knobs.weights) for code in zone.codes)))
    return 0


LISTINGS = EnvelopeCheck("listings", Stage.CONNECT, Origin.CONNECTION, ListingsKnobs, wants, examine, relief)
