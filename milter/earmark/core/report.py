"""Outcomes and edits as plain values, for records, logs and `explain --json` (the schema is docs/schemas.md)."""

from collections.abc import Iterable, Mapping
from typing import Any

from earmark.core.evidence import Facts, Finding, question_text
from earmark.core.mail import Hop
from earmark.core.policy import Policy
from earmark.core.verdict import Edit, Outcome


def recipient_report(address: str, outcome: Outcome, policy: Policy) -> dict[str, Any]:
    """Return what one recipient's policy said. Scores are in points."""
    return {
        "address": address,
        "policy": policy.name,
        "action": outcome.action.word,
        "would": outcome.would.word,
        "refuse_score": outcome.refuse_score / 100,
        "mark_score": outcome.mark_score / 100,
        "reply": str(outcome.reply) if outcome.reply else None,
        "findings": [finding_report(finding, policy.places) for finding in outcome.findings],
        "unknown": [question_text(question) for question in outcome.unknown],
    }


def finding_report(finding: Finding, places: Mapping[str, object]) -> dict[str, Any]:
    """Return a finding with the file and line that gave it its weight."""
    return {
        "name": finding.name,
        "origin": finding.origin.value,
        "score": finding.score / 100,
        "why": finding.why,
        "question": question_text(finding.question) if finding.question else None,
        "late": finding.late,
        "knob": finding.knob,
        "set_by": str(places.get(finding.knob, "")),
    }


def facts_report(facts: Facts) -> dict[str, Any]:
    """Return facts by the text of their question."""
    return {question_text(question): fact for question, fact in facts.items()}


def edits_report(edits: Iterable[Edit]) -> list[list[str]]:
    """Return edits as lists: kind first, then their fields."""
    return [[edit.kind, *(str(value) for value in edit[:-1])] for edit in edits]


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
