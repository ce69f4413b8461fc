"""Greylisting (RFC 6647): who looks suspicious is told to come back, as a mail server does and a bot mostly does not.

A triplet is the origin (the domain whose SPF passes, else the client's network), the sender's domain and the
recipient's domain. It waits once; then it passes for as long as it keeps coming. Origin and sender that have come back
for several recipients' domains are proven, and wait for no other.

Nothing of this counts points. Where the store does not answer, nobody waits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from earmark.core.authentication.spf_identity import identity
from earmark.core.checks.check import EnvelopeCheck
from earmark.core.effects import Attempt, Effect, Passed
from earmark.core.evidence import (
    NO_POINTS,
    UNKNOWN,
    Facts,
    Finding,
    Greylisting,
    Origin,
    Points,
    Question,
    Stage,
    Status,
)
from earmark.core.mail import Envelope
from earmark.core.networks import network_of
from earmark.core.verdict import Action

ANYBODY = "*"
"""In place of the recipient's domain: what is known of origin and sender, whoever the recipient."""

_SUSPICIOUS = Points(300)
_LONGEST_DOMAIN = 255
_REFRESH = 3600.0
"""Seconds after which a triplet that passes is noted again: not each message costs a write."""


@dataclass(frozen=True, slots=True)
class GreylistKnobs:
    """Settings of [greylist]."""

    enabled: bool = False
    from_score: Points = _SUSPICIOUS
    """The refuse score from which greylisting is done; from refuse_at on the mail is refused anyway."""
    wait_seconds: Annotated[int, range(1, 86_401)] = 300
    """How long a triplet must wait before it may come back."""
    window_hours: Annotated[int, range(1, 721)] = 48
    """How long after the first attempt coming back counts."""
    pass_days: Annotated[int, range(1, 366)] = 35
    """How long a triplet passes after its last mail."""
    proven_after: Annotated[int, range(101)] = 2
    """For how many recipients' domains origin and sender must have come back to be proven; 0 means never."""


def triplet(envelope: Envelope, facts: Facts) -> Greylisting | None:
    """Return what is remembered of this transaction and recipient; None where it is not greylisted.

    The null sender never is: it sends bounces, and the probes of servers that verify sender addresses, which do not
    come back. Nor is anybody whose SPF result is not known: it might be a domain that passes.
    """
    if envelope.sender.is_null or envelope.recipient.is_null or not envelope.client.address:
        return None
    asked = identity(envelope)
    origin = network_of(envelope.client.address)
    if asked is not None:
        status = facts.get(asked, UNKNOWN).status
        if status is Status.TEMPERROR:
            return None
        origin = asked.domain if status is Status.PASS else origin
    return Greylisting(
        origin[:_LONGEST_DOMAIN],
        envelope.sender.domain[:_LONGEST_DOMAIN],
        envelope.recipient.domain[:_LONGEST_DOMAIN],
    )


def wants(envelope: Envelope, facts: Facts, knobs: GreylistKnobs) -> Iterator[Question]:
    """Ask SPF first, which says who the origin is; then what is known of the triplet and of origin and sender."""
    if not knobs.enabled or envelope.sender.is_null or envelope.recipient.is_null:
        return
    asked = identity(envelope)
    if asked is not None:
        yield asked
    known = triplet(envelope, facts)
    if known is not None:
        yield known
        if knobs.proven_after:
            yield known._replace(recipient=ANYBODY)


def examine(envelope: Envelope, facts: Facts, knobs: GreylistKnobs) -> Iterator[Finding]:
    """Find who has to come back, and who did."""
    known = triplet(envelope, facts) if knobs.enabled else None
    if known is None or _is_proven(known, facts, knobs):
        return
    fact = facts.get(known, UNKNOWN)
    if fact.status is Status.NONE:
        why = f"greylisted, not seen before: come back in {_span(knobs.wait_seconds)}"
        yield _greylisted(why, known, knobs)
    elif fact.status is Status.FAIL:
        first, told = fact.data
        waited = envelope.at - float(first)
        if not _has_waited(waited, knobs):
            why = f"greylisted, first seen {_span(waited)} ago: come back in {_span(knobs.wait_seconds - waited)}"
            yield _greylisted(why, known, knobs)
        else:
            why = f"came back {_span(waited)} after the first attempt" + (f", verdict {told}" if told else "")
            yield Finding("GREYLIST_PASSED", Origin.ENVELOPE, NO_POINTS, why, "greylist.wait_seconds", known)


def effects(envelope: Envelope, facts: Facts, knobs: GreylistKnobs, action: Action) -> Iterator[Effect]:
    """Keep the attempt of who is told to come back, and the passing of who did."""
    known = triplet(envelope, facts) if knobs.enabled else None
    if known is None:
        return
    fact = facts.get(known, UNKNOWN)
    at, keep = envelope.at, knobs.pass_days * 86_400
    anybody = known._replace(recipient=ANYBODY)
    came_back = fact.status is Status.FAIL and _has_waited(at - float(fact.data[0]), knobs)
    if action is Action.DEFER and fact.status in (Status.NONE, Status.FAIL) and not came_back:
        yield Attempt(known, at, knobs.window_hours * 3600, envelope.id)
    elif action is Action.ACCEPT and came_back:
        yield Passed(known, at, keep)
        yield Passed(anybody, at, keep)
    elif action is Action.ACCEPT:
        yield from (Passed(each, at, keep) for each in (known, anybody) if _is_due(each, facts, at, knobs))


def _has_waited(waited: float, knobs: GreylistKnobs) -> bool:
    """Return whether who first came so many seconds ago has waited enough.

    Nodes' clocks may differ a little. A first attempt further ahead was noted by a clock that was wrong: that costs the
    sender nothing, or it would be told to come back until that time comes.
    """
    return not -knobs.wait_seconds <= waited < knobs.wait_seconds


def _is_proven(known: Greylisting, facts: Facts, knobs: GreylistKnobs) -> bool:
    """Return whether origin and sender need not wait, or may not need to: what is unknown is taken kindly."""
    fact = facts.get(known._replace(recipient=ANYBODY), UNKNOWN)
    if not knobs.proven_after or fact.status is Status.NONE:
        return False
    return fact.status is not Status.PASS or int(fact.data[2]) >= knobs.proven_after


def _is_due(known: Greylisting, facts: Facts, at: float, knobs: GreylistKnobs) -> bool:
    """Return whether what passes was last noted so long ago that it has to be noted again."""
    fact = facts.get(known, UNKNOWN)
    if fact.status is not Status.PASS or at - float(fact.data[1]) < _REFRESH:
        return False
    return known.recipient != ANYBODY or _is_proven(known, facts, knobs)


def _greylisted(why: str, known: Greylisting, knobs: GreylistKnobs) -> Finding:
    return Finding(
        "GREYLISTED", Origin.ENVELOPE, NO_POINTS, why, "greylist.from_score", known, defer_at=knobs.from_score
    )


def _span(seconds: float) -> str:
    """Return a time for people, rounded up so that who comes back then is not too early."""
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds > 2 * unit or unit == 1:
            count = max(-int(-seconds // unit), 0)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return ""


GREYLIST = EnvelopeCheck(
    "greylist",
    Stage.RCPT,
    Origin.ENVELOPE,
    GreylistKnobs,
    wants,
    examine,
    effects=effects,
    per_recipient=True,
)
