"""What the content scanners said, for people: which points came from where, and what was not scanned, and why."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from earmark.core.evidence import SpamScan, points_text, question_from_text
from earmark.core.spam_score import SpamScore, read_spam_score

_SCANS = ("virus", "spam")


def is_scan(question: str) -> bool:
    """Return whether this is the text of a question to a scanner about a message."""
    return question.partition(" ")[0] in _SCANS


def scan_words(fact: dict[str, Any]) -> list[str]:
    """Return what the answer to such a question comes to: a name, the score and the host, or why there is none."""
    data = fact["data"]
    if fact["status"] != "temperror":
        return list(data[:2])
    if data[:1] == ["limit"]:
        return ["beyond a limit"]
    return [f"failing since {_time(data[1])}"] if data[:1] == ["failing"] else []


def _time(seconds: str) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds")


def spam_scans(facts: dict[str, Any]) -> Iterator[str]:
    """Yield, for each scan of SpamAssassin, its score and rules; for a confirming scan, what is not as in the other."""
    found = {
        scan: read_spam_score(fact["data"])
        for question, fact in facts.items()
        if is_scan(question) and fact["status"] == "pass"
        for scan in [question_from_text(question)]
        if isinstance(scan, SpamScan)
    }
    for scan, score in found.items():
        whole = found.get(scan._replace(view="whole"))
        user = f", as {scan.user} prefers" if scan.user else ""
        host = score.last_external or "nobody"
        if scan.view == "whole" or whole is None:
            view = "" if scan.view == "whole" else " without the path that it claims"
            yield f"SpamAssassin{view}{user}: {points_text(score.score)}; it took {host} for the host that came to us"
            yield from (f"  {_signed(points)} {name}" for name, points in score.rules)
        else:
            yield f"SpamAssassin without the path that it claims{user}: {points_text(score.score)}; it took {host}"
            yield from _compared(whole, score)


def _compared(whole: SpamScore, confirming: SpamScore) -> Iterator[str]:
    """Yield the rules in which two scans differ."""
    first, second = dict(whole.rules), dict(confirming.rules)
    for name in dict.fromkeys([*first, *second]):
        if first.get(name) != second.get(name):
            was = _signed(first[name]) if name in first else "nothing"
            now = _signed(second[name]) if name in second else "nothing"
            yield f"  {now} instead of {was}: {name}"
    if first == second:
        yield "  the same rules"


def _signed(points: str) -> str:
    return points if points.startswith("-") else f"+{points}"
