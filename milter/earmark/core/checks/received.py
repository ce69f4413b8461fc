"""Addresses of the Received chain in DNS lists. They may mark, never refuse (docs/design.md, section 0)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from earmark.core.checks.check import MessageCheck
from earmark.core.checks.listings import knob_of, weight_of
from earmark.core.evidence import UNKNOWN, Facts, Finding, Listing, Origin, Points, Question, Stage, Status
from earmark.core.mail import Hop, Transaction
from earmark.core.zones import Zone, is_public


@dataclass(frozen=True, slots=True)
class ReceivedKnobs:
    """Settings of [received]."""

    zones: tuple[Zone, ...] = ()
    """The lists to ask, by name from rules/zones.toml."""
    weights: dict[str, Points] = field(default_factory=dict)
    """Weights in place of the code book's, by symbol; before the shares below."""
    hops: int = 30
    """How many hops are looked at, from the newest."""
    deep_share: int = 75
    """What a hop counts that did not hand over to one of our own relays, in percent."""
    authenticated_share: int = 50
    """What a hop counts whose client authenticated, in percent of that."""
    each_at_most: Points = Points(500)
    """What one deep hop counts at most."""
    all_at_most: Points = Points(500)
    """What all deep hops together count at most."""


def wants(transaction: Transaction, _facts: Facts, knobs: ReceivedKnobs) -> Iterator[Question]:
    """Ask each address once, and never what the connection has already paid for."""
    paid = transaction.envelope.client.address
    for hop in _asked_hops(transaction.message.hops, knobs):
        if hop.address != paid:
            for zone in _zones(hop, knobs):
                yield Listing(zone.name, hop.address)


def _asked_hops(hops: Sequence[Hop], knobs: ReceivedKnobs) -> list[Hop]:
    """Return one hop for each address: the one by which it counts most."""
    chosen: dict[str, Hop] = {}
    for hop in hops[: knobs.hops]:
        if not hop.address or not is_public(hop.address):
            continue
        known = chosen.get(hop.address)
        if known is None or (hop.handed_over, not hop.authenticated) > (known.handed_over, not known.authenticated):
            chosen[hop.address] = hop
    return list(chosen.values())


def _zones(hop: Hop, knobs: ReceivedKnobs) -> list[Zone]:
    return [zone for zone in knobs.zones if zone.received and zone.takes(hop.address)]


def examine(transaction: Transaction, facts: Facts, knobs: ReceivedKnobs) -> Iterator[Finding]:
    """Find listed hops; the handing-over client at full weight, deep ones by their share and under the caps."""
    left: int = knobs.all_at_most
    deep: list[Finding] = []
    for hop in _asked_hops(transaction.message.hops, knobs):
        if hop.address == transaction.envelope.client.address:
            continue
        finding = _heaviest(hop, facts, knobs)
        if finding is None:
            continue
        if hop.handed_over:
            yield finding
        else:
            deep.append(finding)
    for finding in sorted(deep, key=lambda found: -found.score):
        if left > 0:
            yield finding._replace(score=Points(min(finding.score, left)))
            left -= finding.score


def _heaviest(hop: Hop, facts: Facts, knobs: ReceivedKnobs) -> Finding | None:
    found = (_listed(hop, zone, facts, knobs) for zone in _zones(hop, knobs))
    return max((finding for finding in found if finding), key=lambda finding: finding.score, default=None)


def _listed(hop: Hop, zone: Zone, facts: Facts, knobs: ReceivedKnobs) -> Finding | None:
    question = Listing(zone.name, hop.address)
    fact = facts.get(question, UNKNOWN)
    if fact.status is not Status.FAIL:
        return None
    entries = [code for code in zone.entries(fact.data) if code.deep or hop.handed_over]
    if not entries:
        return None
    code = max(entries, key=lambda entry: weight_of(entry, knobs.weights))
    score = _share(weight_of(code, knobs.weights), hop, knobs)
    where = "handed over by" if hop.handed_over else "Received hop"
    why = f"{where} {hop.address} is listed by {zone.name} ({code.meaning})"
    knob = knob_of(code, knobs.weights).replace("listings.", "received.")
    return Finding(f"RECEIVED_{code.symbol}", Origin.HEADER, score, why, knob, question)


def _share(weight: int, hop: Hop, knobs: ReceivedKnobs) -> Points:
    score = weight if hop.handed_over else min(weight * knobs.deep_share // 100, knobs.each_at_most)
    return Points(score * knobs.authenticated_share // 100 if hop.authenticated else score)


RECEIVED = MessageCheck("received", Stage.EOH, Origin.HEADER, ReceivedKnobs, wants, examine)
