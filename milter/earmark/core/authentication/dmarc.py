"""DMARC (RFC 9989): does what SPF and DKIM authenticate belong to the author's domain, and what does its owner ask?"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from earmark.core.authentication.dmarc_record import (
    Disposition,
    Published,
    organizational_domain,
    policy_record,
    published,
)
from earmark.core.evidence import DmarcRecords, Fact, MailHosts, Question, Status

_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.ASCII)


class Identifier(NamedTuple):
    """A domain that a mechanism authenticates, or might."""

    mechanism: str
    """"dkim" or "spf"."""
    domain: str
    status: Status
    """PASS: it is authenticated. TEMPERROR: nobody knows yet. Anything else: it is not."""


class Result(NamedTuple):
    """What DMARC says of a message."""

    status: Status
    """PASS, FAIL, NONE: it does not apply, TEMPERROR, PERMERROR: there is no telling whose message it is."""
    why: str = ""
    disposition: Disposition = Disposition.NONE
    """What the owner asks for such mail; where it is not known whether the name exists, the milder of both answers."""
    records: tuple[Published, ...] = ()
    """What was found at the author's domain and above it."""


Ask = Callable[[Question], Fact]
"""Looks a fact up; what is not there is unknown."""


def evaluate(author: str, identifiers: Sequence[Identifier], ask: Ask) -> Result:
    """Return what DMARC says of mail in the name of `author` (RFC 9989 section 5.3).

    It fails only where everything is known on which that depends.
    """
    fact = ask(DmarcRecords(author))
    if fact.status is Status.TEMPERROR:
        return Result(Status.TEMPERROR, f"the DMARC record of {author} is not known")
    records = tuple(published(fact))
    found = policy_record(author, records)
    if found is None:
        return Result(Status.NONE, f"{author} has no DMARC record")
    name, record = found
    if not record.applies:
        return Result(Status.NONE, f"the DMARC record at {name} cannot be read", records=records)
    organization = organizational_domain(author, records)
    unknown = False
    for identifier in sorted(identifiers, key=lambda one: one.domain not in (author, organization)):
        strict = record.strict_dkim if identifier.mechanism == "dkim" else record.strict_spf
        status = _alignment(identifier, author, "" if strict else organization, ask)
        if status is Status.PASS:
            why = f"{identifier.mechanism} of {identifier.domain} is aligned with {author}"
            return Result(Status.PASS, why, records=records)
        unknown = unknown or status is Status.TEMPERROR
    if unknown:
        return Result(Status.TEMPERROR, f"it is not known whether {author} is authenticated", records=records)
    disposition = _disposition(author, found, ask)
    return Result(Status.FAIL, f"neither SPF nor DKIM authenticates {author}", disposition, records)


def _alignment(identifier: Identifier, author: str, organization: str, ask: Ask) -> Status:
    """Return PASS, FAIL or TEMPERROR: is it authenticated, and aligned with the author (section 4.10.2)?

    `organization` is "" for strict alignment. Only a name at or below the author's organizational domain can have the
    same one; that one is its own unless a record in between says otherwise, for which it is asked.
    """
    domain = identifier.domain
    same = domain in (author, organization)
    below = organization and domain.endswith(f".{organization}") and _NAME.fullmatch(domain)
    if identifier.status not in (Status.PASS, Status.TEMPERROR) or not (same or below):
        return Status.FAIL
    if same or identifier.status is Status.TEMPERROR:
        return identifier.status
    fact = ask(DmarcRecords(domain))
    if fact.status is Status.TEMPERROR:
        return Status.TEMPERROR
    return Status.PASS if organizational_domain(domain, published(fact)) == organization else Status.FAIL


def _disposition(author: str, found: Published, ask: Ask) -> Disposition:
    """Return what the record asks for: `p` at the author's own domain, above it `sp`, or `np` if there is no such name.

    A name does not exist where DNS says NXDOMAIN (section 3.2, RFC 8020); that is asked only where it matters.
    """
    name, record = found
    if name == author:
        return record.policy
    existing, nonexistent = record.subdomains, record.nonexistent
    if existing is nonexistent:
        return existing
    fact = ask(MailHosts(author))
    if fact.status is Status.TEMPERROR:
        return min(existing, nonexistent, key=list(Disposition).index)
    return nonexistent if fact.why == "NXDOMAIN" else existing
