"""The result of one DKIM signature, and its form as a line of `Fact.data` (RFC 6376, RFC 8601 section 2.7.1)."""

import re
from typing import NamedTuple

from earmark.core.evidence import Status
from earmark.core.text import printable

_EMPTY = "-"
_TOKEN_AT_MOST = 330
"""Characters: a mailbox (64, "@" and 255) and some more."""
_LINE = re.compile(r"(\w+) (\S+) (\S+) (\S+) (\S+) (\d{1,9}) ([ -~]*)", re.ASCII)


class Signature(NamedTuple):
    """What one DKIM-Signature field came to."""

    status: Status
    """PASS: it holds. FAIL: it does not. POLICY: it may hold, and is too weak or too old. NEUTRAL: it cannot be read.
    PERMERROR: it can never be verified, for want of a key for one. TEMPERROR: nobody knows yet."""
    domain: str = ""
    """The signing domain (d=), as `core.mail.domain_key` writes it."""
    identity: str = ""
    """The agent or user on whose behalf it was signed (i=, else "@" and the domain)."""
    selector: str = ""
    algorithm: str = ""
    """Such as "rsa-sha256"."""
    bits: int = 0
    """Length of the public key; 0 where it is not known."""
    why: str = ""
    """For a status that needs one, and what is odd about a signature that holds."""


def signature_text(signature: Signature) -> str:
    """Return the line "pass example.org @example.org sel rsa-sha256 2048 why", with "-" for what is empty.

    The fields are the sender's words: what is no visible ASCII becomes "?", which no domain name has, and what is far
    too long ends in "?". `read_signature` reads the line as the same fields that it shows.
    """
    fields = (signature.domain, signature.identity, signature.selector, signature.algorithm)
    tokens = (signature.status.value, *map(safe_token, fields), str(signature.bits), printable(signature.why))
    return " ".join(tokens)


def safe_token(text: str) -> str:
    """Return hostile text as one word of visible ASCII, at most 330 characters long; "-" for the empty text."""
    word = printable(text[:_TOKEN_AT_MOST], _TOKEN_AT_MOST).replace(" ", "?")
    if len(text) > _TOKEN_AT_MOST:
        word = word[:-1] + "?"
    return "?" if word == _EMPTY else word or _EMPTY


def read_signature(text: str) -> Signature:
    """Read what `signature_text` wrote. Never raises: any other text is a signature that cannot be read."""
    line = _LINE.fullmatch(text)
    if line is None or line[1] not in set(Status):
        return Signature(Status.NEUTRAL, why=printable(f"not a signature's result: {text}"))
    status, *words, bits, why = line.groups()
    domain, identity, selector, algorithm = ("" if word == _EMPTY else word for word in words)
    return Signature(Status(status), domain, identity, selector, algorithm, int(bits), why)
