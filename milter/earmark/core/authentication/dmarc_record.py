"""DMARC policy records: what one says, where they are looked for, and what several mean together (RFC 9989)."""

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from earmark.core.evidence import Fact

_VERSION = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s,!]+", re.ASCII | re.IGNORECASE)
_MOST_LABELS = 8
"""Of a name above which each name is looked at; a longer one is shortened to one less (section 4.10, step 4)."""


class Disposition(StrEnum):
    """What an owner asks for mail that fails (Domain Owner Assessment Policy, section 4.7), the mildest first."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def milder(self) -> "Disposition":
        """The next milder one."""
        return Disposition.QUARANTINE if self is Disposition.REJECT else Disposition.NONE


class Record(NamedTuple):
    """One policy record."""

    policy: Disposition = Disposition.NONE
    """p: for the domain itself."""
    subdomains: Disposition = Disposition.NONE
    """sp: for the names below it."""
    nonexistent: Disposition = Disposition.NONE
    """np: for the names below it that do not exist."""
    strict_dkim: bool = False
    """adkim=s"""
    strict_spf: bool = False
    """aspf=s"""
    psd: str = "u"
    """"y": a public suffix domain; "n": the organizational domain; "u": see `organizational_domain`."""
    applies: bool = True
    """False where the policy cannot be read and no report is asked for: then there is no DMARC (section 4.10.1)."""


@lru_cache(maxsize=4096)
def read_record(text: str) -> Record | None:
    """Return what a TXT record says; None for one that is no DMARC policy record. Never raises.

    `v=DMARC1` comes first and is case-sensitive, the rest is not. An unknown tag is ignored, a known one that cannot be
    read has its default; of two of one name the first counts. `t=y` makes each policy one milder.
    """
    if not _VERSION.match(text):
        return None
    tags: dict[str, str] = {}
    for tag in text.split(";")[1:]:
        name, equals, value = tag.partition("=")
        if equals:
            tags.setdefault(name.strip(" \t").lower(), value.strip(" \t"))
    policies = _policies({name: value.lower() for name, value in tags.items()})
    psd = tags.get("psd", "u").lower()
    return Record(
        *(policies or (Disposition.NONE,) * 3),
        strict_dkim=tags.get("adkim", "").lower() == "s",
        strict_spf=tags.get("aspf", "").lower() == "s",
        psd=psd if psd in ("y", "n") else "u",
        applies=policies is not None or any(_URI.fullmatch(uri.strip()) for uri in tags.get("rua", "").split(",")),
    )


def _policies(tags: dict[str, str]) -> tuple[Disposition, Disposition, Disposition] | None:
    """Return p, sp and np, each with what it falls back to; None where one is there and cannot be read."""
    try:
        policy = Disposition(tags.get("p", "none"))
        subdomains = Disposition(tags.get("sp", policy))
        nonexistent = Disposition(tags.get("np", subdomains))
    except ValueError:
        return None
    if tags.get("t") == "y":
        return policy.milder, subdomains.milder, nonexistent.milder
    return policy, subdomains, nonexistent


def walked_names(domain: str) -> list[str]:
    """Return the names at which a DNS Tree Walk from this domain looks, in order: at most 8 (section 4.10)."""
    labels = domain.split(".")
    parents = min(len(labels), _MOST_LABELS) - 1
    return [domain, *(".".join(labels[-count:]) for count in range(parents, 0, -1))]


def ends_walk(record: Record) -> bool:
    """Return whether a walk that has found this record goes no further."""
    return record.psd != "u"


Published = tuple[str, Record]
"""A name, and the one valid record that stands at it."""


def published(fact: Fact) -> list[Published]:
    """Return the records of a DmarcRecords fact, in the order of the walk."""
    read = ((name, read_record(text)) for name, _, text in (line.partition(" ") for line in fact.data))
    return [(name, record) for name, record in read if record is not None]


def organizational_domain(domain: str, records: Sequence[Published]) -> str:
    """Return the organizational domain by the records of the walk from `domain` (section 4.10.2)."""
    for name, record in records:
        if record.psd == "n":
            return name
        if record.psd == "y":  # where that is the domain itself, so is what is cut out here
            below = name.count(".") + 2
            return ".".join(domain.split(".")[-below:])
    return records[-1][0] if records else domain


def policy_record(domain: str, records: Sequence[Published]) -> Published | None:
    """Return the record that applies to mail of `domain` (section 4.10.1); None where there is no DMARC for it.

    Its own, else that of its organizational domain, else that of its public suffix domain.
    """
    at = dict(records)
    for name in (domain, organizational_domain(domain, records)):
        if name in at:
            return name, at[name]
    return records[-1] if records and records[-1][1].psd == "y" else None
