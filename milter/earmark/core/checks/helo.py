"""The argument of HELO or EHLO (RFC 5321 sections 2.3.5, 4.1.1.1, 4.1.3). None of this is decisive alone by default."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from earmark.core.checks.check import EnvelopeCheck
from earmark.core.evidence import (
    NO_POINTS,
    UNKNOWN,
    Facts,
    Finding,
    HostAddress,
    Origin,
    Points,
    Question,
    ReverseName,
    Stage,
    Status,
)
from earmark.core.mail import Envelope, domain_key, parse_address_text
from earmark.core.zones import is_public

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HeloKnobs:
    """Settings of [helo]."""

    missing: Points = NO_POINTS
    """MAIL came without HELO or EHLO."""
    syntax: Points = NO_POINTS
    """It is neither a host name nor an address literal."""
    literal: Points = NO_POINTS
    """It is an address literal, `[192.0.2.1]`, which RFC 5321 allows to hosts without a name."""
    bare_address: Points = NO_POINTS
    """It is an address without brackets."""
    ours: Points = NO_POINTS
    """It is one of our own names or addresses."""
    unqualified: Points = NO_POINTS
    """It is a name without a dot."""
    unresolvable: Points = NO_POINTS
    """It is a name with neither A nor AAAA record."""
    contradiction: Points = NO_POINTS
    """It is another host's address, or the name of a host of another organisation than the client's confirmed name."""


def wants(envelope: Envelope, _facts: Facts, knobs: HeloKnobs) -> Iterable[Question]:
    """Ask for the addresses of a well-formed, qualified name, and for the client's name where the two are compared."""
    if envelope.helo is not None and (knobs.unresolvable or knobs.contradiction):
        name = domain_key(envelope.helo)
        if _shape(envelope.helo, name) == "name":
            yield HostAddress(name)
            if knobs.contradiction and is_public(envelope.client.address):
                yield ReverseName(envelope.client.address)


@lru_cache(maxsize=4096)
def _shape(helo: str, name: str) -> str:
    if helo.startswith("["):
        return "literal" if helo.endswith("]") and _literal(helo) else "syntax"
    if parse_address_text(helo):
        return "bare_address"
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return "syntax"
    return "name" if len(labels) > 1 else "unqualified"


def _literal(helo: str) -> str:
    if not helo.startswith("["):
        return ""
    inner = helo[1:-1]
    return parse_address_text(inner[5:] if inner[:5].lower() == "ipv6:" else inner)


_WHY = {
    "missing": "the client said no HELO",
    "syntax": "HELO {} is neither a host name nor an address literal",
    "literal": "HELO {} is an address literal",
    "bare_address": "HELO {} is an address without brackets",
    "unqualified": "HELO {} is not a fully qualified name",
    "ours": "HELO {} is our own name or address",
    "unresolvable": "HELO {} has no address",
    "contradiction": "HELO {} is not the client's",
}


def examine(envelope: Envelope, facts: Facts, knobs: HeloKnobs) -> Iterator[Finding]:
    """Find what is wrong with its form first; then a name of ours; then what the DNS says against it."""
    if envelope.helo is None:
        yield from _finding("missing", knobs, "")
        return
    helo = envelope.helo
    name = domain_key(helo)
    shape = _shape(helo, name)
    address = _literal(helo) or parse_address_text(helo)
    if name in envelope.site.names or address in envelope.site.addresses:
        yield from _finding("ours", knobs, helo)
    elif shape != "name":
        yield from _finding(shape, knobs, helo)
        if address and address != envelope.client.address:
            yield from _finding("contradiction", knobs, helo)
    else:
        yield from _against_dns(envelope, facts, knobs, HostAddress(name))


def _against_dns(envelope: Envelope, facts: Facts, knobs: HeloKnobs, question: HostAddress) -> Iterator[Finding]:
    fact = facts.get(question, UNKNOWN)
    if fact.status is Status.NONE:
        yield from _finding("unresolvable", knobs, envelope.helo or "", question)
    elif fact.status is Status.PASS and envelope.client.address not in fact.data:
        reverse = facts.get(ReverseName(envelope.client.address), UNKNOWN)
        if reverse.status is Status.PASS and not _related(question.name, reverse.data):
            yield from _finding("contradiction", knobs, envelope.helo or "", question)


def _related(name: str, confirmed: tuple[str, ...]) -> bool:
    """Return whether two names end in the same two labels: one organisation's hosts often greet for each other."""
    return any(name.split(".")[-2:] == domain_key(other).split(".")[-2:] for other in confirmed)


def _finding(knob: str, knobs: HeloKnobs, helo: str, question: Question | None = None) -> Iterator[Finding]:
    score: Points = getattr(knobs, knob)
    if score:
        symbol = f"HELO_{knob.upper()}"
        yield Finding(symbol, Origin.ENVELOPE, score, _WHY[knob].format(helo), f"helo.{knob}", question)


HELO = EnvelopeCheck("helo", Stage.HELO, Origin.ENVELOPE, HeloKnobs, wants, examine)
