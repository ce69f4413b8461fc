"""Allow and deny lists: what an entry says, which entries are for a transaction, and which of them decides.

An entry has a subject (who it is about) and a scope (for which recipients it holds). The narrowest scope decides: one
recipient before one domain before everybody; within one scope what allows comes before what denies, since a wrongful
refusal is the worse mistake (docs/access.md).
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from earmark.core.text import printable

EVERYBODY = ""
"""The scope of an entry that holds for all recipients."""

NOTE_AT_MOST = 200
AUTHOR_AT_MOST = 64
ADDRESS_AT_MOST = 320
"""Characters: a local part of 64, "@" and a domain of 255 (RFC 5321 section 4.5.3.1)."""
_NEVER = "never"
_AUTHENTICATED, _UNAUTHENTICATED = "authenticated", "unauthenticated"


class Verb(StrEnum):
    """What an entry does."""

    ALLOW = "allow"
    DENY = "deny"


class Kind(StrEnum):
    """What the subject of an entry is, the most definite first."""

    CLIENT = "client"
    """The network of the connecting address, such as "192.0.2.0/24"."""
    REVERSE = "reverse"
    """The client's confirmed reverse name: "mail.example.org", or "*.example.org" for all names below."""
    HELO = "helo"
    """What it says at HELO or EHLO; written likewise."""
    SENDER = "sender"
    """The address in MAIL FROM, in lower case: no site tells mailboxes apart by case alone."""
    DOMAIN = "sender-domain"
    """Its domain; written as a reverse name is."""


_RANK = {kind: rank for rank, kind in enumerate(Kind)}


class Entry(NamedTuple):
    """One entry of the lists."""

    verb: Verb
    kind: Kind
    subject: str
    """In the one form in which it is compared: a network in canonical text, names as `domain_key` writes them."""
    scope: str = EVERYBODY
    """A recipient's address or domain, or EVERYBODY."""
    expires: int = 0
    """The first second, since the epoch, in which it no longer holds; 0 for never."""
    unauthenticated: bool = False
    """It counts, though nothing proves that the subject is who it says it is."""
    author: str = ""
    created: str = ""
    """Such as "2027-06-01T10:00:00Z"."""
    note: str = ""

    @property
    def is_of_sender(self) -> bool:
        """Whether it is about MAIL FROM."""
        return self.kind in (Kind.SENDER, Kind.DOMAIN)

    def holds_at(self, at: float) -> bool:
        """Return whether it has not expired at this time, in seconds since the epoch."""
        return not self.expires or at < self.expires


def entry_text(entry: Entry) -> str:
    """Return the entry on one line; what could break the line or a word of it becomes "?"."""
    words = (
        entry.verb.value,
        entry.kind.value,
        _word(entry.subject),
        _word(entry.scope) if entry.scope else "*",
        str(entry.expires) if entry.expires else _NEVER,
        _UNAUTHENTICATED if entry.unauthenticated else _AUTHENTICATED,
        _word(entry.author),
        _word(entry.created),
        _one_line(entry.note)[:NOTE_AT_MOST],
    )
    return " ".join(words)


def _word(text: str) -> str:
    return _one_line(text[:ADDRESS_AT_MOST]).replace(" ", "?") or "-"


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


@lru_cache(maxsize=4096)
def read_entry(line: str) -> Entry | None:
    """Read what `entry_text` wrote. None for anything else; never raises."""
    words = line.split(" ", 8)
    if len(words) != 9:
        return None
    verb, kind, subject, scope, expires, proof, author, created, note = words
    known = verb in _VERBS and kind in _RANK and proof in (_AUTHENTICATED, _UNAUTHENTICATED)
    if not known or not (expires == _NEVER or (expires.isascii() and expires.isdigit() and len(expires) < 16)):
        return None
    return Entry(
        Verb(verb),
        Kind(kind),
        subject,
        EVERYBODY if scope == "*" else scope,
        0 if expires == _NEVER else int(expires),
        proof == _UNAUTHENTICATED,
        "" if author == "-" else author,
        "" if created == "-" else created,
        note,
    )


_VERBS = frozenset(Verb)


def entries_in(lines: Sequence[str]) -> list[Entry]:
    """Return the entries that these lines hold; a line that is none is passed over."""
    return [entry for entry in map(read_entry, lines) if entry is not None]


_WORDS = {Kind.REVERSE: "reverse name", Kind.HELO: "HELO", Kind.DOMAIN: "sender domain"}


def description(entry: Entry) -> str:
    """Return what the entry says, printable: neither who made it nor their note, since refusals quote it."""
    word = _WORDS.get(entry.kind, entry.kind.value)
    done = "allowed" if entry.verb is Verb.ALLOW else "denied"
    return printable(f"{word} {entry.subject} is {done} for {entry.scope or 'everybody'}")


def precedence(entry: Entry) -> tuple[int, bool, int, int, str, str]:
    """Return what to sort entries by, the deciding one first.

    Scope, then verb; what comes after decides nothing and only says which entry is named first: the more definite kind,
    the narrower network or longer name, and then the text.
    """
    scope = 0 if "@" in entry.scope else 1 if entry.scope else 2
    return scope, entry.verb is Verb.DENY, _RANK[entry.kind], -_width(entry), entry.subject, entry.scope


def _width(entry: Entry) -> int:
    """Return a number that is larger for a subject that takes in less."""
    if entry.kind is Kind.CLIENT:
        length = entry.subject.rpartition("/")[2]
        return int(length) if length.isascii() and length.isdigit() else 128
    pattern = entry.subject.startswith("*.")
    return 2 * len(entry.subject) - pattern


class Decision(NamedTuple):
    """Which entry decides, and whether it may yet be another one."""

    entry: Entry | None
    """The first that counts; None where none does."""
    waiting: tuple[Entry, ...] = ()
    """Those before it of which it is not known whether they count, and which would decide otherwise."""

    @property
    def may_allow(self) -> bool:
        """Whether what is not known could yet allow."""
        return any(entry.verb is Verb.ALLOW for entry in self.waiting)


def decide_among(entries: Iterable[Entry], counts: Callable[[Entry], bool | None]) -> Decision:
    """Return the decision among entries in any order. `counts` says whether one counts; None: it is not known."""
    waiting: list[Entry] = []
    for entry in sorted(entries, key=precedence):
        known = counts(entry)
        if known:
            return Decision(entry, tuple(one for one in waiting if one.verb is not entry.verb))
        if known is None:
            waiting.append(entry)
    return Decision(None, tuple(waiting))
