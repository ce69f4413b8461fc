"""Runs the golden cases; see README.md beside this file."""

import asyncio
import os
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from earmark.core.evidence import question_text
from earmark.core.mail import Client, Header, parse_path
from earmark.core.record import Judged
from earmark.core.verdict import AddRecipient, ChangeHeader, Edit, Hold, InsertHeader, RemoveHeader, RemoveRecipient
from earmark.wire.message import split_header
from fakes.golden import CASES, World, engine_of


async def judge(case: dict[str, Any]) -> tuple[list[str], set[str]]:
    """Return the lines that tell what was decided, and the facts that nobody asked for."""
    told: list[Judged] = []
    world = World(case)
    session = engine_of(case, world, told, time.time()).session()
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
