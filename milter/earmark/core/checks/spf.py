"""Does the sender's domain, or the greeting's, let the client send in its name (RFC 7208)?

A fail is no proof: whoever forwards mail without rewriting its sender fails, too. So it weighs towards a mark.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from earmark.core.authentication.spf_identity import helo_identity, identity
from earmark.core.checks.check import EnvelopeCheck
from earmark.core.evidence import (
    NO_POINTS,
    UNKNOWN,
    CheckHost,
    Fact,
    Facts,
    Finding,
    Origin,
    Points,
    Question,
    Stage,
    Status,
)
from earmark.core.mail import Envelope


@dataclass(frozen=True, slots=True)
class SpfKnobs:
    """Settings of [spf]."""

    check: bool = True
    """Ask for SPF at all."""
    fail: Points = NO_POINTS
    """The sender's domain says that the client may not send in its name."""
    softfail: Points = NO_POINTS
    """It says that the client probably may not."""
    neutral: Points = NO_POINTS
    """It says nothing about the client, and says so."""
    none: Points = NO_POINTS
    """It has no SPF record."""
    permerror: Points = NO_POINTS
    """It has one that cannot be read."""
    helo_fail: Points = NO_POINTS
    """The HELO name says that the client may not greet with it."""
    received_spf: bool = False
    """Write a Received-SPF field."""


_WEIGHTS = {
    Status.FAIL: "fail",
    Status.SOFTFAIL: "softfail",
    Status.NEUTRAL: "neutral",
    Status.NONE: "none",
    Status.PERMERROR: "permerror",
}


def wants(envelope: Envelope, _facts: Facts, knobs: SpfKnobs) -> Iterable[Question]:
    """Ask for the MAIL FROM identity, whatever it weighs: others build on it; for HELO only where it weighs."""
    if not knobs.check:
        return
    sender = identity(envelope)
    if sender is not None:
        yield sender
    helo = _helo_question(envelope, knobs)
    if helo is not None:
        yield helo


def _helo_question(envelope: Envelope, knobs: SpfKnobs) -> CheckHost | None:
    """Return the question of the HELO identity; with the null sender MAIL FROM is that identity, and it counts once."""
    return helo_identity(envelope) if knobs.helo_fail and not envelope.sender.is_null else None


def examine(envelope: Envelope, facts: Facts, knobs: SpfKnobs) -> Iterator[Finding]:
    """Find what the results weigh. TEMPERROR finds nothing."""
    if not knobs.check:
        return
    sender = identity(envelope)
    if sender is not None:
        yield from _mail_from(sender, facts.get(sender, UNKNOWN), knobs)
    helo = _helo_question(envelope, knobs)
    if helo is not None and helo != sender and facts.get(helo, UNKNOWN).status is Status.FAIL:
        why = f"SPF: {helo.domain} does not let {helo.address} greet with its name{_because(facts[helo])}"
        yield Finding("SPF_HELO_FAIL", Origin.ENVELOPE, knobs.helo_fail, why, "spf.helo_fail", helo)


_WHY = {
    Status.FAIL: "does not let {address} send in its name",
    Status.SOFTFAIL: "would rather not let {address} send in its name",
    Status.NEUTRAL: "says nothing about {address}",
    Status.NONE: "says nothing about who may send in its name",
    Status.PERMERROR: "has records that cannot be read",
}


def _mail_from(question: CheckHost, fact: Fact, knobs: SpfKnobs) -> Iterator[Finding]:
    knob = _WEIGHTS.get(fact.status, "")
    score: Points = getattr(knobs, knob) if knob else NO_POINTS
    if score:
        what = _WHY[fact.status].format(address=question.address)
        why = f"SPF: {question.domain} {what}{_because(fact)}"
        yield Finding(f"SPF_{knob.upper()}", Origin.ENVELOPE, score, why, f"spf.{knob}", question)


def _because(fact: Fact) -> str:
    return f" ({fact.why})" if fact.why else ""


SPF = EnvelopeCheck("spf", Stage.MAIL, Origin.ENVELOPE, SpfKnobs, wants, examine)
