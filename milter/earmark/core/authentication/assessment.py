"""What is known of who vouches for a message: SPF, DKIM, ARC and, for the author's domain, DMARC."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from earmark.core.authentication.author import Author, author_of
from earmark.core.authentication.dmarc import Identifier, Result, evaluate
from earmark.core.authentication.signature import Signature, read_signature
from earmark.core.authentication.spf_identity import identity
from earmark.core.evidence import UNKNOWN, ArcChain, CheckHost, Fact, Facts, Question, Signatures, Status
from earmark.core.mail import Envelope, Transaction, domain_key
from earmark.core.zones import is_public

ABSENT = Fact(Status.NONE)
"""For what need not be asked."""


class Assessment(NamedTuple):
    """What the facts come to. What is not in the facts is unknown."""

    author: Author
    spf: CheckHost | None
    """The question of the MAIL FROM identity, where there is one to ask."""
    signed: Fact
    """The fact of Signatures."""
    signatures: tuple[Signature, ...]
    chain: Fact
    """The fact of ArcChain."""
    dmarc: Result
    mailing_list: str
    """The domain of its List-Id (RFC 2919), where a signature of the same organization holds, or may; else ""."""
    asked: tuple[Question, ...]
    """All that this depends on."""


def assess(txn: Transaction, facts: Facts) -> Assessment:
    """Return what the facts say of a message. Pure; asks for no more than what the facts so far leave open."""
    asked: dict[Question, None] = {}

    def ask(question: Question) -> Fact:
        asked[question] = None
        return facts.get(question, UNKNOWN)

    message = txn.message
    present = message.fields
    signed = ask(Signatures(message.content)) if b"dkim-signature" in present else ABSENT
    if message.truncated:
        signed = UNKNOWN  # a signature that we cut, or whose fields we cut, does not fail by that
    chain = ask(ArcChain(message.content)) if b"arc-seal" in present else ABSENT
    signatures = tuple(map(read_signature, signed.data))
    spf = None if _is_handed_over(txn.envelope) else identity(txn.envelope)
    author = author_of(message)
    if author.domain:
        checked = ask(spf) if spf else ABSENT
        identifiers = [*_of_dkim(signed, signatures, author), *_of_spf(txn.envelope, spf, checked)]
        dmarc = evaluate(author.domain, identifiers, ask)
    else:
        dmarc = Result(Status.PERMERROR if author.ambiguous else Status.NONE, author.ambiguous or "no author domain")
    mailing_list = _signed_list(present.get(b"list-id", [b""])[0], signatures, txn.envelope.site.registrable)
    return Assessment(author, spf, signed, signatures, chain, dmarc, mailing_list, tuple(asked))


def _is_handed_over(envelope: Envelope) -> bool:
    """Return whether the client is somebody of ours, of whom the sender's SPF record says nothing."""
    return bool(envelope.relay) or not is_public(envelope.client.address)


def _of_dkim(signed: Fact, signatures: tuple[Signature, ...], author: Author) -> Iterator[Identifier]:
    for signature in signatures:
        yield Identifier("dkim", signature.domain, signature.status)
    if signed.status is Status.TEMPERROR and not signatures:  # nobody knows who signed: it may be the author
        yield Identifier("dkim", author.domain, Status.TEMPERROR)


def _of_spf(envelope: Envelope, question: CheckHost | None, checked: Fact) -> Iterator[Identifier]:
    """Yield the SPF domain (RFC 9989 section 4.4.2); where its own client could not be checked, it is unknown."""
    if question is not None:
        yield Identifier("spf", question.domain, checked.status)
    elif _is_handed_over(envelope):
        domain = domain_key(envelope.helo or "") if envelope.sender.is_null else envelope.sender.domain
        yield Identifier("spf", domain, Status.TEMPERROR)


def _signed_list(value: bytes, signatures: tuple[Signature, ...], registrable: Callable[[str], str]) -> str:
    """Return the domain of a List-Id, where its organization has signed. The id stands in the last angle brackets."""
    listed = domain_key(value[:1000].decode("utf-8", "replace").rpartition("<")[2].partition(">")[0])
    signers = {one.domain for one in signatures if one.status in (Status.PASS, Status.TEMPERROR) and one.domain}
    organization = registrable(listed) if signers and listed else ""
    aligned = listed in signers or (organization and organization in map(registrable, signers))
    return listed if aligned else ""
