"""Plays the dialogue files against the real front; their words are explained in dialogues/README.md."""

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from earmark.core.checks.authentication import AuthenticationKnobs
from earmark.core.checks.content import ContentKnobs, HeldBy, MixedMarks, MixedRecipients, OnVirus, Scanned
from earmark.core.evidence import Fact, Status
from earmark.core.policy import Mode, OnError
from earmark.core.record import Judged
from earmark.wire import milter_mta as wire
from earmark.wire.milter import Actions, Command, Connect, Steps, packet
from fakes.milter_front import RunningFront, lists_only, milter_front
from fakes.mta import Mta, text_of
from fakes.world import FakeWorld, zone_fact

DIALOGUES = sorted(Path(__file__).with_name("dialogues").glob("*.txt"))
_BARE = {
    "data": Command.DATA, "eoh": Command.EOH, "eom": Command.EOM, "abort": Command.ABORT, "quit": Command.QUIT,
    "quit-nc": Command.QUIT_NC,
}  # fmt: skip
_SETTINGS: dict[str, Callable[[str], Any]] = {
    "mode": Mode, "on_error": OnError, "refuse_at": int, "mark_at": int, "subject_tag": str, "help_url": str,
}  # fmt: skip
_CONTENT: dict[str, Callable[[str], Any]] = {
    "clamav": Scanned, "virus": OnVirus, "quarantine": HeldBy, "mixed_marks": MixedMarks,
    "mixed_recipients": MixedRecipients,
}  # fmt: skip


@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
async def test_the_dialogue_goes_as_written(file: Path) -> None:
    lines = [line.rstrip() for line in file.read_text("utf-8").splitlines()]  # noqa: ASYNC240 - before anything runs
    assert lines[0].startswith("# "), "a dialogue begins with its sentence"
    steps = [re.split(r"\s+", line, maxsplit=1) for line in lines if line and not line.startswith("#")]
    await _play([(step[0], step[1] if len(step) > 1 else "") for step in steps])


async def _play(steps: list[tuple[str, str]]) -> None:
    facts = dict(zone_fact(*shlex.split(rest)) for word, rest in steps if word == "zone")
    facts |= dict(_fact(rest) for word, rest in steps if word == "fact")
    policies = dict(_policy(rest) for word, rest in steps if word == "policy")
    options = dict(part.split("=") for word, rest in steps if word == "front" for part in rest.split() if "=" in part)
    verifying = AuthenticationKnobs(verify=options.get("reads_body") == "yes")
    async with milter_front(
        FakeWorld(facts),
        default=policies.pop("default", lists_only(authentication=verifying)),
        domains=policies,
        budget=float(options.get("budget", 5)),
    ) as running:
        dialogue = Dialogue(running, await Mta.open(running.path))
        try:
            for word, rest in steps:
                await dialogue.step(word, rest)
            await dialogue.end()
        finally:
            await dialogue.mta.vanish()


def _policy(rest: str) -> tuple[str, Any]:
    name, *settings = shlex.split(rest)
    pairs = [setting.split("=", 1) for setting in settings]
    content = ContentKnobs(**{key: _CONTENT[key](value) for key, value in pairs if key in _CONTENT})
    return name, lists_only(name, content=content, **{k: _SETTINGS[k](v) for k, v in pairs if k in _SETTINGS})


def _fact(rest: str) -> tuple[str, Fact]:
    question, _, answer = rest.partition(" = ")
    status, *data = answer.split()
    return question, Fact(Status(status), tuple(data))


