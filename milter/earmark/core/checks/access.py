"""Allow and deny lists, kept by hand (docs/access.md): the one entry that decides for this recipient.

An entry that allows counts only where its subject is proven: the reverse name leads back to the client, the HELO name
has the client's address, SPF passes for the sender's domain (RFC 7208). What denies needs no proof, but for the reverse
name. Where a proof is not known, an entry that allows is credited, and what denies behind it does not count yet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from earmark.core.access import ADDRESS_AT_MOST, Decision, Entry, Kind, Verb, decide_among, description, entries_in
from earmark.core.authentication.spf_identity import identity, is_qualified
from earmark.core.checks.check import EnvelopeCheck
from earmark.core.evidence import (
    NO_POINTS,
    UNKNOWN,
    Entries,
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
from earmark.core.mail import Address, Envelope, domain_key

_HOST = (Kind.CLIENT, Kind.REVERSE)


@dataclass(frozen=True, slots=True)
class AccessKnobs:
    """Settings of [access]."""

    allow: Annotated[Points, range(-10_000, 1)] = NO_POINTS
    """What an entry that allows counts; 0 leaves such entries out of account."""
    deny: Points = NO_POINTS
    """What an entry that denies counts; likewise."""


class Consulted(NamedTuple):
    """What the lists say, as far as it is known."""

    question: Entries
    """The one whose answer decides."""
    decision: Decision | None
    """None where that question has no answer."""


def asked(envelope: Envelope) -> Entries:
    """Return the question for this transaction and recipient, without the reverse name."""
    helo = domain_key(envelope.helo or "")[:ADDRESS_AT_MOST]
    return Entries(envelope.client.address, "", helo, _mailbox(envelope.sender), _mailbox(envelope.recipient))


def _mailbox(address: Address) -> str:
    mailbox = "" if address.is_null else f"{address.local}@{address.domain}"
    return mailbox if len(mailbox) <= ADDRESS_AT_MOST else ""


def consult(envelope: Envelope, facts: Facts, knobs: AccessKnobs, *, signed: bool = False) -> Consulted:
    """Return what the lists say. The reverse name is asked for only where an entry is about reverse names.

    `signed`: the message itself proves the sender's domain.
    """
    question = asked(envelope)
    fact = facts.get(question, UNKNOWN)
    entries = entries_in(fact.data)
    if any(entry.kind is Kind.REVERSE for entry in entries):
        reverse = facts.get(ReverseName(envelope.client.address), UNKNOWN)
        if reverse.status is Status.PASS and reverse.data:
            question = question._replace(name=domain_key(reverse.data[0])[:ADDRESS_AT_MOST])
            fact = facts.get(question, UNKNOWN)
            entries = entries_in(fact.data)
    if fact.status is Status.TEMPERROR:
        return Consulted(question, None)
    weights = {Verb.ALLOW: knobs.allow, Verb.DENY: knobs.deny}
    weighed = [entry for entry in entries if weights[entry.verb] and entry.holds_at(envelope.at)]

    def counts(entry: Entry) -> bool | None:
        if question.name and entry.kind is Kind.REVERSE:  # it was found by the confirmed name
            return True
        return (signed and entry.is_of_sender) or _counts(entry, envelope, facts)

    return Consulted(question, decide_among(weighed, counts))


def _counts(entry: Entry, envelope: Envelope, facts: Facts) -> bool | None:
    """Return whether an entry counts, as far as the envelope shows; None where that is not known."""
    if entry.kind is Kind.REVERSE:
        fact = facts.get(ReverseName(envelope.client.address), UNKNOWN)
        return None if fact.status is Status.TEMPERROR else False
    if entry.kind is Kind.CLIENT or entry.verb is Verb.DENY or entry.unauthenticated:
        return True
    question = proof(entry, envelope)
    if question is None:
        return False
    fact = facts.get(question, UNKNOWN)
    if fact.status is Status.TEMPERROR:
        return None
    return fact.status is Status.PASS and (entry.kind is not Kind.HELO or envelope.client.address in fact.data)


def proof(entry: Entry, envelope: Envelope) -> Question | None:
    """Return the question whose answer proves the subject of an entry; None where nothing does, or need be."""
    if entry.kind is Kind.REVERSE:
        return ReverseName(envelope.client.address)
    if entry.kind is Kind.HELO:
        name = domain_key(envelope.helo or "")
        return HostAddress(name) if is_qualified(name) else None
    return identity(envelope) if entry.is_of_sender else None


def wants(envelope: Envelope, facts: Facts, knobs: AccessKnobs) -> Iterator[Question]:
    """Ask the lists, and then for what the entries wait for."""
    if envelope.recipient.is_null or not (knobs.allow or knobs.deny):
        return
    yield asked(envelope)
    if asked(envelope) not in facts:
        return
    question, decision = consult(envelope, facts, knobs)
    yield question
    for entry in decision.waiting if decision else ():
        waited_for = proof(entry, envelope)
        if waited_for is not None:
            yield waited_for


def examine(envelope: Envelope, facts: Facts, knobs: AccessKnobs) -> Iterator[Finding]:
    """Find the entry that decides."""
    if envelope.recipient.is_null:
        return
    question, decision = consult(envelope, facts, knobs)
    if decision is None or decision.entry is None:
        return
    entry = decision.entry
    origin = Origin.CONNECTION if entry.kind in _HOST else Origin.ENVELOPE
    if entry.verb is Verb.ALLOW:
        yield Finding("ACCESS_ALLOWED", origin, knobs.allow, description(entry), "access.allow", question)
    elif not decision.may_allow:
        yield Finding("ACCESS_DENIED", origin, knobs.deny, description(entry), "access.deny", question)


def relief(question: Question, envelope: Envelope, facts: Facts, knobs: AccessKnobs) -> int:
    """Return what an allowing entry would count that the lists may hold, or that this question may prove."""
    if envelope.recipient.is_null:
        return NO_POINTS
    consulted, decision = consult(envelope, facts, knobs)
    if decision is None:
        return knobs.allow if question == consulted else NO_POINTS
    waiting = (entry for entry in decision.waiting if entry.verb is Verb.ALLOW)
    return knobs.allow if any(proof(entry, envelope) == question for entry in waiting) else NO_POINTS


ACCESS = EnvelopeCheck("access", Stage.RCPT, Origin.ENVELOPE, AccessKnobs, wants, examine, relief, per_recipient=True)
