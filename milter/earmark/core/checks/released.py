"""A message that the administrator lets go from our quarantine (docs/quarantine.md).

`earmark quarantine release` hands it to our own MTA, and so it comes by here again. A field on top of it names what is
released and proves it, once: else it would be held for the same reasons as before.
"""

import re
from collections.abc import Iterator

from earmark.core.checks.check import MessageCheck
from earmark.core.checks.content import ContentKnobs
from earmark.core.evidence import NO_POINTS, Facts, Finding, Origin, Release, Stage, Status
from earmark.core.mail import Transaction

FIELD = "X-Earmark-Release"
"""The field's name. It never leaves us: it is removed from every message."""

_VALUE = re.compile(rb"[ \t]*([0-9A-Z]{12}) ([0-9a-f]{32})[ \t]*")


def release_field(message_id: str, token: str) -> bytes:
    """Return the field, its line end included; the token is 128 random bits in hexadecimal."""
    return f"{FIELD}: {message_id} {token}\r\n".encode("ascii")


def wants(txn: Transaction, _facts: Facts, _knobs: ContentKnobs) -> Iterator[Release]:
    """Ask whether it is a release, where the message of a session of our own says so, in one field."""
    values = txn.message.fields.get(FIELD.lower().encode(), [])
    found = _VALUE.fullmatch(values[0]) if len(values) == 1 and txn.envelope.exempt else None
    if found:
        yield Release(found[1].decode("ascii"), found[2].decode("ascii"))


def examine(txn: Transaction, facts: Facts, knobs: ContentKnobs) -> Iterator[Finding]:
    """Find that the administrator has decided."""
    for question in wants(txn, facts, knobs):
        fact = facts.get(question)
        if fact and fact.status is Status.PASS:
            why = f"the administrator releases what verdict {question.id} held"
            yield Finding("RELEASED", Origin.CONTENT, NO_POINTS, why, "content.quarantine", question, opt_in="released")


RELEASED = MessageCheck("content", Stage.EOM, Origin.CONTENT, ContentKnobs, wants, examine, of_exempt=True)
