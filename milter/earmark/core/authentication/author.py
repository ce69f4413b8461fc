"""The author domain: whose name a message bears in its From field (RFC 5322 section 3.6.2, RFC 9989 section 5.3.1).

The field is the sender's to write, and mail readers disagree on what a broken one says. So a domain is told only where
every reader would find the same one; everything else is ambiguous, and passes no check.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from earmark.core.authentication.comments import end_of_comment
from earmark.core.mail import Message, domain_key

_FIELD_AT_MOST = 10_000
"""Bytes of a From field: a hundred authors."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# Each alternative begins with another character, and none can match the empty text: there is nothing to go back to.
_PIECES = re.compile(r'"(?:[^"\\]|\\.)*"|[^"()\\]+|.', re.DOTALL)
_QUOTED, _COMMENT = '"', "("
_MAILBOX = re.compile(r'(?P<local>[^\s"(@]+|")@(?P<domain>[^\s"(@]+)')
_ANGLED = re.compile(r"(?P<phrase>[^<>]*)<\s*(?P<address>[^<>\s]*)\s*>[\s(]*")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)


class Author(NamedTuple):
    """What the From field says of the author's domain."""

    domain: str = ""
    """As `core.mail.domain_key` writes it; "" where there is none, or more than one."""
    ambiguous: str = ""
    """Why it cannot be told which domain is meant; "" where it can, or where there is none."""


class _AmbiguousError(Exception):
    """Two readers of the field may find two authors."""


def author_of(message: Message) -> Author:
    """Return the author's domain. Never raises; linear in the size of the header."""
    values = message.fields.get(b"from", ())
    if len(values) > 1:
        return Author(ambiguous="more than one From field")
    if not values:
        return Author()
    if len(values[0]) > _FIELD_AT_MOST:
        return Author(ambiguous=f"a From field of more than {_FIELD_AT_MOST} bytes")
    return _read(values[0])


@lru_cache(maxsize=512)
def _read(value: bytes) -> Author:
    try:
        domains = set(_domains(value.decode("utf-8", "replace").replace("\r\n", "\n")))
    except _AmbiguousError as error:
        return Author(ambiguous=str(error))
    if len(domains) > 1:
        return Author(ambiguous="authors of more than one domain")
    return Author(domains.pop() if domains else "")


def _domains(text: str) -> Iterator[str]:
    """Yield the domain of each author. Raises _AmbiguousError."""
    if _CONTROLS.search(text):
        raise _AmbiguousError("a control character in From")
    plain = _without_quotes(text)
    if ":" in plain or ";" in plain:
        raise _AmbiguousError("a group or a route in From")
    for author in plain.split(","):
        yield from _of_angled(author) if "<" in author or ">" in author else _of_bare(author)


def _without_quotes(text: str) -> str:
    """Return the text with a mark for each comment and each quoted string: two for a string with an address in it."""
    out: list[str] = []
    at = 0
    while found := _PIECES.match(text, at):
        piece, at = found[0], found.end()
        if piece == "(":
            at = end_of_comment(text, at)
            piece = _COMMENT
        if at < 0:
            raise _AmbiguousError("a comment in From that does not end")
        if piece in ('"', ")", "\\"):
            raise _AmbiguousError("a quote, a comment or a backslash in From that is out of place")
        if piece.startswith('"'):
            piece = _QUOTED * 2 if "@" in piece or "<" in piece else _QUOTED
        out.append(piece)
    return "".join(out)


def _of_angled(author: str) -> Iterator[str]:
    """Yield what stands in the angle brackets, and in front of them where that looks like another address."""
    found = _ANGLED.fullmatch(author)
    if found is None:
        raise _AmbiguousError("angle brackets in From that are out of place")
    for word in found["phrase"].split():
        if "@" in word and word != "@":
            yield from _of_mailbox(word)
    if "@" in found["address"]:
        yield from _of_mailbox(found["address"])


def _of_bare(author: str) -> Iterator[str]:
    """Yield the domain of an address without angle brackets; words alone have none."""
    if "=?" in author:  # some readers decode it, and find an address (RFC 2047 section 5 forbids it here)
        raise _AmbiguousError("an encoded word in From where an address should be")
    if "@" in author:
        words = [word for word in author.split() if word.strip(_COMMENT)]
        if len(words) > 1:
            raise _AmbiguousError("an address in From with words about it")
        yield from _of_mailbox(words[0])


def _of_mailbox(word: str) -> Iterator[str]:
    found = _MAILBOX.fullmatch(word)
    if found is None or "=?" in found["local"]:
        raise _AmbiguousError("an address in From that can be read in more than one way")
    if not found["domain"].startswith("["):  # an address literal is no domain
        yield _domain(found["domain"])


def _domain(text: str) -> str:
    domain = domain_key(text)
    if len(domain) > 253 or not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        raise _AmbiguousError("a domain in From that is no domain name")
    if not text.isascii() and _unicode(domain) != text.rstrip(".").lower():
        raise _AmbiguousError("a domain in From that can be read as two different names")
    return domain


def _unicode(domain: str) -> str:
    """Return the U-labels of a domain (RFC 5890), "" where it has none."""
    try:
        return domain.encode().decode("idna")
    except UnicodeError:
        return ""
