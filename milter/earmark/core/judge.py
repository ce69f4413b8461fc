"""The four functions that carry the program: plan, examine, decide, combine. Pure: values in, values out.

    plan(stage, txn, facts, asking)           -> questions that are not yet in facts, of a policy's checks
    examine(stage, txn, facts, policy)        -> findings
    decide(stage, txn, facts, findings, policy) -> Outcome, for one policy and so for one recipient
    combine(outcomes)                         -> Verdict for the message, after DATA

Theory of operation

1. Before DATA only EnvelopeChecks run, and they see an Envelope; a refusal is decided at RCPT, and only there.
2. A fact with status TEMPERROR yields no finding. Where an answer to it could have helped the sender (an allow list),
   the refusal must hold with that help: the unknown is credited with the check's `relief`.
3. A late fact (its answer came after some recipient had been decided without it) counts as unknown at RCPT and as
   itself at EOM: it may mark, never refuse.
4. Every score is the sum of its findings: `refuse_score` of those with origin CONNECTION and ENVELOPE, `mark_score` of
   all.
"""

from collections.abc import Iterable, Sequence

from earmark.core.checks import Asking, EnvelopeCheck, MessageCheck
from earmark.core.evidence import UNKNOWN, Facts, Finding, Origin, Question, Stage, Status
from earmark.core.mail import Transaction
from earmark.core.policy import Mode, OnError, Policy
from earmark.core.verdict import Action, Outcome, Verdict

ENGINE = 1
"""Rises whenever the same record could be judged otherwise; a stored verdict re-derives under its own number only."""

MAX_ROUNDS = 4
"""Asking ends within this many rounds of `plan`; more would be a bug."""

_REFUSING = (Origin.CONNECTION, Origin.ENVELOPE)


def plan(stage: Stage, txn: Transaction, facts: Facts, asking: Asking) -> list[Question]:
    """Return what these checks, as far as their stage has come, would still ask; each question once."""
    if txn.envelope.exempt:
        return []
    wanted: dict[Question, None] = {}
    for check, knobs in asking:
        if check.stage > stage:
            continue
        if isinstance(check, MessageCheck):
            wanted.update(dict.fromkeys(check.wants(txn, facts, knobs)))
        elif not txn.envelope.relay:
            wanted.update(dict.fromkeys(check.wants(txn.envelope, facts, knobs)))
    return [question for question in wanted if question not in facts]


def examine(
    stage: Stage, txn: Transaction, facts: Facts, policy: Policy, *, early: Outcome | None = None
) -> tuple[Finding, ...]:
    """Return the findings of this stage's checks and of those before. At RCPT a late fact finds nothing.

    At EOM, `early` is the same policy's outcome at RCPT; its findings stand where no fact has come late since.
    """
    if txn.envelope.exempt:
        return ()
    if stage <= Stage.RCPT:
        facts = on_time(facts)
    stands = early is not None and on_time(facts) is facts
    found: list[Finding] = list(early.findings) if early and stands else []
    for check, knobs in policy.asking:
        if check.stage > stage:
            continue
        if isinstance(check, MessageCheck):
            found.extend(check.examine(txn, facts, knobs))
        elif not stands and not txn.envelope.relay:
            found.extend(check.examine(txn.envelope, facts, knobs))
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
    """Return what one policy says: at RCPT whether to refuse or defer, at EOM whether to mark.

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
    if stage <= Stage.RCPT:
        would = _refusal(refuse_score, unknown, policy)
        action = would if policy.mode is Mode.ENFORCE else Action.ACCEPT
    else:
        marks = mark_score >= policy.mark_at or (bool(unknown) and policy.on_error is OnError.MARK)
        would = max(early.would if early else Action.ACCEPT, Action.MARK if marks else Action.ACCEPT)
        action = Action.ACCEPT if policy.mode is Mode.OBSERVE else min(would, Action.MARK)
    return Outcome(action, refuse_score, mark_score, findings, unknown, would)


def _refusal(refuse_score: int, unknown: tuple[Question, ...], policy: Policy) -> Action:
    if refuse_score + relief(unknown, policy) >= policy.refuse_at:
        return Action.REJECT if policy.refuses else Action.ACCEPT
    if unknown and policy.on_error is OnError.DEFER and policy.refuses:
        return Action.DEFER
    return Action.ACCEPT


def relief(unknown: Iterable[Question], policy: Policy) -> int:
    """Return what the kindest answers to these questions would take off the refuse score: 0 or less."""
    return sum(
        check.relief(question, knobs)
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
    answered = {question: fact for question, fact in facts.items() if fact.status is not Status.TEMPERROR}
    return tuple(plan(stage, txn, answered, policy.asking))


def combine(outcomes: Sequence[Outcome]) -> Verdict:
    """Return what happens to the message as a whole: it is marked only where each accepted recipient's policy marks."""
    return Verdict(min((outcome.action for outcome in outcomes), default=Action.ACCEPT), tuple(outcomes))
