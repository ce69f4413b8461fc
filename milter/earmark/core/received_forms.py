"""One Received field's value, in whatever form its server writes it.

RFC 5321 section 4.4 gives a grammar, and hardly any server keeps to it: the client's address stands in a comment,
bracketed or bare, beside its reverse name or beside its HELO. What they share is the order of the clauses (from, by,
with, ...), and that is what is read: the clauses first (`core.received_clauses`), then the comments of `from`.

What a client chose (its HELO, its ident, its account) is never taken for the address, nor for proof that it
authenticated.
"""

import re
from typing import NamedTuple

from earmark.core.mail import parse_address_text
from earmark.core.received_clauses import CLAUSES, Clause, read_clauses
from earmark.core.text import printable

MAX_BYTES = 8192
"""A longer value is cut here before it is read."""

_TEXT_LIMIT = 255
_LITERAL_LIMIT = 64  # the longest IPv6 text with tag, zone id and port is shorter

_AUTHENTICATED = frozenset(  # RFC 3848, RFC 6531 section 4.3; ASMTP: Exim before 4.30, and its kin
    ("ESMTPA", "ESMTPSA", "LMTPA", "LMTPSA", "UTF8SMTPA", "UTF8SMTPSA", "UTF8LMTPA", "UTF8LMTPSA", "ASMTP", "ASMTPS")
)
_FETCHED = ("POP", "APOP", "KPOP", "RPOP", "IMAP", "ETRN", "ODMR")  # by fetchmail and its kin: no SMTP client at all


class Line(NamedTuple):
    """What one Received field says. Every text is printable."""

    address: str = ""
    """Of the client, canonical; "" where none can be believed."""
    helo: str = ""
    rdns: str = ""
    by: str = ""
    protocol: str = ""
    """What stands after `with`, or else after `via`."""
    authenticated: bool = False
    local: bool = False
    """The server took the message from a program of its own host, not from another host."""


class _Client(NamedTuple):
    """What the comments of `from` say."""

    address: str = ""
    name: str = ""
    helo: str = ""


# The form that Postfix and sendmail write, with Postfix's comments on TLS before `by`. Each part ends where the next
# one begins, so there is nothing to go back to.
_USUAL = re.compile(
    r"""
    [ \t\n]* from [ \t\n]+ ([^\s()\\;]+) [ \t\n]+
    \( ([^\s()\[\]=@;\\]+) [ ] \[(?:IPv6:)?([0-9A-Fa-f.:]{2,45})\] \) [ \t\n]+
    (?: \(using[ ]TLS [^()\\;]* (?: \( [^()\\;]* \) [^()\\;]* )? \) [ \t\n]+ )?
    (?: \((?:No|Client)[ ] [^()\\;]* \) [ \t\n]+ )?
    by [ \t\n]+ ([^\s()\\;]+) [ \t\n]+ (?: \(Postfix\) [ \t\n]+ )?
    with [ \t\n]+ ((?:UTF8)?(?:E?SMTP|LMTP)S?A?) [ \t\n]+
    id [ \t\n]+ [^\s()\\;]+ [ \t\n]*
    (?: for [ \t\n]+ [^\s()\\;]+ [ \t\n]* )? (?: ; | $ )
    """,
    re.ASCII | re.VERBOSE,
)


def read_line(value: bytes) -> Line:
    """Read one value. Never raises; what cannot be read is ""."""
    text = value[:MAX_BYTES].decode("ascii", "replace")
    return _read_usual(text) or read_any(text)


def _read_usual(text: str) -> Line | None:
    """Read a line of the usual form at once, as `read_any` would; None for all others."""
    found = _USUAL.match(text)
    if found is None:
        return None
    helo, rdns, address, by, protocol = found.groups()
    address = parse_address_text(address)
    if not address or "helo" in rdns.lower() or rdns == "EHLO" or by.lower() in CLAUSES:
        return None
    name = rdns.rstrip(".") if _is_name(rdns) else ""
    return Line(address, _shown(helo), _shown(name), _shown(by), protocol, protocol in _AUTHENTICATED)


def read_any(text: str) -> Line:
    """Read a line of any form."""
    clauses = read_clauses(text)
    sender = clauses.get("from")
    receiver = clauses.get("by", Clause())
    protocol = _protocol(clauses)
    by = _shown(receiver.value)
    if sender is None:
        return Line(by=by, protocol=protocol, local=_is_internal(clauses[""], by, protocol))
    client = _client(sender, protocol)
    helo, rdns = _names(sender.value, client, by_exim=_written_by_exim(clauses))
    if protocol.upper().startswith(_FETCHED):
        client = client._replace(address="")
    return Line(
        client.address,
        _shown(helo),
        _shown(rdns),
        by,
        protocol,
        _is_authenticated(sender, protocol),
        not client.address and _is_local(sender, protocol),
    )


def _shown(text: str) -> str:
    return printable(text, _TEXT_LIMIT)


def _protocol(clauses: dict[str, Clause]) -> str:
    clause = clauses.get("with") or clauses.get("via") or Clause()
    return printable(" ".join(clause.words[: clause.lead][:4]), 60)


def _written_by_exim(clauses: dict[str, Clause]) -> bool:
    later = (clauses[key] for key in ("by", "with", "id", "for") if key in clauses)
    return any(comment.startswith("Exim") for clause in later for comment in clause.comments)


