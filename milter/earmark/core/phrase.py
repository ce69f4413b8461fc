"""The words of a refusal: the reason, the verdict's id, and where to get help. Never a secret."""

from earmark.core.evidence import Listing, Question
from earmark.core.mail import Envelope
from earmark.core.policy import Policy
from earmark.core.verdict import Action, Outcome, Reply

_REASONS = 2
_REASON_AT_MOST = 120


def reply_for(outcome: Outcome, envelope: Envelope, policy: Policy, verdict_id: str) -> Reply | None:
    """Return the reply for an outcome decided at RCPT; None where it neither defers nor refuses."""
    end = f" (id {verdict_id})" + (f" see {policy.help_url}" if policy.help_url else "")
    if outcome.action is Action.REJECT:
        held = sorted((found for found in outcome.findings if found.score > 0), key=lambda found: -found.score)
        reasons = "; ".join(_cut(found.why) for found in held[:_REASONS])
        return Reply(550, "5.7.1", f"Refused: {reasons}{end}")
    if outcome.action is Action.DEFER:
        asked = ", ".join(sorted({question_subject(question) for question in outcome.unknown}))
        who = envelope.client.address or "the client"
        return Reply(451, "4.7.1", _cut(f"Cannot check {who} now: no answer from {asked}; try again later") + end)
    return None


def _cut(text: str) -> str:
    return text if len(text) <= _REASON_AT_MOST else text[: _REASON_AT_MOST - 3] + "..."


def question_subject(question: Question) -> str:
    """Return who or what was asked, for people: the list's name, else the kind of question."""
    return question.zone if isinstance(question, Listing) else question.kind
