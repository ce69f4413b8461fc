"""Addresses of the Received chain in DNS lists. They may mark, never refuse (docs/design.md, section 0)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated

from earmark.core.checks.check import MessageCheck
from earmark.core.checks.listings import knob_of, weight_of
from earmark.core.evidence import UNKNOWN, Facts, Finding, Listing, Origin, Points, Question, Stage, Status
from earmark.core.mail import Hop, Transaction
from earmark.core.zones import Zone, is_public

_FIVE_POINTS = Points(500)


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedKnobs:
    """Settings of [received]; compared by identity."""

    zones: tuple[Zone, ...] = ()
    """The lists to ask, by name from rules/zones.toml."""
    weights: dict[str, Points] = field(default_factory=dict)
    """Weights in place of the code book's, by symbol; before the shares below."""
    hops: Annotated[int, range(1, 101)] = 30
    """How many hops are looked at, from the newest."""
    deep_share: Annotated[int, range(101)] = 75
    """What a hop counts that did not hand over to one of our own relays, in percent."""
    authenticated_share: Annotated[int, range(101)] = 50
    """What a hop counts whose client authenticated, in percent of that."""
    each_at_most: Points = _FIVE_POINTS
    """What one deep hop counts at most."""
    all_at_most: Points = _FIVE_POINTS
    """What all deep hops together count at most."""


def wants(transaction: Transaction, _facts: Facts, knobs: ReceivedKnobs) -> Iterator[Question]:
    """Ask each address once, and never what the connection has already paid for."""
    paid = transaction.envelope.client.address
    for hop in _asked_hops(transaction.message.hops, knobs):
        if hop.address != paid:
            for zone in _zones(knobs, ":" in hop.address, _at_full_weight(hop)):
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


@lru_cache(maxsize=4096)
def _zones(knobs: ReceivedKnobs, ipv6: bool, full: bool) -> tuple[Zone, ...]:  # noqa: FBT001 - keys of a cache
    """Return the zones with something to say about a hop of this family, at full weight or deep."""
    takes = [zone for zone in knobs.zones if zone.received and (zone.ipv6 if ipv6 else zone.ipv4)]
    return tuple(zone for zone in takes if any(code.deep or full for code in zone.codes))


def _at_full_weight(hop: Hop) -> bool:
    """Return whether all codes are held against a hop, not those only that count deep.

    So they are against the client that handed over to one of our relays, as against one that connects to us: unless it
    authenticated there, for then it may be at home.
    """
    return hop.handed_over and not hop.authenticated


def examine(transaction: Transaction, facts: Facts, knobs: ReceivedKnobs) -> Iterator[Finding]:
    """Find listed hops; the handing-over client at full weight, deep ones by their share and under the caps."""
    paid = transaction.envelope.client.address
    deep: list[Finding] = []
    for hop in _asked_hops(transaction.message.hops, knobs):
        if hop.address == paid:
            continue
        found = _heaviest_by_owner(hop, facts, knobs)
        if hop.handed_over:
            yield from found
        else:
            deep.extend(_capped(found, knobs.each_at_most))
    yield from _capped(deep, knobs.all_at_most)


def _capped(findings: Iterable[Finding], at_most: int) -> Iterator[Finding]:
    """Return the findings, the heaviest first, as far as they fit under a sum."""
    left = at_most
    for finding in sorted(findings, key=lambda found: -found.score):
        if left > 0:
            yield finding._replace(score=Points(min(finding.score, left)))
        left -= finding.score


def _heaviest_by_owner(hop: Hop, facts: Facts, knobs: ReceivedKnobs) -> Iterable[Finding]:
    """Return the heaviest listing of each owner's zones, as on the connection."""
    heaviest: dict[str, Finding] = {}
    for zone in _zones(knobs, ":" in hop.address, _at_full_weight(hop)):
        finding = _listed(hop, zone, facts, knobs)
        best = heaviest.get(zone.owner)
        if finding is not None and (best is None or finding.score > best.score):
            heaviest[zone.owner] = finding
    return heaviest.values()


def _listed(hop: Hop, zone: Zone, facts: Facts, knobs: ReceivedKnobs) -> Finding | None:
    question = Listing(zone.name, hop.address)
    fact = facts.get(question, UNKNOWN)
    if fact.status is not Status.FAIL:
        return None
    entries = [code for code in zone.entries(fact.data) if code.deep or _at_full_weight(hop)]
    if not entries:
        return None
    code = max(entries, key=lambda entry: weight_of(entry, knobs.weights))
    score = _share(weight_of(code, knobs.weights), hop, knobs)
    if score <= 0:
        return None
    where = "handed over by" if hop.handed_over else "Received hop"
    why = f"{where} {hop.address} is listed by {zone.name} ({code.meaning})"
    knob = knob_of(code, knobs.weights).replace("listings.", "received.")
    return Finding(f"RECEIVED_{code.symbol}", Origin.HEADER, score, why, knob, question)


def _share(weight: int, hop: Hop, knobs: ReceivedKnobs) -> Points:
    percent = 100 if hop.handed_over else knobs.deep_share
    authenticated = knobs.authenticated_share if hop.authenticated else 100
    return Points(weight * percent * authenticated // 10_000)


RECEIVED = MessageCheck("received", Stage.EOH, Origin.HEADER, ReceivedKnobs, wants, examine)
