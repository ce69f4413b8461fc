"""The value of a Received-SPF field (RFC 7208 section 9.1) for the MAIL FROM identity."""

import re

from earmark.core.evidence import CheckHost, Fact, Status
from earmark.core.text import printable

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_TO_QUOTE = re.compile(r'(["\\])')
_VALUE_AT_MOST = 320
_LINE = 76
_NAME = len("Received-SPF: ")


def received_spf(fact: Fact, question: CheckHost, receiver: str) -> str:
    """Return the value, folded with LF and tab. `receiver` is our own name.

    Nothing in it can end the field or one of its values: each is a dot-atom or a quoted string of printable ASCII.
    """
    pairs = [
        ("receiver", receiver or "unknown"),
        ("identity", "mailfrom"),
        ("client-ip", question.address),
        ("envelope-from", question.sender),
        ("helo", question.helo or "unknown"),
    ]
    if fact.status in {Status.TEMPERROR, Status.PERMERROR}:
        pairs.append(("problem", fact.why))
    elif fact.status is not Status.NONE:
        pairs.append(("mechanism", fact.why.partition(" of ")[0]))
    lines, line, used = [], fact.status.capitalize(), _NAME
    for position, (key, value) in enumerate(pairs):
        piece = f"{key}={_value(value)}{';' if position < len(pairs) - 1 else ''}"
        if used + len(line) + 1 + len(piece) > _LINE:
            lines.append(line)
            line, used = f"\t{piece}", 0
        else:
            line = f"{line} {piece}"
    return "\n".join([*lines, line])


def _value(text: str) -> str:
    text = printable(text, _VALUE_AT_MOST)
    if _DOT_ATOM.fullmatch(text):
        return text
    quoted = _TO_QUOTE.sub(r"\\\1", text)
    return f'"{quoted}"'
