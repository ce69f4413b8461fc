"""The golden cases (tests/golden/README.md): where they are, and the policies and the world that each one states."""

import tomllib
from collections.abc import Callable, Iterator
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
from earmark.core.verdict import AddRecipient, ChangeHeader, Edit, Hold, InsertHeader, RemoveHeader, RemoveRecipient
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

    def release(self) -> None:
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


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def case_of(words: list[tuple[str, str]]) -> dict[str, Any] | None:
    """Return the golden case that the word `golden NAME` makes a scenario of; None where it has words of its own."""
    name = dict(words).get("golden")
    return read(next(path for path in CASES if path.stem == name)) if name else None


def engine_of(case: dict[str, Any], world: World, tell: Callable[[Judged], None], at: float) -> Engine:
    """Return the engine under the case's policies, at its time of day or, where it states none, at `at`."""
    policies = _policies(tuple(sorted(case.get("files", {}).items())))
    now = case.get("at", at)
    return Engine(policies, world, "GEN", tell, budget=0.01, clock=lambda: now, new_id=lambda: "0123456789AB")


def told_lines(judged: Judged, world: World) -> list[str]:
    """Return what a case's `.expected` says of it."""
    return [*_decided(judged), *_held(world)]


def golden_text(judged: Judged, world: World) -> str:
    """Return the text of a `.expected`, and which facts of the case nobody has asked for."""
    never = (f"nobody asked: {question}" for question in sorted(world.never_asked()))
    return "".join(f"{line}\n" for line in (*told_lines(judged, world), *never))


def _decided(judged: Judged) -> Iterator[str]:
    if judged.txn.envelope.exempt or judged.txn.envelope.relay:
        yield judged.txn.envelope.exempt or judged.txn.envelope.relay
    for address, policy, outcome in judged.recipients:
        held_back = f" (would {outcome.would.word})" if outcome.would is not outcome.action else ""
        scores = f"refuse {outcome.refuse_score / 100:.2f} of {policy.refuse_at / 100:.2f}"
        scores += f", mark {outcome.mark_score / 100:.2f} of {policy.mark_at / 100:.2f}"
        yield f"{address.text}: {outcome.action.word}{held_back}; {scores}"
        for found in outcome.findings:
            yield f"    {found.name} {found.score / 100:.2f} {found.origin}{' late' if found.late else ''}: {found.why}"
        yield from (f"    unknown: {question_text(question)}" for question in outcome.unknown)
        if outcome.reply:
            yield f"    {outcome.reply}"
    yield f"message: {judged.verdict.action.word}"
    yield from (f"    {_edit_text(edit)}" for edit in judged.verdict.edits)


def _held(world: World) -> Iterator[str]:
    for held, _ in world.kept:
        for recipient in held.recipients:
            infected = ", infected" if recipient.infected else ""
            yield f"held for {recipient.address} (would {recipient.would}{infected}), {recipient.days} days"
            yield from (f"    {why}" for why in recipient.why)


def _edit_text(edit: Edit) -> str:
    match edit:
        case RemoveHeader():
            return f"remove {edit.name} number {edit.nth}"
        case InsertHeader():
            return f"insert {edit.name}: {edit.value}".replace("\n", "\\n")
        case ChangeHeader():
            return f"change {edit.name} number {edit.nth}: {edit.value}".replace("\n", "\\n")
        case AddRecipient() | RemoveRecipient():
            return f"{edit.kind} {edit.address}"
        case Hold():
            return f"hold: {edit.why}"
