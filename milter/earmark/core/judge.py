"""The four functions that carry the program: plan, examine, decide, combine. Pure: values in, values out.

    plan(stage, txn, facts, asking)           -> questions that are not yet in facts, of a policy's checks
    examine(stage, txn, facts, policy)        -> findings
    decide(stage, txn, facts, findings, policy) -> Outcome, for one policy and so for one recipient
    combine(outcomes, policies)               -> Verdict for the message, after DATA

Theory of operation

1. Before DATA only EnvelopeChecks run, and they see an Envelope; a refusal is decided at RCPT, and only there.
2. A fact with status TEMPERROR yields no finding. Where an answer to it could have helped the sender (an allow list),
   the refusal must hold with that help: the unknown is credited with the check's `relief`.
3. A late fact (its answer came after some recipient had been decided without it) counts as unknown at RCPT and as
   itself at EOM: it may mark, never refuse.
4. Every score is the sum of its findings: `refuse_score` of those with origin CONNECTION and ENVELOPE, `mark_score` of
   all.
5. A finding may ask for the client to come back (`defer_at`): it is told so where nothing refuses and its refuse score,
   unknowns credited as for a refusal, is not below that.
6. After DATA the scores only mark. More becomes of a message only on a finding of the content for whose word (`opt_in`)
   the policy says so; and it is refused or deferred only where the policies of all accepted recipients have it so.
7. Whom an entry of the lists allows, or may allow, is not refused for his spam score; and neither that score nor the
   claimed path decides whom an entry allows.
"""

from collections.abc import Iterable, Sequence

from earmark.core.checks import Asking, Check, EnvelopeCheck, MessageCheck
from earmark.core.checks.check import UNLESS_ALLOWED
from earmark.core.evidence import (
    DISARMED,
    UNKNOWN,
    Facts,
    Finding,
    Greylisting,
    Origin,
    Question,
    Release,
    Scanner,
    SpamScan,
    Stage,
    Status,
    Taking,
    VirusScan,
)
from earmark.core.mail import Envelope, Transaction
from earmark.core.policy import Mode, OnError, Policy
from earmark.core.verdict import Action, Outcome, Verdict

ENGINE = 3
"""Rises whenever the same record could be judged otherwise; a stored verdict re-derives under its own number only."""

MAX_ROUNDS = 4
"""Asking ends within this many rounds of `plan`; more would be a bug."""

_REFUSING = (Origin.CONNECTION, Origin.ENVELOPE)
_OWN_WORD = (Greylisting, Taking, Release, Scanner, VirusScan, SpamScan)
"""What our own store answers: that it is gone is told, and does nothing by itself; and what the scanners answer, for
whose failure a policy has words of its own."""
RELEASED = "released"
"""The word of the administrator, who lets a message go from our quarantine whatever is found."""


def plan(stage: Stage, txn: Transaction, facts: Facts, asking: Asking, *, unknown_too: bool = False) -> list[Question]:
    """Return what these checks, as far as their stage has come, would still ask; each question once.

    `unknown_too`: what they have asked as well, where there was no answer.
    """
    wanted: dict[Question, None] = {}
    envelope = txn.envelope
    of_strangers = not (envelope.exempt or envelope.relay)
    for check, knobs in asking:
        if check.stage > stage or not (of_strangers or _looks_at(check, envelope)):
            continue
        if isinstance(check, MessageCheck):
            asked = check.wants(txn, facts, knobs)
        else:
            asked = check.wants(envelope, facts, knobs)
        for question in asked:
            if question not in facts or (unknown_too and facts[question].status is Status.TEMPERROR):
                wanted[question] = None
    return list(wanted)


def _looks_at(check: Check, envelope: Envelope) -> bool:
    """Return whether a check has to do with such a session: one of ours, one of our own relays', or a stranger's."""
    if envelope.exempt:
        return check.of_exempt
    return not envelope.relay or isinstance(check, MessageCheck)


def examine(
    stage: Stage, txn: Transaction, facts: Facts, policy: Policy, *, early: Outcome | None = None
) -> tuple[Finding, ...]:
    """Return the findings of this stage's checks and of those before. At RCPT a late fact finds nothing.

    At EOM, `early` is the same policy's outcome at RCPT; its findings stand where no fact has come late since.
    """
    envelope = txn.envelope
    if stage <= Stage.RCPT:
        facts = on_time(facts)
    stands = early is not None and on_time(facts) is facts
    found: list[Finding] = list(early.findings) if early and stands else []
    for check, knobs in policy.asking:
        if check.stage > stage or not _looks_at(check, envelope):
            continue
        if isinstance(check, MessageCheck):
            found.extend(check.examine(txn, facts, knobs))
        elif not stands:
            found.extend(check.examine(envelope, facts, knobs))
    return tuple(found) if stands else tuple(_late(finding, facts) for finding in found)


