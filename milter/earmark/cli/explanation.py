"""Why a verdict is what it is, as one plain value: `explain --json` prints it, `render` tells it (docs/schemas.md)."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from earmark.core.evidence import question_from_parts
from earmark.core.mail import Hop
from earmark.core.record import Record
from earmark.core.report import edits_report, facts_report, hop_report

SCHEMA = 1


def explanation(record: Record, hops: Iterable[Hop], rederived: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the explanation of a record. `rederived` says how judging it again came out; None where it is fresh."""
    facts = facts_report({question_from_parts(parts): fact for parts, fact in record.facts}, record.at)
    recipients = [_recipient(report, facts) for report in record.recipients]
    return {
        "v": SCHEMA,
        "id": record.id,
        "generation": record.generation,
        "engine": record.engine,
        "at": datetime.fromtimestamp(record.at, UTC).isoformat(timespec="seconds"),
        "ended": record.ended,
        "client": record.client,
        "helo": record.helo,
        "sender": record.sender.text,
        "user": record.user,
        "queue_id": record.queue_id,
        "message_id": record.message_id,
        "exempt": record.exempt,
        "relay": record.relay,
        "action": record.action,
        "recipients": recipients,
        "unknown": list(dict.fromkeys(question for each in recipients for question in each["unknown"])),
        "facts": facts,
        "received": [hop_report(hop) for hop in hops],
        "received_cut": record.cut,
        "edits": edits_report(record.edits),
        "rederived": rederived,
        "shadow": None,
    }


def _recipient(report: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    findings = [{**found, "evidence": facts.get(found["question"])} for found in report["findings"]]
    return {**report, "findings": findings, "flips": list(flips(report))}


def flips(report: dict[str, Any]) -> Iterator[str]:
    """Yield what would have made this recipient's outcome another one, the nearest things first."""
    if report["would"] != report["action"]:
        yield f"mode = enforce would {report['would']}" if report["would"] != "mark" else "mode = mark would mark"
    match report["action"]:
        case "reject" if report["refuse_score"] < report["refuse_at"]:  # after DATA
            yield 'would not be refused with dmarc = "weigh"'
        case "reject":
            refusing = [found for found in report["findings"] if found["origin"] in ("connection", "envelope")]
            yield from _without(refusing, report["refuse_score"] - report["refuse_at"], "refused")
        case "defer":
            yield f"would not be deferred {_deferring(report)}"
        case "mark":
            if report["mark_score"] >= report["mark_at"]:
                yield from _without(report["findings"], report["mark_score"] - report["mark_at"], "marked")
        case _:
            yield from _away(report)


def _deferring(report: dict[str, Any]) -> str:
    """Return what would have let in who was told to come back."""
    asking = ((found["name"], found.get("defer_at")) for found in report["findings"])
    names = [name for name, defer_at in asking if defer_at is not None and defer_at <= report["refuse_score"]]
    if names:
        return "without " + " and ".join(names)
    return "with an answer from " + ", ".join(report["unknown"])


def _away(report: dict[str, Any]) -> Iterator[str]:
    """Yield how far an accepted mail is from another outcome; nothing where only the mode keeps it."""
    to_mark, to_refuse = report["mark_at"] - report["mark_score"], report["refuse_at"] - report["refuse_score"]
    if to_mark > 0:
        yield f"would be marked with {to_mark:.2f} points more"
    if to_refuse > 0:
        yield f"would be refused with {to_refuse:.2f} points more on the connection or the envelope, known at RCPT"


def _without(findings: list[dict[str, Any]], above: float, word: str) -> Iterator[str]:
    """Yield the findings that decide alone; where none does, how much less it takes."""
    decisive = [found for found in findings if round(found["score"] - above, 2) > 0]
    for found in decisive:
        yield f"would not be {word} without {found['name']} ({found['score']:.2f})"
    if not decisive:
        yield f"would not be {word} with {above + 0.01:.2f} points less"
