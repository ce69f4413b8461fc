"""The words of a refusal: the reason, the verdict's id, and where to get help. Never a secret."""

from earmark.core.evidence import DomainListing, Finding, Listing, Question, Scanner
from earmark.core.judge import defers
from earmark.core.mail import Envelope
from earmark.core.policy import Policy
from earmark.core.verdict import Action, Outcome, Reply

_REASONS = 2
_REASON_AT_MOST = 120


def reply_for(outcome: Outcome, envelope: Envelope, policy: Policy, verdict_id: str) -> Reply | None:
    """Return the reply that goes with an outcome; None where it neither defers nor refuses."""
    end = f" (id {verdict_id})" + (f" see {policy.help_url}" if policy.help_url else "")
    if outcome.action is Action.REJECT:
        reasons = "; ".join(_cut(found.why) for found in _reasons(outcome, policy)[:_REASONS])
        return Reply(550, "5.7.1", f"Refused: {reasons}{end}")
    if outcome.action is Action.DEFER:
        return Reply(451, "4.7.1", _cut(_why_later(outcome, envelope, policy)) + end)
    return None


def _reasons(outcome: Outcome, policy: Policy) -> list[Finding]:
    """Return the findings that refuse, the weightiest first; after DATA only those that the policy opted in to."""
    opted_in = [found for found in outcome.findings if policy.after_data.get(found.opt_in) is Action.REJECT]
    return opted_in or sorted((found for found in outcome.findings if found.score > 0), key=lambda found: -found.score)


def _why_later(outcome: Outcome, envelope: Envelope, policy: Policy) -> str:
    if any(policy.after_data.get(found.opt_in) is Action.DEFER for found in outcome.findings):
        return "The content scanner does not answer at this time; try again later"
    found = [found.why for found in outcome.findings if defers(found, outcome.refuse_score)]
    if found:
        return "; ".join(found)
    asked = ", ".join(sorted({question_subject(question) for question in outcome.unknown}))
    who = envelope.client.address or "the client"
    return f"Cannot check {who} now: no answer from {asked}; try again later"


def _cut(text: str) -> str:
    return text if len(text) <= _REASON_AT_MOST else text[: _REASON_AT_MOST - 3] + "..."


def question_subject(question: Question) -> str:
    """Return who or what was asked, for people: the list's name, else the kind of question."""
    if isinstance(question, Listing | DomainListing):
        return question.zone
    return question.name if isinstance(question, Scanner) else _SUBJECTS.get(question.kind, question.kind)


_SUBJECTS = {"virus": "clamav", "spam": "spamassassin"}
