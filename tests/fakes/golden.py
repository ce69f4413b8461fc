"""The golden cases (tests/golden/README.md): where they are, and the policies and the world that each one states."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from earmark.config import compile_generation, read_files, shipped
from earmark.core.evidence import (
    Fact,
    HostAddress,
    MailHosts,
    Points,
    Question,
    ReverseName,
    Scanner,
    SpamScan,
    Status,
    Taking,
    VirusScan,
    question_text,
)
from earmark.core.policy import PolicySet
from earmark.core.record import Judged
from earmark.core.spam_score import SpamScore, spam_score_data
from earmark.engine import Engine
from fakes.world import Holding

HERE = Path(__file__).parents[1] / "golden"
CASES = sorted([*HERE.glob("cases/*.toml"), *HERE.glob("private/*.toml")])


@cache
def _shipped_files() -> dict[str, bytes]:
    return read_files(shipped())


@cache
def _policies(files: tuple[tuple[str, str], ...]) -> PolicySet:
    mine = {name: text.encode() for name, text in files}
    return compile_generation({**_shipped_files(), **mine}).policies


class World(Holding):
    """Answers from the case; late ones when they are let go."""

    def __init__(self, case: dict[str, Any]) -> None:
        super().__init__()
        self._client = case["client"]
        self._facts = {question: _words(fact) for question, fact in case.get("facts", {}).items()}
        self._asked = set[str]()
        self._late: list[tuple[Question, Fact, Callable[[Question, Fact], None]]] = []

    def ask(self, question: Question, deliver: Callable[[Question, Fact], None]) -> None:
        text = question_text(question)
        self._asked.add(text)
        words = self._facts.get(text)
        if words is None:
            deliver(question, _ordinary(question, self._client))
        elif words[0] == "late":
            self._late.append((question, _fact(words[1:]), deliver))
        else:
            deliver(question, _fact(words, of_scanner=isinstance(question, VirusScan | SpamScan)))

    def let_go(self) -> None:
        for question, fact, deliver in self._late:
            deliver(question, fact)

    def never_asked(self) -> set[str]:
        return set(self._facts) - self._asked


def _words(fact: str | list[str]) -> list[str]:
    """Return the words of a fact; data that hold blanks stand in a list."""
    return fact.split() if isinstance(fact, str) else fact


def _fact(words: list[str], *, of_scanner: bool = False) -> Fact:
    status = Status(words[0])
    if status is not Status.TEMPERROR:
        return Fact(status, tuple(words[1:]), 60)
    data = 0 if not of_scanner else 1 if words[1] == "limit" else 2
    return Fact(status, tuple(words[1 : 1 + data]), why=" ".join(words[1 + data :]))


def _ordinary(question: Question, client: str) -> Fact:
    match question:
        case ReverseName():
            return Fact(Status.PASS, ("mail.example.net",), 60)
        case HostAddress() | MailHosts():
            return Fact(Status.PASS, ("192.0.2.10",), 60)
        case Taking():
            return Fact(Status.PASS, ("1", "0"), 60)
        case SpamScan():
            return Fact(Status.PASS, spam_score_data(SpamScore(Points(0), client, ())))
        case Scanner():
            return Fact(Status.PASS)
        case _:
            return Fact(Status.NONE, (), 60)


def engine_of(case: dict[str, Any], world: World, told: list[Judged], at: float) -> Engine:
    """Return the engine under the case's policies, at its time of day or, where it states none, at `at`."""
    policies = _policies(tuple(sorted(case.get("files", {}).items())))
    now = case.get("at", at)
    return Engine(policies, world, "GEN", told.append, budget=0.01, clock=lambda: now, new_id=lambda: "0123456789AB")
