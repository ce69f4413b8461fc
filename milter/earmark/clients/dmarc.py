"""DMARC policy records as a client: from a DmarcRecords question to its Fact, by the DNS Tree Walk (RFC 9989)."""

from earmark.clients.dns.chains import Chains, ask_all, sum_up
from earmark.core.authentication.dmarc_record import Record, ends_walk, read_record, walked_names
from earmark.core.evidence import DmarcRecords, Fact, Status
from earmark.core.text import printable

_RECORD_AT_MOST = 1000
"""Characters of a record that are looked at; real ones have a few hundred."""


class Dmarc(Chains[DmarcRecords]):
    """Walks: all names at once, and the answer is what asking them one after the other would have given."""

    async def answer(self, question: DmarcRecords) -> Fact:
        """Walk. A look-up that failed makes the answer TEMPERROR, unless the walk ends before it."""
        names = walked_names(question.domain)
        answers = await ask_all(self._resolver, [(f"_dmarc.{name}", "TXT") for name in names])
        used, lines = list[Fact](), list[str]()
        for name, answer in zip(names, answers, strict=True):
            if answer is None or answer.status is Status.TEMPERROR:
                return _not_known(name, answer)
            used.append(answer)
            text, record = _record_at(answer)
            if record is not None:
                lines.append(f"{name} {text}")
                if ends_walk(record):
                    break
        if lines:
            return sum_up(Status.PASS, tuple(lines), used)
        return sum_up(Status.NONE, (), used, "no DMARC record")


def _not_known(name: str, answer: Fact | None) -> Fact:
    answer = answer or Fact(Status.TEMPERROR, why="no answer")
    return answer._replace(why=f"_dmarc.{printable(name, 255)}: {answer.why}")


def _record_at(answer: Fact) -> tuple[str, Record | None]:
    """Return the record at a name, as text and as read: None where there is none, or more than one valid one."""
    texts = [printable(text, _RECORD_AT_MOST) for text in answer.data]
    found = [(text, record) for text in texts if (record := read_record(text)) is not None]
    return found[0] if len(found) == 1 else ("", None)
