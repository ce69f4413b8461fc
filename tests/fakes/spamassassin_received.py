"""How SpamAssassin 4.0 reads a Received field of a form like ours: its patterns, in its order, the first that fits.

From Mail::SpamAssassin::Message::Metadata::Received, parse_received_line, as far as a line that ends in "by NAME
(Postfix) with ..." can get. What could match before the pattern that is meant is here too, for a forger to aim at.
"""

import re
from typing import NamedTuple

_IPV4 = r"\b(?<!:)(?:(?:1\d\d|2[0-4]\d|25[0-5]|[1-9]\d|\d)\.){3}(?:1\d\d|2[0-4]\d|25[0-5]|[1-9]\d|\d)\b"
_IP = rf"(?:{_IPV4}|(?:IPv6:|(?<![a-f0-9:]))[a-f0-9]{{0,4}}(?::[a-f0-9]{{0,4}}){{2,7}}(?![a-f0-9:]))"

IGNORED = (
    r"(?!\(?from )",
    r".*\bwith local for\b",
    r"from (?!\[[\d.]+\] )\S+ by [^\s;]+ ?;",
)
"""Lines of which SpamAssassin takes nothing; ours must be none of them."""

AUTHENTICATED = (
    r"(?i:.* by .* with ((?:ES|L|UTF8S|UTF8L)MTPS?A|ASMTP|HTTP[SU]?)(?: |;|$))",
    r"from .*?(?:\]\)|\)\]) \(AUTH: (?:LOGIN|PLAIN|DIGEST-MD5|CRAM-MD5) \S+(?:, .*?)?\) by ",
    r"from .*?(?:\](?: \([^)]*\))?\)|\)\]) .*?\(.*?authenticated.*?\).*? by",
    r".*\) \(Authenticated sender: \S+\) by \S+ \([^\)]+\) with ",
    r".*CommuniGate Pro (?:HTTP|SMTP|XIMSS|IMAP).* \(account ",
    r".* with Microsoft Exchange Server HTTP-DAV\b",
    r".* by .* \(via HTTP.?\)(?: |;|$)",
)

# Each: what the whole line must hold, and the forms tried if it does; a kind without a fitting form is left at that.
KINDS = (
    (r" SMTPSVC", (rf"(?P<helo>\S*) \(\[(?P<ip>{_IP})\][^\)]{{0,40}}\) by (?P<by>\S+) with Microsoft SMTPSVC",)),
    (
        r" with (?:Microsoft SMTP Server|mapi id) (?:\([^\)]+\) )?\d+\.\d+\.\d+\.\d+(?:$| )",
        (rf"(?P<helo>\S+) \(\[?(?P<ip>{_IP})(?:%[A-Z0-9._~-]*)?\]?\) by (?P<by>\S+) ",),
    ),
    (r"\[XMail ", (rf"(?P<helo>\S+) \((?P<ip>\[?{_IP}\]?)(?::\d+)\) by (?P<by>\S+)(?: \(\S+\))? with \[XMail",)),
    (
        r"\(ecelerity\b",
        (
            rf"\(\[(?P<ip>{_IP}):\d+\] helo=(?P<helo>\S+)\) by (?P<by>\S+) ",
            rf"\S+ \(\[(?P<ip>{_IP}):\d+\]\) by (?P<by>\S+) ",
        ),
    ),
    (
        r"Exim",
        (
            rf"\[(?P<ip>{_IP})\] \((.*?)\) by (?P<by>\S+) ",
            rf"(?P<rdns>\S+) \(\[(?P<ip>{_IP})\](.*?)\) by (?P<by>\S+) ",
            rf"(?P<rdns>\S+) \[(?P<ip>{_IP})\](?::\d+)? by (?P<by>\S+) ",
        ),
    ),
    (
        r" \(Postfix\) with",
        (
            rf"(?P<helo>\S+) \((?P<rdns>\S+) \[(?P<ip>{_IP})\]\) by (?P<by>\S+) ",
            rf"(?P<helo>\S+) \((?P<rdns>\S+)\[(?P<ip>{_IP})\]\) by (?P<by>\S+) ",
        ),
    ),
)
ANY_KIND = (
    rf"(?P<ip>{_IP}) \(\[{_IP}\]\) by (?P<by>\S+)(?=.*\bwith HTTP\b)",
    rf"(?P<helo>\S+) \((?P<rdns>\S+) \[(?P<ip>{_IP})\].*\) by (?P<by>\S+) \(",
)


class Relay(NamedTuple):
    """What SpamAssassin knows of a hop."""

    address: str
    helo: str
    rdns: str
    by: str
    authenticated: bool
    sender: str | None
    """The envelope sender, where it believes the line to name one."""


def read(field: bytes) -> Relay | None:
    """Return what it takes from a Received field, its name included; None where that is nothing."""
    name, _, value = field.decode("latin-1").partition(":")
    line = re.sub(r"\s+", " ", value.replace("\r\n", "\n")).strip()
    assert name == "Received"
    if any(re.match(pattern, line, re.IGNORECASE) for pattern in IGNORED):
        return None
    line = re.sub(r"[\s;]+(?:\w{3}, )?\d+ \w{3} \d+ \d+:\d+(?::\d+)? \S+$", "", line).replace(")by ", ") by ")
    authenticated = any(re.match(pattern, line) for pattern in AUTHENTICATED)
    line = line.removeprefix("from ")
    sender = re.search(r"(?:return-path:? |envelope-(?:sender|from)[ =])(\S+)\b", line, re.IGNORECASE)
    found = next(filter(None, (re.match(form, line) for form in _forms(line))), None)
    if found is None:
        return None
    parts = found.groupdict("")
    rdns = re.sub(r"^[^@]*@", "", parts.get("rdns", "").rstrip("."))
    return Relay(
        re.sub(r"^ipv6:", "", parts["ip"].strip("[]"), flags=re.IGNORECASE),
        parts.get("helo", ""),
        "" if rdns.lower() == "unknown" else rdns,
        parts["by"],
        authenticated,
        sender[1] if sender else None,
    )


def _forms(line: str) -> tuple[str, ...]:
    of_its_kind = next((forms for word, forms in KINDS if re.search(word, line)), ())
    return (*of_its_kind, *ANY_KIND)
