"""From policies to recipients: each has an outcome of its own, and together they make the verdict on the message.

Recipients of one policy share their outcome, unless a check of it looks at the recipient; then each has its own.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from earmark.core.checks.content import HeldBy, MixedMarks, MixedRecipients
from earmark.core.evidence import NO_POINTS, Facts, Finding, Origin, Stage
from earmark.core.judge import combine, decide, examine
from earmark.core.mail import Address, Transaction
from earmark.core.phrase import reply_for
from earmark.core.policy import Mode, Policy, PolicySet
from earmark.core.verdict import Action, AddRecipient, Edit, Hold, Outcome, RemoveRecipient, Reply, Verdict

SEPARATED = Finding(
    "MIXED_RECIPIENTS",
    Origin.ENVELOPE,
    NO_POINTS,
    "another recipient's policy for the content differs",
    "content.mixed_recipients",
)
JUNK = "junk"
"""The detail of a mailbox (RFC 5233) that takes what is marked for one recipient and not for all."""
_PLAIN_MAILBOX = re.compile(r"([\w!#$%&'*/=?^`{|}~.-]+)(\+[\w!#$%&'*/=?^`{|}~.+-]*)?@([\w.-]+)", re.ASCII)


class Recipient(NamedTuple):
    """A forward-path, its policy, and what that policy says."""

    address: Address
    policy: Policy
    outcome: Outcome


class Means(NamedTuple):
    """What the MTA lets us do with a message besides taking or refusing it."""

    readdress: bool = True
    """Add and remove recipients."""
    hold: bool = True
    """Have it hold the message."""
    answer_each: bool = False
    """Refuse it for single recipients after DATA (PRDR)."""
    keep: bool = True
    """Hold it ourselves: false for one that is beyond what we can hold."""


ALL_MEANS = Means()

Key = tuple[Policy, str]


def key_of(policy: Policy, recipient: Address) -> Key:
    """Return what recipients with the same outcome have in common."""
    return policy, recipient.text if policy.per_recipient else ""


def outcome_at_rcpt(txn: Transaction, facts: Facts, policy: Policy, recipient: Address, verdict_id: str) -> Outcome:
    """Return what the policy says at RCPT, with the reply."""
    own = _of(txn, policy, recipient)
    outcome = decide(Stage.RCPT, own, facts, examine(Stage.RCPT, own, facts, policy), policy)
    return _with_reply(outcome, own, policy, verdict_id)


def separated(outcome: Outcome, policy: Policy, before: Sequence[Recipient], verdict_id: str) -> Outcome:
    """Return what a recipient meets who would be accepted after these, where its own policy will not share a message.

    It is told to come in a message of its own (RFC 5321 section 4.5.3.1.10 has the code), as senders know to do. So is
    nobody where the policy only observes or marks, nor the postmaster.
    """
    alone = policy.content.mixed_recipients is MixedRecipients.SEPARATE and policy.mode is Mode.ENFORCE
    if outcome.action is not Action.ACCEPT or not alone or not policy.refuses:
        return outcome
    others = (one.policy.content_class for one in before if one.outcome.action is Action.ACCEPT)
    if all(other == policy.content_class for other in others):
        return outcome
    reply = Reply(452, "4.5.3", f"This recipient wants a message of its own; send it separately (id {verdict_id})")
    findings = (*outcome.findings, SEPARATED)
    return outcome._replace(action=Action.DEFER, would=Action.DEFER, findings=findings, reply=reply)


def taken_elsewhere(address: Address, policies: PolicySet) -> Recipient:
    """Return a recipient of the same message whom another call has accepted, for `separated` to look at."""
    return Recipient(address, policies.find(address), Outcome(Action.ACCEPT, 0, 0))


def taken(outcome: Outcome) -> Outcome:
    """Return an outcome at RCPT for a recipient who had been taken before it was known: it can only mark."""
    return outcome._replace(action=Action.ACCEPT, reply=None, effects=())


def conclude(
    txn: Transaction, facts: Facts, recipients: Sequence[Recipient], verdict_id: str, means: Means = ALL_MEANS
) -> tuple[tuple[Recipient, ...], Verdict]:
    """Return, at the end of the message, what becomes of each recipient, and the verdict, but for its edits.

    `recipients` hold their outcomes at RCPT. Those that were refused or deferred there stay as they are; the verdict
    has one outcome for each distinct one of the others, in their order, and what is done with single recipients.
    """
    final: dict[Key, Outcome] = {}
    policies: list[Policy] = []
    for address, policy, early in recipients:
        key = key_of(policy, address)
        if early.action is Action.ACCEPT and key not in final:
            own = _of(txn, policy, address)
            findings = examine(Stage.EOM, own, facts, policy, early=early)
            outcome = decide(Stage.EOM, own, facts, findings, policy, early=early)
            final[key] = _with_reply(outcome, own, policy, verdict_id)
            policies.append(policy)
    by_mta = means.hold and all(policy.content.quarantine is HeldBy.MTA for policy in policies)
    verdict = combine(
        list(final.values()),
        policies,
        may_readdress=means.readdress,
        may_answer_each=means.answer_each,
        may_keep=means.keep or by_mta,
    )
    settled = dict(zip(final, verdict.outcomes, strict=True))
    ended = tuple(
        Recipient(address, policy, settled[key_of(policy, address)] if early.action is Action.ACCEPT else early)
        for address, policy, early in recipients
    )
    return ended, verdict._replace(edits=_readdressed(ended, verdict.action, means))


def _readdressed(ended: Sequence[Recipient], action: Action, means: Means) -> tuple[Edit, ...]:
    """Return what is done with single recipients: who is held is taken away, who marks may be re-addressed."""
    accepted = [one for one in ended if one.outcome.action <= Action.QUARANTINE]
    if action is Action.QUARANTINE:
        by_mta = means.hold and all(one.policy.content.quarantine is HeldBy.MTA for one in accepted)
        return (Hold("held by policy"),) if by_mta else ()
    if action > Action.QUARANTINE or not means.readdress:
        return ()
    found: dict[Edit, None] = {}
    taken_away = {one.address.text.lower() for one in accepted if one.outcome.action is Action.QUARANTINE}
    for one in accepted:
        detail = one.policy.content.mixed_marks is MixedMarks.DETAIL
        junk = _junk(one.address) if one.outcome.action is Action.MARK and action is Action.ACCEPT and detail else ""
        if junk.lower() in taken_away:  # to take it away would take this copy, too
            junk = ""
        if junk:
            found[AddRecipient(junk)] = None
        if junk or one.outcome.action is Action.QUARANTINE:
            found[RemoveRecipient(one.address.text)] = None
    return tuple(found)


def _junk(address: Address) -> str:
    """Return the address for what is marked for one mailbox; "" where it is that already, or none that we may write."""
    plain = _PLAIN_MAILBOX.fullmatch(address.text)
    return f"{plain[1]}+{JUNK}@{plain[3]}" if plain and plain[2] != f"+{JUNK}" else ""


def put_off(ended: Sequence[Recipient], verdict_id: str) -> tuple[tuple[Recipient, ...], Verdict]:
    """Return what becomes of a message that should have been held and cannot be written: the client comes again."""
    reply = Reply(451, "4.3.0", f"Cannot be taken now; try again later (id {verdict_id})")
    later = tuple(
        one._replace(outcome=one.outcome._replace(action=Action.DEFER, reply=reply))
        if one.outcome.action <= Action.QUARANTINE
        else one
        for one in ended
    )
    return later, Verdict(Action.DEFER, reply=reply)


def _with_reply(outcome: Outcome, txn: Transaction, policy: Policy, verdict_id: str) -> Outcome:
    reply = reply_for(outcome, txn.envelope, policy, verdict_id)
    return outcome if reply is None else outcome._replace(reply=reply)


def judge_all(
    txn: Transaction,
    facts: Facts,
    policies: PolicySet,
    paths: Sequence[Address],
    verdict_id: str,
    *,
    ended: str,
    means: Means = ALL_MEANS,
    before: bool = False,
    others: Sequence[Address] = (),
) -> tuple[tuple[Recipient, ...], Verdict]:
    """Return what the engine would have decided on a transaction that has ended, from all its facts at once.

    `ended`, `before`, which is `taken` there, and `others` are as in `core.record.Judged`.
    """
    chosen = [(address, policies.find(address)) for address in paths]
    early: dict[Key, Outcome] = {}
    for address, policy in chosen:
        key = key_of(policy, address)
        if key not in early:
            early[key] = outcome_at_rcpt(txn, facts, policy, address, verdict_id)
    elsewhere = [taken_elsewhere(address, policies) for address in others]
    recipients: list[Recipient] = []
    for address, policy in chosen:
        outcome = early[key_of(policy, address)]
        outcome = taken(outcome) if before else separated(outcome, policy, (*elsewhere, *recipients), verdict_id)
        recipients.append(Recipient(address, policy, outcome))
    return (
        conclude(txn, facts, recipients, verdict_id, means) if ended == "eom" else (tuple(recipients), combine([], []))
    )


def shown(ended: Sequence[Recipient], verdict: Verdict) -> tuple[Verdict, list[Policy]]:
    """Return, after `conclude`, the verdict as far as the message may tell it, and the policies of its outcomes.

    What becomes of a recipient to whom the message does not go is no business of the others'.
    """
    harshest = max(verdict.action, Action.MARK)
    told = {
        key_of(one.policy, one.address): (one.policy, one.outcome) for one in ended if one.outcome.action <= harshest
    }
    outcomes = tuple(outcome for _, outcome in told.values())
    return verdict._replace(outcomes=outcomes), [policy for policy, _ in told.values()]


def _of(txn: Transaction, policy: Policy, recipient: Address) -> Transaction:
    """Return the transaction as the policy's checks see it for this recipient."""
    if not policy.per_recipient or txn.envelope.recipient == recipient:
        return txn
    return replace(txn, envelope=replace(txn.envelope, recipient=recipient))
