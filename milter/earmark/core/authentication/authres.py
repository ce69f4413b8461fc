"""The Authentication-Results field (RFC 8601): what is written into ours, and which from outside claim to be ours.

The serialiser is our own, since what it writes are the sender's words: each value is a token or a quoted string, and
nothing in it can begin another result, a comment or a line.
"""

import re
from collections.abc import Iterator, Sequence

from earmark.core.authentication.assessment import Assessment, assess
from earmark.core.authentication.comments import end_of_comment
from earmark.core.authentication.signature import Signature
from earmark.core.evidence import ArcChain, DmarcRecords, Facts, ReverseName, Signatures, Status
from earmark.core.mail import Header, Transaction, domain_key
from earmark.core.text import printable

_PLAIN = re.compile(r"[A-Za-z0-9._+-]{1,255}", re.ASCII)
"""What every reader takes for one word: fewer characters than a token may have (RFC 2045 section 5.1)."""
_VALUE_AT_MOST = 255
_SIGNATURES_AT_MOST = 5
_LINE = 78
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BACKSLASH = re.compile(r"\\(.?)", re.DOTALL)
# Each alternative begins with another character: there is nothing to go back to.
_PIECES = re.compile(r'"(?:[^"\\]|\\.)*"?|\\.?|[^"()\\;]+|[();]', re.DOTALL)

Words = list[str]
"""A result as the words that a line is never broken within."""


def authentication_results(txn: Transaction, facts: Facts, authserv_id: str) -> str:
    """Return the field's value, folded with LF and tab: iprev, spf, dkim, arc and dmarc as far as they were asked.

    A few kilobytes at most. ValueError for an empty `authserv_id`.
    """
    if not authserv_id:
        raise ValueError("a field without authserv-id")
    results = list(_results(txn, facts))
    parts = [[_value(authserv_id)], *(results or [["none"]])]
    return _folded([*([*words[:-1], f"{words[-1]};"] for words in parts[:-1]), parts[-1]])


def _results(txn: Transaction, facts: Facts) -> Iterator[Words]:
    """Yield a result for each method and, for DKIM, each signature."""
    client = txn.envelope.client.address
    reverse = facts.get(ReverseName(client))
    if reverse is not None:  # that there is no name is a permanent error (RFC 8601 section 2.7.3)
        status = Status.PERMERROR if reverse.status is Status.NONE else reverse.status
        yield [f"iprev={status}", _property("policy.iprev", client)]
    found = assess(txn, facts)
    if found.spf is not None and found.spf in facts:
        name = "smtp.helo" if txn.envelope.sender.is_null else "smtp.mailfrom"
        yield [f"spf={facts[found.spf].status}", _property(name, found.spf.domain)]
    if Signatures(txn.message.content) in facts:
        yield from _dkim(found)
    if ArcChain(txn.message.content) in facts:
        yield [f"arc={found.chain.status}", *_comment(found.chain.data[-1:])]
    if found.author.ambiguous or DmarcRecords(found.author.domain) in facts:
        yield list(_dmarc(found))


def _dkim(found: Assessment) -> Iterator[Words]:
    for signature in found.signatures[:_SIGNATURES_AT_MOST]:
        yield list(_signature(signature))
    if not found.signatures:
        yield [f"dkim={found.signed.status}"]


def _signature(signature: Signature) -> Iterator[str]:
    """Yield the words of one signature. What is no name is left out: no such signature holds."""
    yield f"dkim={signature.status}"
    if signature.bits:
        yield f"({signature.bits}-bit key)"
    if signature.why:
        yield f"reason={_quoted(signature.why[:60])}"
    for name, value in (("d", signature.domain), ("s", signature.selector), ("a", signature.algorithm)):
        if _PLAIN.fullmatch(value):
            yield f"header.{name}={value}"


def _dmarc(found: Assessment) -> Iterator[str]:
    yield f"dmarc={found.dmarc.status}"
    if found.author.ambiguous:
        yield f"reason={_quoted(found.author.ambiguous)}"
        return
    if found.dmarc.status is Status.FAIL:
        yield f"policy.dmarc={found.dmarc.disposition}"
    yield _property("header.from", found.author.domain)


def _comment(domains: Sequence[str]) -> Iterator[str]:
    for domain in domains:
        if _PLAIN.fullmatch(domain):
            yield f"(sealed by {domain})"


def _property(name: str, value: str) -> str:
    return f"{name}={_value(value)}"


def _value(text: str) -> str:
    """Return a token or, where that would not be plain to every reader, a quoted string."""
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    text = printable(text, _VALUE_AT_MOST).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _folded(results: Sequence[Words]) -> str:
    """Return each result on a line of its own, over 78 characters on several, where there is a blank to break at.

    The first line is the shorter by the field's name, which stands in front of it.
    """
    lines: list[str] = []
    for words in results:
        line, room = words[0], _LINE - (len("\t") if lines else len("Authentication-Results: "))
        for word in words[1:]:
            if len(line) + 1 + len(word) > room:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}"
        lines.append(line)
    return "\n\t".join(lines)


def is_our_results(header: Header, authserv_id: str) -> bool:
    """Return whether a field claims to hold results of `authserv_id`: from outside it is to be removed (section 5).

    Compared without regard to case, comments, blanks, quotes, control characters, a version and a final dot. An encoded
    word in the place of the id is nobody's own; who decodes it may read ours. Never raises; linear in its length.
    """
    if len(header.name) > 64 or header.name.strip().lower() != b"authentication-results":
        return False
    words = _claimed(_CONTROLS.sub("", header.value.decode("utf-8", "replace")))
    ours = domain_key(authserv_id)
    if not words or not ours:
        return False
    claims = {words[0], words[0].partition("/")[0], "".join(words)}
    if words[-1].isdecimal():
        claims.add("".join(words[:-1]))
    return any("=?" in word for word in words) or any(domain_key(claim) == ours for claim in claims)


def _claimed(text: str) -> list[str]:
    """Return the words before the first result, without comments, quotes and backslashes."""
    kept: list[str] = []
    at = 0
    while found := _PIECES.match(text, at):
        piece, at = found[0], found.end()
        if piece == "(":
            at = end_of_comment(text, at)
            kept.append(" ")
        if piece == ";" or at < 0:
            break
        if piece != "(":
            kept.append(_BACKSLASH.sub(r"\1", piece.strip('"') if piece.startswith('"') else piece))
    return " ".join("".join(kept).split())[: 2 * _VALUE_AT_MOST].split()