def _client(sender: Clause, protocol: str) -> _Client:
    """Return the client that `from` names: by the first comment with an address, else by one beside its value."""
    helo = ""
    for comment in sender.comments:
        seen = _read_comment(comment)
        helo = helo or seen.helo
        if seen.address:
            return _Client(seen.address, seen.name, helo)
    return _Client(_beside(sender, protocol, helo), "", helo)


def _read_comment(comment: str) -> _Client:
    """Read `rdns [ip]`, `[ip] helo=x`, `HELO x`, `ip`, `user@ip`, `user@rdns [ip]`, `account x HELO y` and the like."""
    words = comment.split()
    helo = _helo_in(words) if "helo" in comment.lower() or "EHLO" in comment else ""
    if not words or words[0].upper() in ("HELO", "EHLO"):
        return _Client("", "", helo)
    # Exim puts the address first and the client's own words behind it; everybody else puts the address last.
    if comment.lstrip()[:1] == "[":
        return _Client(_literal(words[0]), "", helo)
    for place in range(len(words) - 1, -1, -1):
        name, address = _ending(words[place])
        if address and (not place or words[place - 1] not in ("HELO", "EHLO")):
            return _Client(address, (name or words[place - 1]).rpartition("@")[2], helo)
    bare = words[0].rpartition("@")[2] if len(words) == 1 else words[0]
    return _Client(_bare(bare), "", helo)


def _helo_in(words: list[str]) -> str:
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word[:5].lower() == "helo=":
            return word[5:]
        if word in ("HELO", "EHLO"):
            return after
    return ""


def _beside(sender: Clause, protocol: str, helo: str) -> str:
    """Return the address of `from [ip]`, `from name [ip]`, `from ip ... with HTTP`, or "".

    A bracketed value beside a comment is the HELO, unless the comment is of those that Exim and CommuniGate put there.
    """
    if not sender.words:
        return ""
    value, *others = sender.words
    for word in others:
        address = _literal(word)
        if address:
            return address
    if protocol.upper().startswith("HTTP"):
        return _literal(value) or _bare(value)
    if helo or not sender.comments or sender.comments[0].startswith(("port=", "ident=", "account ")):
        return _literal(value)
    return ""


def _ending(word: str) -> tuple[str, str]:
    """Return name and address of `[ip]`, `rdns[ip]`, `user@[ip]`; not of `helo=[ip]`."""
    start = word.rfind("[")
    name = word[: max(start, 0)]
    return ("", "") if start < 0 or "=" in name else (name, _literal(word[start:]))


def _literal(word: str) -> str:
    """Return the address of `[ip]`, `[IPv6:ip]`, `[ip]:port`, or ""."""
    if word[0] != "[" or len(word) > _LITERAL_LIMIT:
        return ""
    inner, closed, rest = word[1:].rstrip(",").partition("]")
    if not closed or (rest and not (rest[0] == ":" and rest[1:].isdigit())):
        return ""
    return parse_address_text(inner[5:] if inner[:5].lower() == "ipv6:" else inner)


def _bare(word: str) -> str:
    """Return the address of `ip` or, for IPv4, `ip:port`; or ""."""
    if len(word) > _LITERAL_LIMIT or not (word[:1].isdigit() or ":" in word):
        return ""
    return parse_address_text(word.partition(":")[0] if word.count(":") == 1 else word)


def _names(value: str, client: _Client, *, by_exim: bool) -> tuple[str, str]:
    """Return HELO and reverse name. Where a comment gives the HELO, the value before it is the name (qmail, Exim)."""
    name = value if _is_name(value) else ""
    if client.helo:
        helo, rdns = client.helo, client.name or name
    elif by_exim and client.address:
        helo, rdns = value, client.name or name
    else:
        helo, rdns = value, client.name
    return helo, rdns.rstrip(".") if _is_name(rdns) else ""


def _is_name(text: str) -> bool:
    return bool(text) and text[0] not in "[(<" and text.lower() != "unknown"


def _is_authenticated(sender: Clause, protocol: str) -> bool:
    if protocol.partition(" ")[0].upper() in _AUTHENTICATED:
        return True
    return any(_says_authenticated(comment.split()) for comment in sender.comments)


def _says_authenticated(words: list[str]) -> bool:
    """Read Postfix and sendmail `Authenticated ...`, Courier `AUTH: ...`, CommuniGate `account ...`, SquirrelMail.

    A comment that names the client does not say it: its first word is a reverse name, which the client chose.
    """
    lead = [word.lower() for word in words[:3]]
    if lead[:1] == ["account"]:
        return words[-1] == "verified" or "HELO" in words
    if any(_literal(word) for word in words):
        return False
    return lead[:1] in (["authenticated"], ["auth:"]) or lead == ["squirrelmail", "authenticated", "user"]


def _is_internal(before: Clause, by: str, protocol: str) -> bool:
    """Read lines without `from`: `by host (Postfix, from userid 33)`, `(qmail 7 invoked from network)`."""
    if any(comment.startswith("qmail ") for comment in before.comments):
        return True
    return bool(by) and not protocol.upper().startswith("HTTP")


def _is_local(sender: Clause, protocol: str) -> bool:
    """Read Exim's `with local`, Microsoft's `mail pickup service`, and what others put into comments.

    Courier writes `(uid 1000)`, Cyrus `([unix socket])`, sendmail `(bob@localhost)` without an address.
    """
    if protocol.lower().startswith("local") or sender.words[:2] == ["mail", "pickup"]:
        return True
    return any(
        comment.startswith(("uid ", "[unix socket]")) or comment.endswith("@localhost") for comment in sender.comments
    )
