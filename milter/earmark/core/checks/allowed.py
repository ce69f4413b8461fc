"""What the message adds to the allow lists: a signature that proves the sender, and an author who disproves it.

SPF fails for mail that was forwarded; a DKIM signature in the sender's organization, or DMARC that passes for it, is as
good a proof, but comes after RCPT, and so only frees from a mark. And who may send in one name may not in any other: an
entry for a sender is no help to a message whose author's domain asks for DMARC failures to be kept out.
"""

from collections.abc import Iterable, Iterator

from earmark.core.access import Entry, Verb, description, entries_in
from earmark.core.authentication.assessment import Assessment, assess
from earmark.core.authentication.dmarc_record import Disposition
from earmark.core.checks.access import AccessKnobs, consult
from earmark.core.checks.check import MessageCheck
from earmark.core.evidence import (
    NO_POINTS,
    DmarcRecords,
    Entries,
    Facts,
    Finding,
    Origin,
    Points,
    Question,
    Stage,
    Status,
)
from earmark.core.mail import Envelope, Transaction


def wants(txn: Transaction, facts: Facts, knobs: AccessKnobs) -> Iterable[Question]:
    """Ask who vouches for the message where an entry allows its sender, whichever recipient it is for."""
    return assess(txn, facts).asked if knobs.allow and _is_about_sender(facts) else ()


def _is_about_sender(facts: Facts) -> bool:
    return any(
        entry.verb is Verb.ALLOW and entry.is_of_sender
        for question, fact in facts.items()
        if fact.data and isinstance(question, Entries)
        for entry in entries_in(fact.data)
    )


def examine(txn: Transaction, facts: Facts, knobs: AccessKnobs) -> Iterator[Finding]:
    """Find an entry that counts by the message alone, or one that a forged author takes the good of."""
    if not knobs.allow or not _is_about_sender(facts):
        return
    assessed = assess(txn, facts)
    question, decision = consult(txn.envelope, facts, knobs)
    before = decision.entry if decision else None
    if _is_forged(assessed, txn.envelope):
        if before and _allows_sender(before) and not before.unauthenticated:
            why = f"the author's domain {assessed.author.domain} fails DMARC, which no entry for the sender excuses"
            asked = DmarcRecords(assessed.author.domain)
            yield Finding("ACCESS_WITHHELD", Origin.CONTENT, Points(-knobs.allow), why, "access.allow", asked)
    elif before is None or before.verb is Verb.DENY:
        signed = _is_signed(assessed, txn.envelope)
        decision = consult(txn.envelope, facts, knobs, signed=signed).decision
        if decision and decision.entry and _allows_sender(decision.entry):
            why = description(decision.entry)
            yield Finding("ACCESS_ALLOWED", Origin.CONTENT, knobs.allow, why, "access.allow", question)


def _allows_sender(entry: Entry) -> bool:
    return entry.verb is Verb.ALLOW and entry.is_of_sender


def _is_signed(assessed: Assessment, envelope: Envelope) -> bool:
    """Return whether DKIM or DMARC passes for the organization that the sender's domain belongs to."""
    vouching = [one.domain for one in assessed.signatures if one.status is Status.PASS]
    if assessed.dmarc.status is Status.PASS:
        vouching.append(assessed.author.domain)
    return any(_same_organization(domain, envelope) for domain in vouching)


def _is_forged(assessed: Assessment, envelope: Envelope) -> bool:
    """Return whether the author's domain wants such mail kept out; not where the sender is the list that changed it."""
    failed = assessed.dmarc.status is Status.FAIL and assessed.dmarc.disposition is not Disposition.NONE
    return failed and not _same_organization(assessed.mailing_list, envelope)


def _same_organization(domain: str, envelope: Envelope) -> bool:
    own, registrable = envelope.sender.domain, envelope.site.registrable
    return bool(domain) and (domain == own or registrable(domain) == registrable(own) != "")


def relief(question: Question, txn: Transaction, facts: Facts, knobs: AccessKnobs) -> int:
    """Return what an entry for the sender would count if this question were answered so as to prove him."""
    if not knobs.allow or not _is_about_sender(facts) or question not in assess(txn, facts).asked:
        return NO_POINTS
    decision = consult(txn.envelope, facts, knobs, signed=True).decision
    return knobs.allow if decision and decision.entry and _allows_sender(decision.entry) else NO_POINTS


def reads_body(knobs: AccessKnobs) -> bool:
    """Return whether an entry may wait for a signature."""
    return knobs.allow < 0


ALLOWED = MessageCheck("access", Stage.EOM, Origin.CONTENT, AccessKnobs, wants, examine, reads_body, relief)
"""Shares its section with `checks.access`: an entry that allows weighs the same, whatever proves it."""