def _late(finding: Finding, facts: Facts) -> Finding:
    fact = facts.get(finding.question) if finding.question else None
    return finding._replace(late=True) if fact and fact.late else finding


def on_time(facts: Facts) -> Facts:
    """Return the facts as they stood when recipients were decided: late ones are unknown."""
    for fact in facts.values():
        if fact.late:
            return {question: UNKNOWN if fact.late else fact for question, fact in facts.items()}
    return facts


def decide(
    stage: Stage,
    txn: Transaction,
    facts: Facts,
    findings: tuple[Finding, ...],
    policy: Policy,
    *,
    early: Outcome | None = None,
) -> Outcome:
    """Return what one policy says: at RCPT whether to refuse or defer, at EOM whether to mark, or to refuse after all.

    At EOM, `early` is the same policy's outcome at RCPT; what its mode held back there is marked here, or only told.
    """
    refuse_score = mark_score = 0
    for found in findings:
        mark_score += found.score
        if found.origin in _REFUSING and not found.late:
            refuse_score += found.score
    if stage <= Stage.RCPT:
        facts = on_time(facts)
    unknown = unanswered(stage, txn, facts, policy)
    if stage > Stage.RCPT:
        known = early.findings if early else ()
        findings = tuple(found for found in findings if found in known or not _only_defers(found))
        words = _words(findings)
        if "spam_reject_score" in words and _may_be_allowed(findings, unknown, txn, facts, policy):
            words.remove("spam_reject_score")
        unsure = _is_unsure(unknown, facts, mark_score)
        early_would = early.would if early else Action.ACCEPT
        action, would = _at_end(mark_score, words, policy, early_would, unsure=unsure)
        if action is Action.REJECT and txn.envelope.relay:  # which would have to send it back to whoever is its sender
            action = _instead(policy)
        return Outcome(action, refuse_score, mark_score, findings, unknown, would)
    at_best = refuse_score + relief(unknown, txn.envelope, facts, policy)
    findings = tuple(found for found in findings if not _is_idle(found, at_best, policy))
    would = _refusal(at_best, findings, policy, unsure=_is_unsure(unknown, facts, refuse_score))
    action = would if policy.mode is Mode.ENFORCE else Action.ACCEPT
    effects = tuple(
        effect
        for check, knobs in policy.keeping
        if _looks_at(check, txn.envelope)
        for effect in check.effects(txn.envelope, facts, knobs, action)
    )
    return Outcome(action, refuse_score, mark_score, findings, unknown, would, effects=effects)


def _refusal(at_best: int, findings: Iterable[Finding], policy: Policy, *, unsure: bool) -> Action:
    """Return what happens at RCPT; `at_best` is the refuse score with the kindest answers to what is unknown."""
    if not policy.refuses:
        return Action.ACCEPT
    if at_best >= policy.refuse_at:
        return Action.REJECT
    if policy.on_error is OnError.DEFER and unsure:
        return Action.DEFER
    return Action.DEFER if any(defers(found, at_best) for found in findings) else Action.ACCEPT


def _is_unsure(unknown: Iterable[Question], facts: Facts, score: int) -> bool:
    """Return whether something is unknown that `on_error` is for: nothing is, for whom an entry of the lists allows.

    A store that is gone decides nothing, and a list that is not believed is not waited for: it may be gone for good.
    """
    return score >= UNLESS_ALLOWED and any(
        not isinstance(question, _OWN_WORD) and not facts.get(question, UNKNOWN).why.startswith(DISARMED)
        for question in unknown
    )


def _only_defers(finding: Finding) -> bool:
    """Return whether a finding can do nothing but make the client come back."""
    return finding.defer_at is not None and not finding.score


def _is_idle(finding: Finding, at_best: int, policy: Policy) -> bool:
    """Return whether a finding could only make the client come back, and does not: then nothing was found."""
    comes_back = policy.refuses and at_best < policy.refuse_at and defers(finding, at_best)
    return _only_defers(finding) and not comes_back


def defers(finding: Finding, refuse_score: int) -> bool:
    """Return whether a finding makes a client with this refuse score come back."""
    return finding.defer_at is not None and refuse_score >= finding.defer_at and not finding.late


