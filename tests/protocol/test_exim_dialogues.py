"""Plays the dialogue files of the content door against the real front; see exim_dialogues/README.md."""

import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.dialogues import Steps, facts_of, has_logged, has_told, matches, options_of, policies_of, raw, read_steps
from fakes.exim_front import Report, RunningEximFront, asked, exim_front, read_as_exim_does, received
from fakes.policy_front import Mta
from fakes.waiting import until
from fakes.world import FakeWorld

DIALOGUES = sorted(Path(__file__).with_name("exim_dialogues").glob("*.txt"))
MANY = ",".join([*(f"b{number}@example.org" for number in range(499)), "eve@example.com"])
Act = Callable[[str], Awaitable[None]]


@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
async def test_the_content_dialogue_goes_as_written(file: Path) -> None:
    await _play(read_steps(file))


async def _play(steps: Steps) -> None:
    options, policies = options_of(steps), policies_of(steps)
    async with exim_front(
        FakeWorld(facts_of(steps)),
        default=policies.pop("default", None),
        domains=policies,
        budget=float(options.get("budget", 5)),
        idle=float(options.get("idle", 300)),
    ) as running:
        dialogue = Dialogue(running, await Mta.open(running.path))
        try:
            for word, rest in steps:
                await dialogue.step(word, rest)
            assert dialogue.told in {0, len(running.told)}, "a verdict that the dialogue does not name"
        finally:
            await dialogue.mta.vanish()


class Dialogue:
    """One file being played."""

    def __init__(self, running: RunningEximFront, mta: Mta) -> None:
        self.running = running
        self.mta = mta
        self.told = 0
        self._differing: dict[str, Any] = {}
        self._fields: list[tuple[bytes, bytes]] = []
        self._body = b"Hello\r\n"
        self._report: Report

    async def step(self, word: str, rest: str) -> None:
        actions: dict[str, Act] = {
            "exim": self._exim, "field": self._field, "body": self._has_body, "mta": self._mta, "us": self._us,
            "told": self._told_is, "log": self._logged, "asked": self._asked, "world": self._world,
            "front": self._front,
        }  # fmt: skip
        if word not in {"zone", "policy", "fact"}:
            await actions[word](rest)

    async def _exim(self, rest: str) -> None:
        pairs = dict(word.split("=", 1) for word in shlex.split(rest))
        stamp = [raw(value) for key, value in pairs.items() if key == "stamp"]
        protocol = [raw(value) for key, value in pairs.items() if key == "protocol"]
        self._differing = {
            key: raw(value) for key, value in pairs.items() if key not in {"recipients", "stamp", "protocol", "prdr"}
        }
        if "recipients" in pairs:
            named = pairs["recipients"].replace("MANY", MANY)
            self._differing["recipients"] = tuple(raw(value) for value in named.split(","))
        if stamp or protocol:
            self._differing["stamp"] = stamp[0] if stamp else received(protocol=protocol[0])
        self._differing["prdr"] = "prdr" in pairs
        self._fields = []

    async def _field(self, rest: str) -> None:
        name, _, value = raw(rest).partition(b":")
        self._fields.append((name, value))

    async def _has_body(self, rest: str) -> None:
        self._body = raw(rest)

    async def _mta(self, rest: str) -> None:
        verb, _, argument = rest.partition(" ")
        said = asked(self._fields or ((b"Subject", b" Hello"),), self._body, **self._differing)
        if verb == "sends":
            self.mta.send(said)
        elif verb == "sends-all-but":
            self.mta.send(said[: -int(argument)])
        elif verb == "vanishes":
            await self.mta.vanish()
        elif verb == "returns":
            await self.mta.vanish()
            self.mta = await Mta.open(self.running.path)
        elif verb == "closes-its-side":
            self.mta.writer.write_eof()
        else:
            assert verb == "raw"
            self.mta.send(raw(argument))

    async def _us(self, rest: str) -> None:
        verb, _, pattern = rest.partition(" ")
        if verb == "closes":
            heard = await self.mta.hear_all()
            assert not heard, f"said instead: {heard!r}"
        elif verb == "reports":
            self._report = read_as_exim_does(await self.mta.hear_all())
            reply = self._report.value("reply")
            refused = [re.match(r"(?:defer|reject) \S+ (.+)", line) for line in self._report.recipients]
            self.running.refusals += [text for text in (reply, *(found and found[1] for found in refused)) if text]
            told = f"{self._report.action} {reply}".strip()
            assert matches(told, pattern), f"heard {told!r}, not {pattern!r}"
        else:
            self._has_in_report(verb, pattern)

    def _has_in_report(self, verb: str, pattern: str) -> None:
        added = [field.decode("utf-8", "backslashreplace").replace("\n\t", " | ") for field in self._report.added]
        said = {"adds": added, "removes": self._report.removed, "recipient": self._report.recipients}[verb]
        said += ["cut " + self._report.value("cut")]
        if pattern == "nothing":
            assert len(said) == 1, said
        else:
            assert any(matches(line, pattern) for line in said), f"no {pattern!r} in {said!r}"

    async def _told_is(self, pattern: str) -> None:
        self.told += 1
        await has_told(self.running.told, self.told, pattern)

    async def _logged(self, pattern: str) -> None:
        await has_logged(self.running.events.lines, pattern)

    async def _asked(self, rest: str) -> None:
        count, _, pattern = rest.partition(" ")
        questions = self.running.world.asked
        await until(lambda: len([text for text in questions if matches(text, pattern)]) == int(count))

    async def _world(self, rest: str) -> None:
        assert rest in {"answers", "has no space"}
        if rest == "answers":
            self.running.world.release()
        else:
            self.running.world.cannot_keep = "no space"

    async def _front(self, rest: str) -> None:
        front = self.running.front
        if rest == "drains":
            front.drain()
        elif rest == "waits for nobody":
            await until(lambda: not any(connection.busy for connection in front.open))
        elif rest == "waits for the engine":
            await until(lambda: any(connection.busy for connection in front.open))
