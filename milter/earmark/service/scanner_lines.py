"""What a worker tells the supervisor of its content scanners; see `scanner_board`."""

from typing import Any

from earmark.clients.clamd import Clamd
from earmark.clients.spamd import Spamd
from earmark.core.evidence import Fact, Question, Scanner, Status
from earmark.world import Scanners


def scanner_lines(scanners: Scanners) -> dict[str, dict[str, Any]]:
    """Return a line for each scanner that there is."""
    virus, spam = scanners
    lines = {}
    if virus:
        lines["clamav"] = _line(virus, Scanner("clamav"))
    if spam:
        lines["spamassassin"] = _line(spam, Scanner("spamassassin"))
    return lines


def _line(client: Clamd | Spamd, question: Scanner) -> dict[str, Any]:
    answers: list[Fact] = []

    def deliver(_: Question, fact: Fact) -> None:
        answers.append(fact)

    client.ask(question, deliver)  # a client knows its own state, and so answers this at once
    fact = answers[0]
    failing_since = float(fact.data[0]) if fact.status is Status.FAIL else None
    return {**client.counts(), "failing_since": failing_since, "why": fact.why}
