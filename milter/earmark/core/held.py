"""A message that is held in our own quarantine instead of being delivered (docs/quarantine.md)."""

from collections.abc import Sequence
from typing import NamedTuple

from earmark.core.mail import Transaction
from earmark.core.recipients import Recipient
from earmark.core.text import printable
from earmark.core.verdict import Action


class HeldRecipient(NamedTuple):
    """A recipient to whom it was not delivered."""

    address: str
    """As the client gave it, without the angle brackets."""
    domain: str
    """As `domain_key` writes it."""
    policy: str
    would: str
    """The action that the policy asked for: "quarantine", or what it could not have alone, "reject" or "defer"."""
    infected: bool
    """A virus is why."""
    why: tuple[str, ...]
    """One line for each finding that it is held on, printable."""
    days: int
    """How long it is kept."""
    megabytes: int
    """How much is kept for its domain."""


class Held(NamedTuple):
    """What the quarantine keeps beside the message itself."""

    id: str
    """The verdict's, which names it."""
    at: float
    """When MAIL was said, seconds since the epoch."""
    client: str
    helo: str
    sender: str
    """The reverse-path, without the angle brackets."""
    user: str
    queue_id: str
    message_id: str
    subject: str
    """As it stands in the header, printable."""
    recipients: tuple[HeldRecipient, ...]


_VIRUSES = frozenset({"virus", "virus_heuristic", "virus_unofficial"})


def held(txn: Transaction, queue_id: str, ended: Sequence[Recipient]) -> Held | None:
    """Return what is to be held of a message that has been concluded; None for nothing."""
    recipients = tuple(_recipient(one) for one in ended if one.outcome.action is Action.QUARANTINE)
    if not recipients:
        return None
    envelope = txn.envelope
    return Held(
        envelope.id,
        envelope.at,
        envelope.client.address,
        envelope.helo or "",
        envelope.sender.text,
        envelope.user,
        queue_id,
        _first(txn, b"message-id"),
        _first(txn, b"subject"),
        recipients,
    )


def _recipient(one: Recipient) -> HeldRecipient:
    policy, found = one.policy, one.outcome.findings
    on = [finding for finding in found if policy.after_data.get(finding.opt_in, Action.ACCEPT) >= Action.QUARANTINE]
    return HeldRecipient(
        one.address.text,
        one.address.domain,
        policy.name,
        one.outcome.would.word,
        any(finding.opt_in in _VIRUSES for finding in found),
        tuple(f"{finding.name}: {printable(finding.why)}" for finding in on),
        policy.content.quarantine_days,
        policy.content.quarantine_megabytes,
    )


def _first(txn: Transaction, name: bytes) -> str:
    value = txn.message.fields.get(name, (b"",))[0]
    return printable(value[:1000].decode("latin-1").strip(), 250)
