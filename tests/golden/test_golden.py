"""Runs the golden cases; see README.md beside this file."""

import asyncio
import os
import time
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

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
from earmark.core.mail import Client, Header, parse_path
from earmark.core.policy import PolicySet
from earmark.core.record import Judged
from earmark.core.spam_score import SpamScore, spam_score_data
from earmark.core.verdict import AddRecipient, ChangeHeader, Edit, Hold, InsertHeader, RemoveHeader, RemoveRecipient
from earmark.engine import Engine
from earmark.wire.message import split_header
from fakes.world import Holding

HERE = Path(__file__).parent
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


async def judge(case: dict[str, Any]) -> tuple[list[str], set[str]]:
    """Return the lines that tell what was decided, and the facts that nobody asked for."""
    told: list[Judged] = []
    world = World(case)
    policies = _policies(tuple(sorted(case.get("files", {}).items())))
    at = case.get("at", time.time())
    engine = Engine(policies, world, "GEN", told.append, budget=0.01, clock=lambda: at, new_id=lambda: "0123456789AB")
    session = engine.session()
    session.connect(Client(case["client"]))
    if "helo" in case:
        session.helo(case["helo"].encode())
    session.mail(parse_path(case.get("from", "<a@example.net>").encode()), user=case.get("user", ""))
    for recipient in case.get("to", ["<bob@example.org>"]):
        decided: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        session.rcpt(parse_path(recipient.encode()), decided.set_result)
        await decided
    world.let_go()
    message = case.get("message", "Subject: Hello\n\n").encode()
    fields, body = split_header(message)
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    session.header([Header(*field) for field in fields])
    session.body(message[body:])
    session.end_of_message(ended.set_result)
    await ended
    return [*_tell(told[0]), *_tell_held(world)], world.never_asked()


def _tell(judged: Judged) -> Iterator[str]:
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


def _tell_held(world: World) -> Iterator[str]:
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


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_is_decided_as_written(path: Path) -> None:
    lines, never_asked = asyncio.run(judge(tomllib.loads(path.read_text())))
    assert never_asked == set(), "the case gives facts that nobody asks for"
    expected = path.with_suffix(".expected")
    text = "\n".join(lines) + "\n"
    if os.environ.get("EARMARK_UPDATE"):
        expected.write_text(text)
    assert text == expected.read_text()


def test_there_are_cases() -> None:
    assert len(CASES) >= 25
