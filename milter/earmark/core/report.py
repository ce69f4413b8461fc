"""Outcomes and edits as plain values, for records, logs and `explain --json` (the schema is docs/schemas.md)."""

from collections.abc import Iterable, Sequence
from typing import Any

from earmark.core.evidence import Fact, Facts, Finding, question_text
from earmark.core.mail import Hop
from earmark.core.policy import Policy
from earmark.core.verdict import Action, Outcome


def recipient_report(address: str, outcome: Outcome, policy: Policy) -> dict[str, Any]:
    """Return what one recipient's policy said. Scores and thresholds are in points."""
    return {
        "address": address,
        "policy": policy.name,
        "mode": policy.mode.value,
        "action": outcome.action.word,
        "would": outcome.would.word,
        "refuse_score": outcome.refuse_score / 100,
        "refuse_at": policy.refuse_at / 100,
        "mark_score": outcome.mark_score / 100,
        "mark_at": policy.mark_at / 100,
        "reply": str(outcome.reply) if outcome.reply else None,
        "findings": [finding_report(finding, policy) for finding in outcome.findings],
        "unknown": [question_text(question) for question in outcome.unknown],
    }


def finding_report(finding: Finding, policy: Policy) -> dict[str, Any]:
    """Return a finding with the file and line that gave it its weight, and what the policy does by its word."""
    does = policy.after_data.get(finding.opt_in, Action.ACCEPT)
    return {
        "name": finding.name,
        "origin": finding.origin.value,
        "score": finding.score / 100,
        "why": finding.why,
        "question": question_text(finding.question) if finding.question else None,
        "late": finding.late,
        "defer_at": None if finding.defer_at is None else finding.defer_at / 100,
        "knob": finding.knob,
        "set_by": str(policy.places.get(finding.knob, "")),
        "opt_in": finding.opt_in,
        "after_data": None if does is Action.ACCEPT else does.word,
    }


def facts_report(facts: Facts, at: float) -> dict[str, Any]:
    """Return facts by the text of their question. Their age is counted to `at`, seconds since the epoch."""
    return {question_text(question): fact_report(fact, at) for question, fact in facts.items()}


def fact_report(fact: Fact, at: float) -> dict[str, Any]:
    """Return a fact; `age` is how many seconds before `at` it was learnt, 0 where it came later."""
    return {
        "status": fact.status.value,
        "data": list(fact.data),
        "age": round(max(at - fact.at, 0.0), 1),
        "ttl": fact.ttl,
        "source": fact.source,
        "why": fact.why,
        "late": fact.late,
    }


def edits_report(edits: Iterable[Sequence[str | int]]) -> list[list[str | int]]:
    """Return edits as lists: kind first, then the field's name and what the kind needs."""
    return [[edit[-1], *edit[:-1]] for edit in edits]


def hop_report(hop: Hop) -> dict[str, Any]:
    """Return a hop of the Received chain; `ip` is null where no address can be believed."""
    return {
        "ip": hop.address or None,
        "helo": hop.helo,
        "rdns": hop.rdns,
        "by": hop.by,
        "with": hop.protocol,
        "authenticated": hop.authenticated,
        "trusted": hop.trusted,
        "why": hop.why,
    }
