"""What our own MTA writes on top of a message and never shows a milter, in the form that SpamAssassin reads.

Without it SpamAssassin takes the topmost line that the sender brought along for the host that came to us, and holds the
address of somebody's home against him (docs/spamassassin.md). It reads Received fields by patterns for some fifty MTAs,
many of which match anywhere in the line; so nothing that a client chose may look like a part of another's form.
"""

import re
from datetime import UTC, datetime

from earmark.core.mail import Address, Envelope, parse_address_text

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]")
_NO_ACCOUNT = re.compile(r"[^A-Za-z0-9._@+-]")
_NO_MAILBOX = re.compile(r"[^A-Za-z0-9._@+/=~!#$%&'*^`{|}-]")
_MISREAD = re.compile(r"Exim|(?:envelope-(?:sender|from)|return-path)$", re.IGNORECASE)
"""Words by which SpamAssassin takes a line for Exim's, or what follows for the envelope sender."""
_AT_MOST = 255
"""Characters of a name or an account."""


def own_received(envelope: Envelope, reverse: str, queue_id: str) -> bytes:
    """Return the fields X-Envelope-From and Received of our MTA, line ends included, as Postfix forms the latter.

    `reverse` is the client's confirmed reverse name, "" where it has none or it is not known. The address in Received
    is the client's, whatever the other parts hold; that of this host where there is none, as for a local program.
    X-Envelope-From holds the reverse-path, which SpamAssassin looks for in a field: in the topmost of that name, where
    its configuration is that of deploy/spamassassin.
    """
    helo, name, address = _greeting(envelope.helo or ""), _name(reverse), envelope.client.address
    if not address:
        helo, name, address = "localhost", "localhost", "127.0.0.1"
    protocol, authenticated = "ESMTP", ""
    if envelope.user:
        protocol, authenticated = "ESMTPA", f"\r\n\t(Authenticated sender: {_word(envelope.user, _NO_ACCOUNT)})"
    id_clause = f" id {_name(queue_id)}" if queue_id else ""
    date = datetime.fromtimestamp(envelope.at, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
    return (
        f"X-Envelope-From: <{_mailbox(envelope.sender)}>\r\n"
        f"Received: from {helo} ({name} {_literal(address)}){authenticated}\r\n"
        f"\tby {_name(envelope.authserv_id or 'localhost')} (Postfix) with {protocol}{id_clause};\r\n"
        f"\t{date}\r\n"
    ).encode("ascii")


def _greeting(helo: str) -> str:
    if helo.startswith("[") and helo.endswith("]"):  # RFC 5321 section 4.1.3
        address = parse_address_text(helo[1:-1].removeprefix("IPv6:"))
        if address:
            return _literal(address)
    return _name(helo)


def _name(text: str) -> str:
    return _word(text, _NO_NAME) or "unknown"


def _word(text: str, unsafe: re.Pattern[str]) -> str:
    return _MISREAD.sub(lambda word: word[0].lower().replace("-", "_"), unsafe.sub("?", text[:_AT_MOST]))


def _literal(address: str) -> str:
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _mailbox(sender: Address) -> str:
    """Return an address that SpamAssassin can read; a quoted local part loses what it was quoted for."""
    text = f"{sender.local}@{sender.domain}" if sender.domain else sender.local
    return _NO_MAILBOX.sub("?", text[: 2 * _AT_MOST])
