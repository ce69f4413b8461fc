"""Who vouches for the message: DKIM (RFC 6376), ARC (RFC 8617) and, for the author's domain, DMARC (RFC 9989)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from earmark.core.authentication.assessment import Assessment, assess
from earmark.core.authentication.author import author_of
from earmark.core.authentication.dmarc_record import Disposition
from earmark.core.checks.check import MessageCheck
from earmark.core.evidence import (
    NO_POINTS,
    DmarcRecords,
    Facts,
    Finding,
    Origin,
    Points,
    Question,
    Signatures,
    Stage,
    Status,
)
from earmark.core.mail import Transaction


@dataclass(frozen=True, slots=True)
class AuthenticationKnobs:
    """Settings of [authentication]."""

    verify: bool = True
    """Whether signatures are verified and DMARC records asked for at all."""
    dmarc_fail: Points = NO_POINTS
    """DMARC fails, and the author's domain asks for nothing."""
    dmarc_quarantine: Points = NO_POINTS
    """DMARC fails, and the author's domain asks for such mail to be treated as suspicious."""
    dmarc_reject: Points = NO_POINTS
    """DMARC fails, and the author's domain asks for such mail to be rejected."""
    dkim_fail: Points = NO_POINTS
    """There are signatures, none holds, and the first is wrong."""
    author_ambiguous: Points = NO_POINTS
    """It cannot be told whose domain stands in From."""
    no_author: Points = NO_POINTS
    """From is missing, or names no domain."""
    trusted_sealers: tuple[str, ...] = ()
    """Domains whose ARC chain is believed over a DMARC failure."""


_FAILURES = {
    Disposition.NONE: ("DMARC_FAIL", "dmarc_fail"),
    Disposition.QUARANTINE: ("DMARC_QUARANTINE", "dmarc_quarantine"),
    Disposition.REJECT: ("DMARC_REJECT", "dmarc_reject"),
}


def wants(txn: Transaction, facts: Facts, knobs: AuthenticationKnobs) -> Iterable[Question]:
    """Ask all that the assessment depends on, as far as it is known yet."""
    return assess(txn, facts).asked if knobs.verify else ()


def examine(txn: Transaction, facts: Facts, knobs: AuthenticationKnobs) -> Iterator[Finding]:
    """Find an author who cannot be told, a broken signature, and a failure of DMARC; nothing in what is unknown."""
    author = author_of(txn.message)
    if author.ambiguous:
        why = f"whose message it is cannot be told: {author.ambiguous}"
        yield from _finding("AUTHOR_AMBIGUOUS", "author_ambiguous", why, knobs)
    elif not author.domain and not txn.message.truncated:
        yield from _finding("AUTHOR_MISSING", "no_author", "From is missing, or names no domain", knobs)
    if not knobs.verify:
        return
    found = assess(txn, facts)
    if found.signed.status is Status.FAIL:
        domains = ", ".join(dict.fromkeys(one.domain for one in found.signatures if one.domain))
        why = f"no DKIM signature holds, of {domains or 'nobody'}"
        yield from _finding("DKIM_FAIL", "dkim_fail", why, knobs, Signatures(txn.message.content))
    if found.dmarc.status is Status.FAIL:
        yield from _dmarc_failure(found, facts, knobs)


def _dmarc_failure(found: Assessment, facts: Facts, knobs: AuthenticationKnobs) -> Iterator[Finding]:
    """Find the failure: as heavy as its domain asks; through a mailing list a step less, under a trusted seal nothing.

    Anybody can call himself a mailing list, so that must not free a forgery; but a list that says who it is, and signs,
    has reasons to break the author's signature. A trusted sealer saw the message before it was changed.
    """
    domain, asks = found.author.domain, found.dmarc.disposition
    question = DmarcRecords(domain)
    sealer = found.chain.data[-1] if found.chain.status is Status.PASS and found.chain.data else ""
    if sealer in knobs.trusted_sealers:
        why = f"DMARC fails for {domain}, but the ARC chain that {sealer} sealed passes"
        yield Finding("DMARC_SEALED", Origin.CONTENT, NO_POINTS, why, "authentication.trusted_sealers", question)
        return
    why = f"DMARC fails for {domain}, whose policy is {asks}: {found.dmarc.why}"
    if found.mailing_list:
        why = f"{why}; the mailing list {found.mailing_list} has signed it"
        asks = asks.milder
    unsure = found.chain.status is Status.TEMPERROR and bool(knobs.trusted_sealers)
    late = any(facts[asked].late for asked in found.asked if asked in facts)
    opt_in = "dmarc" if asks is Disposition.REJECT and not unsure and not late else ""
    name, knob = _FAILURES[asks]
    yield from _finding(name, knob, why, knobs, question, opt_in=opt_in)


def _finding(
    name: str, knob: str, why: str, knobs: AuthenticationKnobs, question: Question | None = None, *, opt_in: str = ""
) -> Iterator[Finding]:
    score: Points = getattr(knobs, knob)
    if score or opt_in:
        yield Finding(name, Origin.CONTENT, score, why, f"authentication.{knob}", question, opt_in=opt_in)


def reads_body(knobs: AuthenticationKnobs) -> bool:
    """Return whether signatures are verified."""
    return knobs.verify


AUTHENTICATION = MessageCheck(
    "authentication", Stage.EOM, Origin.CONTENT, AuthenticationKnobs, wants, examine, reads_body
)
