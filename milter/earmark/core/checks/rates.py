"""Rates: how many messages a client, a network, a sender's domain, a recipient and a user may bring in a time.

Each limit is a token bucket of its own (docs/rates.md), shared by all workers and, with a shared store, by all nodes. A
message takes one token of each bucket, a recipient one of its own. A bucket that nobody could be asked about is full.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NewType

from earmark.core.checks.check import UNLESS_ALLOWED, EnvelopeCheck
from earmark.core.evidence import (
    NO_POINTS,
    UNKNOWN,
    Fact,
    Facts,
    Finding,
    Origin,
    Points,
    Question,
    Stage,
    Status,
    Taking,
)
from earmark.core.mail import Envelope
from earmark.core.networks import network_of

Limit = NewType("Limit", str)
"""A limit as it is written, "tokens/seconds", such as "30/60"; "" for none."""

NO_LIMIT = Limit("")

BUCKETS = ("client", "network", "sender", "recipient", "user")
"""What can be limited; also the names of the limits' knobs."""

_LONGEST_KEY = 320


@dataclass(frozen=True, slots=True)
class RatesKnobs:
    """Settings of [rates]."""

    client: Limit = NO_LIMIT
    """For one client address."""
    network: Limit = NO_LIMIT
    """For one /24, or /64 of IPv6."""
    sender: Limit = NO_LIMIT
    """For one sender domain."""
    recipient: Limit = NO_LIMIT
    """For one recipient address."""
    user: Limit = NO_LIMIT
    """For one user who authenticated."""
    score: Points = NO_POINTS
    """What it counts that limits are exceeded, however many."""
    defer: bool = False
    """Tell the client to come back."""


def limits_of(envelope: Envelope, knobs: RatesKnobs) -> Iterator[Taking]:
    """Yield the buckets of this transaction and recipient. The null sender has none: a bounce must find its way.

    An exempt session is one of ours: its client and network, which many share, are not limited.
    """
    if envelope.sender.is_null:
        return
    limits = (knobs.client, knobs.network, knobs.sender, knobs.recipient, knobs.user)
    if not any(limits):
        return
    address = "" if envelope.exempt else envelope.client.address
    network = network_of(address) if address else ""
    keys = (address, network, envelope.sender.domain, _mailbox(envelope), envelope.user)
    for bucket, limit, key in zip(BUCKETS, limits, keys, strict=True):
        if limit and key:
            yield Taking(bucket, key[:_LONGEST_KEY], limit)


def _mailbox(envelope: Envelope) -> str:
    """Return the recipient, in one spelling for all that reach the same mailbox in practice."""
    recipient = envelope.recipient
    return f"{recipient.local.lower()}@{recipient.domain}" if recipient.local else ""


def wants(envelope: Envelope, _facts: Facts, knobs: RatesKnobs) -> Iterable[Question]:
    """Take a token from each bucket."""
    return limits_of(envelope, knobs)


def examine(envelope: Envelope, facts: Facts, knobs: RatesKnobs) -> Iterator[Finding]:
    """Find the buckets that are empty; the first one bears the score."""
    score = knobs.score
    for taking in limits_of(envelope, knobs):
        fact = facts.get(taking, UNKNOWN)
        if fact.status is Status.FAIL:
            yield _finding(taking, fact, score, knobs)
            score = NO_POINTS


def _finding(taking: Taking, fact: Fact, score: Points, knobs: RatesKnobs) -> Finding:
    messages, _, seconds = taking.limit.partition("/")
    _, wait = fact.data
    why = f"{taking.bucket} {taking.key} has had its {messages} messages in {seconds} s: come back in {wait} s"
    origin = Origin.CONNECTION if taking.bucket in ("client", "network") else Origin.ENVELOPE
    defer_at = UNLESS_ALLOWED if knobs.defer else None
    return Finding(
        f"RATE_{taking.bucket.upper()}", origin, score, why, f"rates.{taking.bucket}", taking, defer_at=defer_at
    )


RATES = EnvelopeCheck(
    "rates", Stage.RCPT, Origin.ENVELOPE, RatesKnobs, wants, examine, of_exempt=True, per_recipient=True
)