def _at_end(mark_score: int, words: set[str], policy: Policy, early: Action, *, unsure: bool) -> tuple[Action, Action]:
    """Return what happens at the end of the message, and what mode = "enforce" would have done in all."""
    asked = {policy.after_data.get(word, Action.ACCEPT) for word in words}
    if mark_score >= policy.mark_at or (policy.on_error is OnError.MARK and unsure):
        asked.add(Action.MARK)
    action = max(asked, default=Action.ACCEPT)
    would = max(early, action)
    if policy.mode is Mode.OBSERVE or RELEASED in words:
        return Action.ACCEPT, would
    if policy.mode is Mode.MARK:  # to be put off is no refusal, and nothing to mark a message for
        marks = would is Action.REJECT or not asked <= {Action.ACCEPT, Action.DEFER}
        return (Action.MARK if marks else Action.ACCEPT), would
    return action, would


def _words(findings: Iterable[Finding]) -> set[str]:
    """Return by which words the findings of the content say what becomes of the message, whatever the scores."""
    return {found.opt_in for found in findings if found.opt_in and found.origin is Origin.CONTENT and not found.late}


def _may_be_allowed(
    findings: Iterable[Finding], unknown: Iterable[Question], txn: Transaction, facts: Facts, policy: Policy
) -> bool:
    """Return whether an entry of the lists allows the message, or may do so, as far as is known.

    What the message claims of its path counts neither for nor against that, nor what SpamAssassin makes of it.
    """
    weighed = (
        found.score
        for found in findings
        if found.origin is not Origin.HEADER and not isinstance(found.question, SpamScan)
    )
    of_message = sum(
        check.relief(question, txn, facts, knobs)
        for question in unknown
        for check, knobs in policy.asking_of_message
        if isinstance(check, MessageCheck)
    )
    return sum(weighed) + relief(unknown, txn.envelope, facts, policy) + of_message < UNLESS_ALLOWED


def relief(unknown: Iterable[Question], envelope: Envelope, facts: Facts, policy: Policy) -> int:
    """Return what the kindest answers to these questions would take off the refuse score: 0 or less."""
    return sum(
        check.relief(question, envelope, facts, knobs)
        for question in unknown
        for check, knobs in policy.asking
        if isinstance(check, EnvelopeCheck)
    )


def unanswered(stage: Stage, txn: Transaction, facts: Facts, policy: Policy) -> tuple[Question, ...]:
    """Return what the policy asked up to this stage and nobody answered, in the order of asking."""
    for fact in facts.values():
        if fact.status is Status.TEMPERROR:
            break
    else:
        return ()
    return tuple(plan(stage, txn, facts, policy.asking, unknown_too=True))


def combine(
    outcomes: Sequence[Outcome],
    policies: Sequence[Policy],
    *,
    may_readdress: bool = True,
    may_answer_each: bool = False,
    may_keep: bool = True,
) -> Verdict:
    """Return what happens to the message as a whole, with the outcomes as they come about. Each has its policy.

    It is refused after DATA only where each accepted recipient's policy refuses or defers it, and deferred where one of
    them does. Else nothing is imposed on the others: what a strict policy cannot have alone, it has held, or marked. It
    is marked as a whole only where each one marks. `may_readdress`: the MTA lets us take single recipients away.
    `may_answer_each`: it refuses and defers for each recipient alone, and then each policy has what it asks for.
    `may_keep`: there is who can hold it; else what is to be held is marked.
    """
    mildest = min((outcome.action for outcome in outcomes), default=Action.ACCEPT)
    if mildest >= Action.DEFER:
        reply = min((outcome.reply for outcome in outcomes if outcome.action is mildest), key=str)
        alike = (one if one.action is mildest else one._replace(action=mildest, reply=reply) for one in outcomes)
        return Verdict(mildest, tuple(outcomes if may_answer_each else alike), reply=reply)
    settled = list(outcomes)
    if not may_answer_each:
        settled = [_settled(outcome, policy) for outcome, policy in zip(outcomes, policies, strict=True)]
    mildest = min((outcome.action for outcome in settled), default=Action.ACCEPT)
    if not may_keep or (mildest < Action.QUARANTINE and not may_readdress):
        settled = [one._replace(action=Action.MARK) if one.action is Action.QUARANTINE else one for one in settled]
        mildest = min(mildest, Action.MARK)
    return Verdict(mildest, tuple(settled))


def _settled(outcome: Outcome, policy: Policy) -> Outcome:
    """Return what a policy can have whatever those of the others say."""
    if outcome.action <= Action.QUARANTINE:
        return outcome
    return _at_most(outcome, _instead(policy))


def _instead(policy: Policy) -> Action:
    """Return what is done where a message that the policy refuses cannot be refused."""
    return Action[policy.content.mixed_refusals.name]


def _at_most(outcome: Outcome, action: Action) -> Outcome:
    return outcome if outcome.action <= action else outcome._replace(action=action, reply=None)
