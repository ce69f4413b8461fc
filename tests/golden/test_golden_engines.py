"""The golden cases as an MTA plays them to each milter engine: the replies and the edits are those of `.expected`."""

import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from earmark.wire.message import body_lines, split_header
from earmark.wire.milter import CHUNK, Command, Connect, packet
from earmark.wire.milter_mta import HeaderEdit, OtherEdit, Response, body, connect, helo, macros, mail, rcpt
from fakes.golden import CASES, HERE, read
from fakes.milter_engines import Scenario, Serve
from fakes.mta import Mta, text_of
from fakes.waiting import until

_RECIPIENT = re.compile(r"\S.*: (\w+)(?: \(would \w+\))?; refuse ")
_REPLY = re.compile(r"    ([45]\d\d \d\.\d\.\d .*)")
_MESSAGE = re.compile(r"message: (\w+)")
_EDIT = re.compile(r"    (insert|remove|change|add-recipient|remove-recipient|hold:?) ")
_WHOLE = "the whole session, and all that is told of it"
_REFUSED = "up to RCPT, where all are refused: no MTA has a message then, so what it would get is not asked"


class Expected(NamedTuple):
    """What a `.expected` says that an MTA hears."""

    text: str
    replies: list[str]
    """By recipient; "continue" for none."""
    action: str
    edits: list[str]

    @property
    def carried(self) -> str:
        """What of the case a milter session carries."""
        return _REFUSED if self.action == "accept" and "continue" not in self.replies else _WHOLE


class Heard(NamedTuple):
    """What the MTA hears."""

    replies: list[str]
    edits: list[str]
    end: str
    """The answer to end of message; "" where there is no message."""


def expected_of(path: Path) -> Expected:
    text = path.with_suffix(".expected").read_text()
    replies, edits, action = list[str](), list[str](), ""
    for line in text.splitlines():
        if _RECIPIENT.match(line):
            replies.append("continue")
        elif found := _MESSAGE.match(line):
            action = found[1]
        elif action and _EDIT.match(line):
            edits.append(line[4:])
        elif not action and (found := _REPLY.match(line)):
            replies[-1] = found[1]
    return Expected(text, replies, action, edits)


def edit_text(response: Response) -> str:
    """Return an edit as `.expected` has it."""
    match response:
        case HeaderEdit("change", at, name, b""):
            return f"remove {name.decode()} number {at}"
        case HeaderEdit("change", at, name, value):
            return f"change {name.decode()} number {at}:{value.decode()}".replace("\n", "\\n")
        case HeaderEdit("insert", 0, name, value):
            return f"insert {name.decode()}:{value.decode()}".replace("\n", "\\n")
        case OtherEdit(letter, payload):
            kind = {"+": "add-recipient", "-": "remove-recipient", "q": "hold:"}[letter]
            return f"{kind} {payload.rstrip(bytes(1)).decode().strip('<>')}"
        case _:
            raise AssertionError(f"no edit of ours: {response}")


async def play(case: dict[str, Any], scenario: Scenario) -> Heard:
    """Carry a case's session as an MTA does, to the end of the connection."""
    mta = await Mta.open(scenario.path)
    await mta.negotiate()
    client = case["client"].encode()
    await mta.say(Command.CONNECT, connect(Connect(b"unknown", "6" if b":" in client else "4", 0, client)))
    if "helo" in case:
        await mta.say(Command.HELO, helo(case["helo"].encode()))
    mta.send(macros(Command.MAIL, {b"auth_authen": case["user"].encode()} if "user" in case else {}))
    assert await mta.say(Command.MAIL, mail(case.get("from", "<a@example.net>").encode())) == "continue"
    paths = case.get("to", ["<bob@example.org>"])
    heard = Heard([await mta.say(Command.RCPT, rcpt(path.encode())) for path in paths], [], "")
    scenario.refusals += [reply for reply in heard.replies if reply != "continue"]
    if "continue" in heard.replies:
        await scenario.world("answers")
        heard = await _message(mta, case.get("message", "Subject: Hello\n\n").encode(), heard)
    await mta.quit()
    return heard


async def _message(mta: Mta, message: bytes, heard: Heard) -> Heard:
    fields, offset = split_header(message)
    lines = body_lines(message[offset:])
    mta.send(packet(Command.DATA))
    for name, value in fields:
        mta.send(mta.side.header(name, value))
    mta.send(packet(Command.EOH))
    for start in range(0, len(lines), CHUNK):
        mta.send(body(lines[start : start + CHUNK]))
    mta.send(packet(Command.EOM))
    while isinstance(response := await mta.hear(), HeaderEdit | OtherEdit):
        heard.edits.append(edit_text(response))
    return heard._replace(end=text_of(response))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
async def test_an_mta_hears_of_a_case_what_is_written(path: Path, serve: Serve) -> None:
    expected = expected_of(path)
    async with serve([("golden", path.stem)]) as scenario:
        heard = await play(read(path), scenario)
        await until(lambda: bool(scenario.told))
        (told,) = scenario.told
        assert not scenario.logged
    if expected.carried is _WHOLE:
        assert told == expected.text
        assert heard.edits == expected.edits
        assert_answered(heard, expected)
    else:
        assert heard == Heard(expected.replies, [], "")
        assert str(told).startswith(expected.text.partition("message: ")[0])


def assert_answered(heard: Heard, expected: Expected) -> None:
    """Assert that each recipient was answered as written, at RCPT or with the message."""
    if expected.action in {"reject", "defer"}:
        assert heard.end in expected.replies
    elif expected.action == "quarantine" and not any(edit.startswith("hold:") for edit in expected.edits):
        assert heard.end == "discard"
    else:
        assert heard.end == "continue"
    for reply, wanted in zip(heard.replies, expected.replies, strict=True):
        assert wanted == (heard.end if reply == "continue" and expected.action in {"reject", "defer"} else reply)


def test_what_of_the_cases_a_milter_session_carries() -> None:
    tracked = [path for path in CASES if path.parent == HERE / "cases"]
    assert Counter(expected_of(path).carried for path in tracked) == {_WHOLE: 117, _REFUSED: 18}
