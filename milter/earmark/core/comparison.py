"""What a shadow policy would have changed, from records that hold what both sets of policies said (docs/shadow.md)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from earmark.core.evidence import question_from_parts
from earmark.core.policy import Mode
from earmark.core.record import Record
from earmark.core.report import facts_report
from earmark.core.verdict import Action

_SEVERITY = {action.word: int(action) for action in Action}
_PARTICIPLES = {"reject": "refused", "defer": "deferred", "quarantine": "quarantined", "mark": "marked"}
CHANGES = (
    *(f"newly {word}" for word in _PARTICIPLES.values()),
    *(f"no longer {word}" for word in _PARTICIPLES.values()),
)
"""All that can become of a recipient, in the order in which they are told."""

_SIDE = ("policy", "mode", "action", "would", "refuse_score", "refuse_at", "mark_score", "mark_at", "unknown")


class FindingChange(NamedTuple):
    """A finding that the two sets do not share, or weigh differently."""

    name: str
    before: float | None
    """Its score in points under the policies in force; None where they do not find it."""
    after: float | None
    """Likewise under the shadow."""
    why: str
    question: str | None
    evidence: dict[str, Any] | None
    """The fact that answered the question, as `core.report.fact_report` writes it."""


class Difference(NamedTuple):
    """One recipient whom the shadow would have treated otherwise."""

    change: str
    """One of CHANGES."""
    id: str
    """The verdict, for `explain`."""
    at: float
    """When MAIL was said, seconds since the epoch."""
    client: str
    sender: str
    recipient: str
    before: dict[str, Any]
    """What the policies in force said: part of what `core.report.recipient_report` writes."""
    after: dict[str, Any]
    """Likewise for the shadow."""
    findings: tuple[FindingChange, ...]


def differences(record: Record) -> Iterator[tuple[str, Difference | None]]:
    """Yield, for each recipient of a record with a shadow, its domain and what differs; None where nothing does."""
    for path, before, after in zip(record.forward_paths, record.recipients, record.shadow, strict=True):
        change = _change(before, after)
        yield path.domain, _difference(change, record, before, after) if change else None


def _change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return what becomes of a recipient. Where both policies only observe, it is what they would have done."""
    observed = before["mode"] == after["mode"] == Mode.OBSERVE
    was, would_be = (side["would" if observed else "action"] for side in (before, after))
    if _SEVERITY[would_be] > _SEVERITY[was]:
        return f"newly {_PARTICIPLES[would_be]}"
    return f"no longer {_PARTICIPLES[was]}" if was != would_be else ""


def _difference(change: str, record: Record, before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    facts = facts_report(
        {question_from_parts(parts): fact for parts, fact in (*record.shadow_facts, *record.facts)}, record.at
    )
    return Difference(
        change,
        record.id,
        record.at,
        record.client,
        record.sender.text,
        str(before["address"]),
        {key: before[key] for key in _SIDE},
        {key: after[key] for key in _SIDE},
        tuple(_finding_changes(before["findings"], after["findings"], facts)),
    )


def _finding_changes(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], facts: Mapping[str, dict[str, Any]]
) -> Iterator[FindingChange]:
    was, would_be = ({(found["name"], found["question"]): found for found in side} for side in (before, after))
    for key in dict.fromkeys((*was, *would_be)):
        scores = [side[key]["score"] if key in side else None for side in (was, would_be)]
        if scores[0] != scores[1]:
            name, question = key
            why = (would_be.get(key) or was[key])["why"]
            yield FindingChange(name, scores[0], scores[1], why, question, facts.get(question or ""))


@dataclass(slots=True)
class Domain:
    """What would have become of the recipients of one domain."""

    recipients: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Difference]] = field(default_factory=dict)
    """By change, as they came."""


class Comparison:
    """The differences over many records, which are to be added newest first.

    Only what the newest shadow judged is compared: who changes it wants to know what it does now.
    """

    def __init__(self, *, domain: str = "", examples: int = 3) -> None:
        """`domain` leaves out the recipients of all others; `examples` are kept of each change in each domain."""
        self.generation = self.shadow_generation = ""
        """The newest pair of generations; "" while no record had a shadow."""
        self.transactions = 0
        """Those that were compared."""
        self.of_earlier_shadows = 0
        """Transactions that were left out."""
        self.domains: dict[str, Domain] = {}
        self._domain = domain
        self._examples = examples

    @property
    def differs(self) -> bool:
        """Whether any recipient would have been treated otherwise."""
        return any(domain.changes for domain in self.domains.values())

    def add(self, record: Record) -> None:
        """Count one record; one without a shadow says nothing."""
        if not record.shadow_generation:
            return
        if not self.shadow_generation:
            self.generation, self.shadow_generation = record.generation, record.shadow_generation
        if record.shadow_generation != self.shadow_generation:
            self.of_earlier_shadows += 1
            return
        found = [pair for pair in differences(record) if not self._domain or pair[0] == self._domain]
        self.transactions += bool(found)
        for name, difference in found:
            self._count(self.domains.setdefault(name, Domain()), difference)

    def _count(self, domain: Domain, difference: Difference | None) -> None:
        domain.recipients += 1
        if difference is not None:
            domain.changes[difference.change] += 1
            kept = domain.examples.setdefault(difference.change, [])
            if len(kept) < self._examples:
                kept.append(difference)
