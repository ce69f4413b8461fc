"""A Record: all that a verdict was made from, so that it can be made again (promise 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earmark.core.checks.released import FIELD
from earmark.core.evidence import Fact, Question
from earmark.core.judge import ENGINE
from earmark.core.mail import Address, Message, Transaction
from earmark.core.recipients import ALL_MEANS, Means, Recipient
from earmark.core.report import recipient_report
from earmark.core.text import decoded, printable
from earmark.core.verdict import Action, ChangeHeader, Edit, Verdict

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
    recipients: tuple[Recipient, ...]
    verdict: Verdict
    queue_id: str
    ended: str
    """By what: "eom", "abort", "mail" (the next one), "disconnect", "policy" (one recipient was all that was asked)."""
    generation: str
    elapsed: float
    """Seconds that the MTA waited for us, all stages together."""
    means: Means = ALL_MEANS
    """What the MTA let us do with it."""
    not_kept: str = ""
    """Why it could not be held, and so was put off; "" where it could, or was not to be."""
    taken: bool = False
    """Its recipients had been taken before, at another door."""
    others: tuple[Address, ...] = ()
    """Who had been taken in other calls about the same message: one of each content class."""
    shadow: "Shadowed | None" = None
    """What a second set of policies says of the same; it has changed nothing."""

    @property
    def action(self) -> Action:
        """The harshest action over the recipients."""
        return max((outcome.action for _, _, outcome in self.recipients), default=Action.ACCEPT)


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The same transaction under a second set of policies."""

    generation: str
    recipients: tuple[Recipient, ...]
    facts: Mapping[Question, Fact]
    """What only they asked."""


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
    """`received` and `fields` do not hold all that was consulted."""
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
    fields: Sequence[tuple[str, str]] = ()
    """The other fields that checks consult, as name in lower case and value byte for byte as Latin-1. Of those of which
    only the presence is asked, the value is not kept."""
    shadow_generation: str = ""
    """The generation of the second set of policies; "" where there was none."""
    shadow: Sequence[dict[str, Any]] = ()
    """What it says, as `recipients`."""
    shadow_facts: Sequence[tuple[tuple[str, ...], Fact]] = ()
    """As `facts`, of what only the second set asked."""
    may_readdress: bool = True
    """The MTA let us add and remove recipients."""
    may_hold: bool = True
    """It would have held the message for us."""
    not_kept: str = ""
    """As in Judged."""
    taken: bool = False
    """As in Judged."""
    may_answer_each: bool = False
    """The MTA answered after DATA for each recipient alone."""
    may_keep: bool = True
    """It was not beyond what we can hold."""
    others: Sequence[Address] = ()
    """As in Judged."""


def make_record(judged: Judged) -> Record:
    """Return what is kept of a transaction. It shares nothing that the session goes on to change."""
    envelope, message = judged.txn.envelope, judged.txn.message
    received, fields, cut = _consulted(message)
    shadow = judged.shadow
    return Record(
        SCHEMA,
        ENGINE,
        judged.id,
        judged.generation,
        envelope.at,
        envelope.client.address,
        envelope.helo,
        envelope.sender,
        envelope.user,
        envelope.exempt,
        envelope.relay,
        judged.queue_id,
        _message_id(message),
        judged.ended,
        received,
        cut,
        message.truncated,
        list(judged.facts.items()),
        [address for address, _, _ in judged.recipients],
        _reports(judged.recipients),
        judged.action.word,
        tuple(map(_readable, judged.verdict.edits)),
        round(judged.elapsed * 1000, 3),
        fields,
        shadow.generation if shadow else "",
        _reports(shadow.recipients) if shadow else (),
        list(shadow.facts.items()) if shadow else (),
        judged.means.readdress,
        judged.means.hold,
        judged.not_kept,
        judged.taken,
        judged.means.answer_each,
        judged.means.keep,
        judged.others,
    )


def _readable(edit: Edit) -> Edit:
    """Return an edit without surrogates (PEP 383), for which UTF-8 has no bytes: a tagged Subject may hold some."""
    if isinstance(edit, ChangeHeader) and not edit.value.isascii():
        return edit._replace(value=decoded(edit.value.encode("utf-8", "surrogateescape"), HEADERS_AT_MOST))
    return edit


def _reports(recipients: Sequence[Recipient]) -> list[dict[str, Any]]:
    return [recipient_report(address.text, outcome, policy) for address, policy, outcome in recipients]


_KEPT = (b"received", b"from", b"list-id", FIELD.lower().encode())
"""Fields whose values checks read. The one that proves a release is worth nothing any more when this is kept."""
_PRESENT = (b"dkim-signature", b"arc-seal")
"""Fields whose value no check reads; that they are there makes it ask."""


def _consulted(message: Message) -> tuple[list[str], list[tuple[str, str]], bool]:
    """Return the Received values and the other fields, in all up to the limit, and whether there are more."""
    kept = [(name, value) for name in _KEPT for value in message.fields.get(name, ())]
    size, whole = 0, 0
    for _, value in kept:
        size += len(value)
        whole += size <= HEADERS_AT_MOST
    values = [value.decode("latin-1") for name, value in kept[:whole] if name == b"received"]
    fields = [(name.decode(), value.decode("latin-1")) for name, value in kept[len(values) : whole]]
    fields += [(name.decode(), "") for name in _PRESENT if name in message.fields]
    return values, fields, whole < len(kept)


def _message_id(message: Message) -> str:
    value = message.fields.get(b"message-id", (b"",))[0]
    return printable(value[:1000].decode("latin-1").strip(), 250)
