"""Runs the golden cases; see README.md beside this file."""

import asyncio
import os
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from earmark.core.mail import Client, Header, parse_path
from earmark.core.record import Judged
from earmark.wire.message import split_header
from fakes.golden import CASES, World, engine_of, told_lines


async def judge(case: dict[str, Any]) -> tuple[list[str], set[str]]:
    """Return the lines that tell what was decided, and the facts that nobody asked for."""
    told = list[Judged]()
    world = World(case)
    session = engine_of(case, world, told.append, time.time()).session()
    session.connect(Client(case["client"]))
    if "helo" in case:
        session.helo(case["helo"].encode())
    session.mail(parse_path(case.get("from", "<a@example.net>").encode()), user=case.get("user", ""))
    for recipient in case.get("to", ["<bob@example.org>"]):
        decided: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        session.rcpt(parse_path(recipient.encode()), decided.set_result)
        await decided
    world.release()
    message = case.get("message", "Subject: Hello\n\n").encode()
    fields, body = split_header(message)
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    session.header([Header(*field) for field in fields])
    session.body(message[body:])
    session.end_of_message(ended.set_result)
    await ended
    return told_lines(told[0], world), world.never_asked()


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
