"""Why a verdict is what it is, as one plain value: `explain --json` prints it, `render` tells it (docs/schemas.md)."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from earmark.cli.flips import flips
from earmark.core.evidence import question_from_parts
from earmark.core.mail import Hop
from earmark.core.record import Record
from earmark.core.report import edits_report, facts_report, hop_report

SCHEMA = 1


def explanation(record: Record, hops: Iterable[Hop], rederived: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the explanation of a record. `rederived` says how judging it again came out; None where it is fresh."""
    facts = facts_report({question_from_parts(parts): fact for parts, fact in record.facts}, record.at)
    recipients = [_recipient(report, facts, record.relay) for report in record.recipients]
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


def _recipient(report: dict[str, Any], facts: dict[str, Any], relay: str) -> dict[str, Any]:
    findings = [{**found, "evidence": facts.get(found["question"])} for found in report["findings"]]
    return {**report, "findings": findings, "flips": list(flips(report, relay))}
