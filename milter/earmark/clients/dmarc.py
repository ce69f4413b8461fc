"""DMARC policy records as a client: from a DmarcRecords question to its Fact, by the DNS Tree Walk (RFC 9989).

All names of a walk are asked for side by side, and the answer is what asking them in turn would have given. Nothing is
kept here: the resolver remembers each name's records, and most walks have the upper names in common.
"""

from collections.abc import Callable, Sequence
from functools import partial

from earmark.clients.dns import Lookups
from earmark.core.dmarc_record import Record, ends_walk, read_record, walked_names
from earmark.core.evidence import DmarcRecords, Fact, Question, Status
from earmark.core.text import printable

Deliver = Callable[[Question, Fact], None]

_RECORD_AT_MOST = 1000
"""Characters of a record that are looked at; real ones have a few hundred."""


class Dmarc:
    """Walks."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    def ask(self, question: DmarcRecords, deliver: Deliver) -> None:
        """Begin to walk; `deliver` is called once, perhaps at once, and always within a look-up's time."""
        _Walk(question, deliver).begin(self._lookups)


class _Walk:
    """One walk: the answers so far."""

    __slots__ = ("_answers", "_deliver", "_names", "_question")

    def __init__(self, question: DmarcRecords, deliver: Deliver) -> None:
        self._question = question
        self._deliver: Deliver | None = deliver
        self._names = walked_names(question.domain)
        self._answers: list[Fact | None] = [None] * len(self._names)

    def begin(self, lookups: Lookups) -> None:
        for position, name in enumerate(self._names):
            if self._deliver is not None:
                lookups.lookup(f"_dmarc.{name}", "TXT", partial(self._take, position))

    def _take(self, position: int, answer: Fact) -> None:
        self._answers[position] = answer
        fact = self._outcome()
        if fact is not None and self._deliver is not None:
            deliver, self._deliver = self._deliver, None
            deliver(self._question, fact)

    def _outcome(self) -> Fact | None:
        """Return what the answers say, from the longest name on; None while one is missing on which it depends."""
        used, lines = list[Fact](), list[str]()
        for name, answer in zip(self._names, self._answers, strict=True):
            if answer is None:
                return None
            used.append(answer)
            if answer.status is Status.TEMPERROR:
                why = f"_dmarc.{printable(name, 255)}: {answer.why}"
                return Fact(Status.TEMPERROR, (), 0, answer.at, answer.source, why)
            text, record = _record_at(answer)
            if record is not None:
                lines.append(f"{name} {text}")
                if ends_walk(record):
                    break
        return _summed_up(tuple(lines), used)


def _record_at(answer: Fact) -> tuple[str, Record | None]:
    """Return the record at a name, as text and as read: None where there is none, or more than one valid one."""
    texts = [printable(text, _RECORD_AT_MOST) for text in answer.data]
    found = [(text, record) for text in texts if (record := read_record(text)) is not None]
    return found[0] if len(found) == 1 else ("", None)


def _summed_up(lines: tuple[str, ...], answers: Sequence[Fact]) -> Fact:
    """Return one Fact for several: good until the first of them ends, as old as the oldest."""
    at = min(answer.at for answer in answers)
    until = min(answer.at + answer.ttl for answer in answers)
    status = Status.PASS if lines else Status.NONE
    why = "" if lines else "no DMARC record"
    return Fact(status, lines, max(int(until - at), 0), at, answers[0].source, why)
