"""A Record: all that a verdict was made from, so that it can be made again (promise 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earmark.core.evidence import Fact, Question
from earmark.core.judge import ENGINE
from earmark.core.mail import Address, Header, Transaction
from earmark.core.policy import Policy
from earmark.core.report import recipient_report
from earmark.core.text import printable
from earmark.core.verdict import Action, Outcome, Verdict

SCHEMA = 1
"""Rises when an older program could misread a newer record; a field that is added has a default."""

HEADERS_AT_MOST = 4096
"""Bytes of consulted header values that a record keeps; beyond it the record says so in `cut`."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A transaction that has ended, as the engine hands it to the history and the log."""

    id: str
    txn: Transaction
    facts: Mapping[Question, Fact]
    recipients: tuple[tuple[Address, Policy, Outcome], ...]
    verdict: Verdict
    user: str
    queue_id: str
    ended: str
    """By what: "eom", "abort", "mail" (the next one), "disconnect"."""
    generation: str
    elapsed: float
    """Seconds that the MTA waited for us, all stages together."""

    @property
    def action(self) -> Action:
        """The harshest action over the recipients."""
        return max((outcome.action for _, _, outcome in self.recipients), default=Action.ACCEPT)


@dataclass(slots=True)
class Record:
    """One transaction with at least one RCPT, as it was judged. It is kept as JSON (docs/schemas.md)."""

    v: int
    engine: int
    """`core.judge.ENGINE` of the program that judged."""
    id: str
    generation: str
    at: float
    """When MAIL was said, seconds since the epoch."""
    client: str
    helo: str | None
    sender: Address
    user: str
    exempt: str
    relay: str
    queue_id: str
    message_id: str
    """With its angle brackets, printable."""
    ended: str
    """As in Judged."""
    received: list[str]
    """The values of the Received fields, newest first, byte for byte as Latin-1."""
    cut: bool
    """`received` does not hold all of them."""
    truncated: bool
    """The limits on header count or bytes left something out before the message was judged."""
    facts: Sequence[tuple[tuple[str, ...], Fact]]
    """Each question, as its fields in order (`core.evidence.question_from_parts` reads them), with its answer."""
    forward_paths: Sequence[Address]
    """In the order of RCPT."""
    recipients: list[dict[str, Any]]
    """For each forward-path, what `core.report.recipient_report` writes."""
    action: str
    """The harshest over the recipients."""
    edits: Sequence[tuple[str | int, ...]]
    """The fields of the Edits, in the order in which they were made; the last one is the kind."""
    elapsed_ms: float


def make_record(judged: Judged) -> Record:
    """Return what is kept of a transaction. It shares nothing that the session goes on to change."""
    envelope, message = judged.txn.envelope, judged.txn.message
    received, cut, message_id = _consulted(message.headers)
    return Record(
        SCHEMA,
        ENGINE,
        judged.id,
        judged.generation,
        envelope.at,
        envelope.client.address,
        envelope.helo,
        envelope.sender,
        judged.user,
        envelope.exempt,
        envelope.relay,
        judged.queue_id,
        message_id,
        judged.ended,
        received,
        cut,
        message.truncated,
        list(judged.facts.items()),
        [address for address, _, _ in judged.recipients],
        [recipient_report(address.text, outcome, policy) for address, policy, outcome in judged.recipients],
        judged.action.word,
        judged.verdict.edits,
        round(judged.elapsed * 1000, 3),
    )


def _consulted(headers: Sequence[Header]) -> tuple[list[str], bool, str]:
    """Return the Received values up to the limit, whether there are more, and the first Message-ID."""
    values: list[str] = []
    left = HEADERS_AT_MOST
    message_id = ""
    for name, value in headers:
        if len(name) >= len(b"Received") and name.rstrip().lower() == b"received":
            left -= len(value)
            if left >= 0:
                values.append(value.decode("latin-1"))
        elif not message_id and len(name) == len(b"Message-ID") and name.lower() == b"message-id":
            message_id = printable(value[:1000].decode("latin-1").strip(), 250)
    return values, left < 0, message_id
