"""A world that is a literal: each question's answer by the question's text. What is not there has the answer "none"."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address

from earmark.content import Content
from earmark.core.effects import Effect
from earmark.core.evidence import Fact, Listing, Question, Status, question_text
from earmark.core.held import Held
from earmark.core.zones import read_answer
from fakes.policies import ALL_ZONES

Deliver = Callable[[Question, Fact], None]

LATER = Fact(Status.NEUTRAL, why="held back until `release`")
BROKEN = Fact(Status.FAIL, ("not an address",))
"""No client gives such a fact; reading it is a fault of ours, as a bug would be."""


class Holding:
    """What the engine tells the world, kept as it came."""

    def __init__(self) -> None:
        self.done: list[Effect] = []
        self.contents: dict[str, Content] = {}
        self.kept: list[tuple[Held, bytes]] = []
        self.cannot_keep = ""
        """Why nothing can be held; "" where it can."""

    def do(self, effect: Effect) -> None:
        self.done.append(effect)

    def hold(self, content_id: str, content: Content) -> None:
        self.contents[content_id] = content

    def drop(self, content_id: str) -> None:
        del self.contents[content_id]

    def keep(self, held: Held, content: Content, done: Callable[[str], None]) -> None:
        if not self.cannot_keep:
            self.kept.append((held, b"".join(content.chunks())))
        done(self.cannot_keep)


class FakeWorld(Holding):
    """Answers at once, but for what is LATER; remembers what it was asked."""

    def __init__(self, facts: Mapping[str, Fact] | None = None) -> None:
        super().__init__()
        self.facts = dict(facts or {})
        self.asked: list[str] = []
        self._held: list[tuple[Question, Deliver]] = []

    def ask(self, question: Question, deliver: Deliver) -> None:
        text = question_text(question)
        self.asked.append(text)
        fact = self.facts.get(text, Fact(Status.NONE, ttl=60, at=1e12, source="fake"))
        if fact is LATER:
            self._held.append((question, deliver))
        else:
            deliver(question, fact)

    def release(self, fact: Fact | None = None) -> None:
        """Answer all that was held back."""
        held, self._held = self._held, []
        for question, deliver in held:
            deliver(question, fact or Fact(Status.NONE, source="fake"))


_STATUS = {
    "LATER": LATER,
    "BROKEN": BROKEN,
    "TIMEOUT": Fact(Status.TEMPERROR, why="timeout"),
    "SERVFAIL": Fact(Status.TEMPERROR, why="SERVFAIL"),
    "NXDOMAIN": Fact(Status.NONE, why="NXDOMAIN"),
}


def zone_fact(name: str, rtype: str, rdata: str = "") -> tuple[str, Fact]:
    """Return question text and fact for `7.2.0.192.zen.example A 127.0.0.4` or `7.2.0.192.zen.example TIMEOUT`."""
    zone = next(zone for zone in ALL_ZONES if name.endswith("." + zone.name))
    labels = name.removesuffix("." + zone.name).split(".")
    backwards = ".".join(reversed(labels)) if len(labels) == 4 else _from_nibbles(labels)
    question = Listing(zone.name, str(ip_address(backwards)))
    if rtype in _STATUS:
        return question_text(question), _STATUS[rtype]
    status, codes, why = read_answer(zone, rdata.split())
    return question_text(question), Fact(status, codes, ttl=60, at=1e12, source="fake", why=why)


def _from_nibbles(labels: list[str]) -> str:
    digits = "".join(reversed(labels))
    return ":".join(digits[start : start + 4] for start in range(0, 32, 4))
