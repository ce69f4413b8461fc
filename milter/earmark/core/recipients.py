"""From policies to recipients: each has an outcome of its own, and together they make the verdict on the message.

Recipients of one policy share their outcome, unless a check of it looks at the recipient; then each has its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from earmark.core.evidence import Facts, Stage
from earmark.core.judge import combine, decide, examine
from earmark.core.mail import Address, Transaction
from earmark.core.phrase import reply_for
from earmark.core.policy import Policy, PolicySet
from earmark.core.verdict import Action, Outcome, Verdict


class Recipient(NamedTuple):
    """A forward-path, its policy, and what that policy says."""

    address: Address
    policy: Policy
    outcome: Outcome


Key = tuple[Policy, str]


def key_of(policy: Policy, recipient: Address) -> Key:
    """Return what recipients with the same outcome have in common."""
    return policy, recipient.text if policy.per_recipient else ""


def outcome_at_rcpt(txn: Transaction, facts: Facts, policy: Policy, recipient: Address, verdict_id: str) -> Outcome:
    """Return what the policy says at RCPT, with the reply."""
    own = _of(txn, policy, recipient)
    outcome = decide(Stage.RCPT, own, facts, examine(Stage.RCPT, own, facts, policy), policy)
    return _with_reply(outcome, own, policy, verdict_id)


def conclude(
    txn: Transaction, facts: Facts, recipients: Sequence[Recipient], verdict_id: str
) -> tuple[tuple[Recipient, ...], Verdict]:
    """Return, at the end of the message, what becomes of each recipient, and the verdict, but for its edits.

    `recipients` hold their outcomes at RCPT. Those that were refused or deferred there stay as they are; the verdict
    has one outcome for each distinct one of the others, in their order.
    """
    final: dict[Key, Outcome] = {}
    for address, policy, early in recipients:
        key = key_of(policy, address)
        if early.action is Action.ACCEPT and key not in final:
            own = _of(txn, policy, address)
            findings = examine(Stage.EOM, own, facts, policy, early=early)
            outcome = decide(Stage.EOM, own, facts, findings, policy, early=early)
            final[key] = _with_reply(outcome, own, policy, verdict_id)
    verdict = combine(list(final.values()))
    settled = dict(zip(final, verdict.outcomes, strict=True))
    ended = tuple(
        Recipient(address, policy, settled[key_of(policy, address)] if early.action is Action.ACCEPT else early)
        for address, policy, early in recipients
    )
    return ended, verdict


def _with_reply(outcome: Outcome, txn: Transaction, policy: Policy, verdict_id: str) -> Outcome:
    reply = reply_for(outcome, txn.envelope, policy, verdict_id)
    return outcome if reply is None else outcome._replace(reply=reply)


def judge_all(
    txn: Transaction, facts: Facts, policies: PolicySet, paths: Sequence[Address], verdict_id: str, *, ended: str
) -> tuple[tuple[Recipient, ...], Verdict]:
    """Return what the engine would have decided on a transaction that has ended, from all its facts at once.

    `ended` is as in `core.record.Judged`.
    """
    chosen = [(address, policies.find(address)) for address in paths]
    early: dict[Key, Outcome] = {}
    for address, policy in chosen:
        key = key_of(policy, address)
        if key not in early:
            early[key] = outcome_at_rcpt(txn, facts, policy, address, verdict_id)
    recipients = tuple(Recipient(address, policy, early[key_of(policy, address)]) for address, policy in chosen)
    return conclude(txn, facts, recipients, verdict_id) if ended == "eom" else (recipients, combine([]))


def accepted_policies(recipients: Sequence[Recipient]) -> list[Policy]:
    """Return, after `conclude`, the policies that go with the verdict's outcomes, in their order."""
    taken = {
        key_of(each.policy, each.address): each.policy for each in recipients if each.outcome.action <= Action.MARK
    }
    return list(taken.values())


def _of(txn: Transaction, policy: Policy, recipient: Address) -> Transaction:
    """Return the transaction as the policy's checks see it for this recipient."""
    if not policy.per_recipient or txn.envelope.recipient == recipient:
        return txn
    return replace(txn, envelope=replace(txn.envelope, recipient=recipient))