class Dialogue:
    """One file being played."""

    def __init__(self, running: RunningFront, mta: Mta) -> None:
        self.running = running
        self.mta = mta
        self._heard: list[str] = []
        self._never: list[str] = []
        self._told = 0

    async def step(self, word: str, rest: str) -> None:
        actions: dict[str, Callable[[str], Awaitable[None]]] = {
            "mta": self._mta, "us": self._us, "told": self._told_is, "log": self._logged, "asked": self._asked,
            "world": self._world, "front": self._front,
        }  # fmt: skip
        if word not in {"zone", "policy", "fact"}:
            await actions[word](rest)

    async def end(self) -> None:
        for pattern in self._never:
            assert not [line for line in self._heard if _matches(line, pattern)], pattern
        assert self._told == len(self.running.told) or not self._told, "a verdict that the dialogue does not name"

    async def _mta(self, rest: str) -> None:
        verb, _, argument = rest.partition(" ")
        if verb == "negotiate":
            values = {key: int(value, 0) for key, value in (pair.split("=") for pair in argument.split())}
            self.mta.side = wire.MtaSide(
                values.get("version", 6),
                Actions(values.get("actions", wire.ALL_ACTIONS)),
                Steps(values.get("steps", wire.ALL_STEPS)),
            )
            self.mta.send(self.mta.side.negotiate())
        elif verb == "vanishes":
            await self.mta.vanish()
        elif verb == "returns":
            self.mta = await Mta.open(self.running.path)
        else:
            if self.mta.side.agreed is None and verb != "raw":
                await self.mta.negotiate()
            self.mta.send(self._packets(verb, _raw(argument)))

    def _packets(self, verb: str, argument: bytes) -> bytes:
        if verb in _BARE:
            return packet(_BARE[verb])
        simple: dict[str, Callable[[bytes], bytes]] = {
            "raw": lambda digits: bytes.fromhex(digits.decode()),
            "packet": lambda packed: packet(packed[0], packed[2:]),
            "connect": lambda client: wire.connect(_client(client)),
            "helo": wire.helo,
            "body": wire.body,
        }
        if verb in simple:
            return simple[verb](argument)
        if verb == "macros":
            command, *pairs = argument.decode("latin-1").split(" ")
            values = dict(pair.encode("latin-1").split(b"=", 1) for pair in pairs)
            return wire.macros(Command[command.upper()], values)
        if verb in {"mail", "rcpt"}:
            path, *parameters = argument.split(b" ESMTP ")
            return {"mail": wire.mail, "rcpt": wire.rcpt}[verb](path, parameters)
        count, field = argument.split(b" ", 1) if verb == "headers" else (b"1", argument)
        name, _, value = field.partition(b":")
        return self.mta.side.header(name, value) * int(count)

    async def _us(self, rest: str) -> None:
        verb, _, pattern = rest.partition(" ")
        if rest == "closes":
            with pytest.raises((EOFError, ConnectionError)):
                raise AssertionError(f"said instead: {await self._hear()}")
        elif verb == "never":
            self._never.append(pattern)
        elif verb == "some":
            while not _matches(line := await self._hear(), pattern):
                assert line.startswith(("insert ", "change ", "remove ", "edit ")), f"{line!r} before {pattern!r}"
        else:
            line = await self._hear()
            assert _matches(line, rest), f"heard {line!r}, not {rest!r}"

    async def _hear(self) -> str:
        agreed = self.mta.side.agreed
        leading_space = agreed is None or bool(agreed.steps & Steps.HDR_LEADSPC)
        line = text_of(await self.mta.hear(), leading_space=leading_space)
        self._heard.append(line)
        if re.match(r"[45]\d\d ", line):
            self.running.refusals.append(line)
        return line

    async def _told_is(self, pattern: str) -> None:
        self._told += 1
        await _until(lambda: len(self.running.told) >= self._told)
        line = _verdict_line(self.running.told[self._told - 1])
        assert _matches(line, pattern), f"told {line!r}, not {pattern!r}"

    async def _logged(self, pattern: str) -> None:
        lines = self.running.events.lines
        if pattern == "nothing":
            assert not lines
        else:
            await _until(lambda: any(_matches(line, pattern) for line in lines))

    async def _asked(self, rest: str) -> None:
        count, _, pattern = rest.partition(" ")
        assert len([text for text in self.running.world.asked if _matches(text, pattern)]) == int(count)

    async def _world(self, rest: str) -> None:
        assert rest in {"answers", "has no space"}
        if rest == "answers":
            self.running.world.release()
        else:
            self.running.world.cannot_keep = "no space"

    async def _front(self, rest: str) -> None:
        if rest == "drains":
            self.running.front.drain()


def _client(argument: bytes) -> Connect:
    name, _, where = argument.partition(b" ")
    if where in {b"unix", b"unknown"}:
        return Connect(name, "L" if where == b"unix" else "U", 0, b"/run/x" if where == b"unix" else b"")
    address = where.strip(b"[]")
    return Connect(name, "6" if b":" in address else "4", 2525, address)


def _verdict_line(judged: Judged) -> str:
    recipients = ",".join(f"{address.text}={outcome.action.word}" for address, _, outcome in judged.recipients)
    named = {"user": judged.txn.envelope.user, "queue": judged.queue_id, "exempt": judged.txn.envelope.exempt}
    extras = [f"{key}={value}" for key, value in named.items() if value]
    if judged.txn.message.truncated:
        extras.append("truncated")
    return " ".join([judged.ended, judged.action.word, recipients, *extras])


def _raw(argument: str) -> bytes:
    return argument.encode().decode("unicode_escape").encode("latin-1")


def _matches(line: str, pattern: str) -> bool:
    return fnmatchcase(line, pattern.replace("[", "[[]"))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for knows nothing of tests
            await asyncio.sleep(0.005)
