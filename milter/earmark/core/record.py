"""A Record: all that a verdict was made from, so that it can be made again (promise 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from earmark.core.evidence import Fact, Question
from earmark.core.judge import ENGINE
from earmark.core.mail import Address, Transaction
from earmark.core.policy import Policy
from earmark.core.report import edits_report, facts_report, recipient_report
from earmark.core.text import printable
from earmark.core.verdict import Action, Outcome, Verdict

SCHEMA = 1
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
    """One transaction with at least one RCPT, as it was judged. Plain values only: it is kept as JSON."""

    v: int
    engine: int
    id: str
    generation: str
    at: float
    client: str
    helo: str | None
    sender: str
    user: str
    exempt: str
    relay: str
    queue_id: str
    message_id: str
    ended: str
    received: list[str]
    """The values of the Received fields, newest first, byte for byte as Latin-1."""
    cut: bool
    """`received` does not hold all that was consulted."""
    facts: dict[str, Any]
    """By `question_text`: the Fact."""
    recipients: list[dict[str, Any]]
    """Each as `core.report.recipient_report` writes it."""
    action: str
    """The harshest over the recipients."""
    edits: list[list[str]]
    elapsed_ms: float


def make_record(judged: Judged) -> Record:
    """Return what is kept of a transaction."""
    envelope = judged.txn.envelope
    received, cut = _received(judged.txn)
    return Record(
        v=SCHEMA,
        engine=ENGINE,
        id=judged.id,
        generation=judged.generation,
        at=envelope.at,
        client=envelope.client.address,
        helo=envelope.helo,
        sender=envelope.sender.text,
        user=judged.user,
        exempt=envelope.exempt,
        relay=envelope.relay,
        queue_id=judged.queue_id,
        message_id=_message_id(judged.txn),
        ended=judged.ended,
        received=received,
        cut=cut or judged.txn.message.truncated,
        facts=facts_report(judged.facts),
        recipients=[recipient_report(address.text, outcome, policy) for address, policy, outcome in judged.recipients],
        action=judged.action.word,
        edits=edits_report(judged.verdict.edits),
        elapsed_ms=round(judged.elapsed * 1000, 3),
    )


def _received(txn: Transaction) -> tuple[list[str], bool]:
    values: list[str] = []
    size = 0
    for header in txn.message.headers:
        if header.name.lower() == b"received":
            size += len(header.value)
            if size > HEADERS_AT_MOST:
                return values, True
            values.append(header.value.decode("latin-1"))
    return values, False


def _message_id(txn: Transaction) -> str:
    for header in txn.message.headers:
        if header.name.lower() == b"message-id":
            return printable(header.value.decode("latin-1").strip(), 250)
    return ""
