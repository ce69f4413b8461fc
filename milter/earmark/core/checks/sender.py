"""The reverse-path (RFC 5321 section 4.1.1.2): could anybody answer it? Nothing is held against the null sender."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from earmark.core.checks.check import EnvelopeCheck
from earmark.core.evidence import (
    NO_POINTS,
    UNKNOWN,
    Fact,
    Facts,
    Finding,
    MailHosts,
    Origin,
    Points,
    Question,
    Stage,
    Status,
)
from earmark.core.mail import Envelope
from earmark.core.zones import is_public


@dataclass(frozen=True, slots=True)
class SenderKnobs:
    """Settings of [sender]."""

    no_domain: Points = NO_POINTS
    """The address has no domain."""
    no_mail_host: Points = NO_POINTS
    """Its domain has neither MX nor address."""
    private_mail_host: Points = NO_POINTS
    """Every mail host of its domain stands in private, loopback or reserved space."""
    null_mx: Points = NO_POINTS
    """Its domain says that it takes no mail (RFC 7505)."""
    own_domain: Points = NO_POINTS
    """It claims one of our own domains, from outside. Mailing lists and forwarders do this rightly."""


def wants(envelope: Envelope, _facts: Facts, knobs: SenderKnobs) -> Iterable[Question]:
    """Ask where mail for the sender's domain goes, unless the domain is ours."""
    domain = envelope.sender.domain
    if (
        domain
        and domain not in envelope.site.domains
        and (knobs.no_mail_host or knobs.private_mail_host or knobs.null_mx)
    ):
        yield MailHosts(domain)


def examine(envelope: Envelope, facts: Facts, knobs: SenderKnobs) -> Iterator[Finding]:
    """Find a sender that nobody could answer."""
    sender = envelope.sender
    if sender.is_null:
        return
    if not sender.domain:
        yield from _finding("SENDER_NO_DOMAIN", knobs.no_domain, f"sender {sender.text} has no domain", "no_domain")
    elif sender.domain in envelope.site.domains:
        why = f"sender {sender.text} claims a domain of ours"
        yield from _finding("SENDER_OWN_DOMAIN", knobs.own_domain, why, "own_domain")
    else:
        question = MailHosts(sender.domain)
        yield from _mail_hosts(question, facts.get(question, UNKNOWN), knobs)


def _mail_hosts(question: MailHosts, fact: Fact, knobs: SenderKnobs) -> Iterator[Finding]:
    domain = question.domain
    if fact.status is Status.NONE:
        why = f"sender domain {domain} has no mail host: {fact.why or 'neither MX nor address'}"
        yield from _finding("SENDER_NO_MX", knobs.no_mail_host, why, "no_mail_host", question)
    elif fact.status is Status.POLICY:
        why = f"sender domain {domain} takes no mail (null MX)"
        yield from _finding("SENDER_NULL_MX", knobs.null_mx, why, "null_mx", question)
    elif fact.status is Status.PASS and fact.data and not any(is_public(address) for address in fact.data):
        why = f"mail for sender domain {domain} goes to {fact.data[0]}, which is not a public address"
        yield from _finding("SENDER_PRIVATE_MX", knobs.private_mail_host, why, "private_mail_host", question)


def _finding(name: str, score: Points, why: str, knob: str, question: Question | None = None) -> Iterator[Finding]:
    if score:
        yield Finding(name, Origin.ENVELOPE, score, why, f"sender.{knob}", question)


SENDER = EnvelopeCheck("sender", Stage.MAIL, Origin.ENVELOPE, SenderKnobs, wants, examine)
