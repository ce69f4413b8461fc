"""Plays the dialogue files against the real front; their words are explained in dialogues/README.md."""

import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from earmark.wire import milter_mta as wire
from earmark.wire.milter import Actions, Command, Connect, Steps, packet
from fakes.dialogues import has_logged, has_told, matches, raw, read_steps
from fakes.milter_engines import Scenario, Serve
from fakes.mta import Mta, text_of

DIALOGUES = sorted(Path(__file__).with_name("dialogues").glob("*.txt"))
Act = Callable[[str], Awaitable[None]]
_BARE = {
    "data": Command.DATA, "eoh": Command.EOH, "eom": Command.EOM, "abort": Command.ABORT, "quit": Command.QUIT,
    "quit-nc": Command.QUIT_NC,
}  # fmt: skip


def _cases() -> Iterator[Any]:
    """Each file with each engine, but for those that only the native one plays."""
    for file in DIALOGUES:
        for engine in ("native", "libmilter"):
            if engine == "native" or "[native alone: " not in _head(file):
                yield pytest.param(engine, file, id=f"{engine}-{file.stem}")


def _head(file: Path) -> str:
    return file.read_text("utf-8").partition("\n")[0]


@pytest.mark.parametrize(("serve", "file"), list(_cases()), indirect=["serve"])
async def test_the_dialogue_goes_as_written(file: Path, serve: Serve) -> None:
    steps = read_steps(file)
    async with serve(steps) as scenario:
        dialogue = Dialogue(scenario, await Mta.open(scenario.path), waits="[libmilter waits]" in _head(file))
        try:
            for word, rest in steps:
                await dialogue.step(word, rest)
            await dialogue.end()
        finally:
            await dialogue.mta.vanish()


class Dialogue:
    """One file being played."""

    def __init__(self, scenario: Scenario, mta: Mta, *, waits: bool) -> None:
        """`waits`: where the native engine closes, libmilter does nothing."""
        self.scenario = scenario
        self.mta = mta
        self._waits = waits and scenario.engine == "libmilter"
        self._heard: list[str] = []
        self._never: list[str] = []
        self._told = 0

    async def step(self, word: str, rest: str) -> None:
        actions: dict[str, Act] = {
            "mta": self._mta, "us": self._us, "told": self._told_is, "log": self._logged, "asked": self._asked,
            "world": self._world, "front": self._front,
        }  # fmt: skip
        if word not in {"zone", "policy", "fact"}:
            await actions[word](rest)

    async def end(self) -> None:
        for pattern in self._never:
            assert not [line for line in self._heard if matches(line, pattern)], pattern
        assert self._told == len(self.scenario.told) or not self._told, "a verdict that the dialogue does not name"

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
            self.mta = await Mta.open(self.scenario.path)
        else:
            if self.mta.side.agreed is None and verb != "raw":
                await self.mta.negotiate()
            self.mta.send(self._packets(verb, raw(argument)))

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
        if rest == "closes" and self._waits:
            await self._mta("vanishes")
            await self._serves()
        elif rest == "closes":
            with pytest.raises((EOFError, ConnectionError)):
                raise AssertionError(f"said instead: {await self._hear()}")
        elif verb == "never":
            self._never.append(pattern)
        elif verb == "some":
            while not matches(line := await self._hear(), pattern):
                assert line.startswith(("insert ", "change ", "remove ", "edit ")), f"{line!r} before {pattern!r}"
        else:
            line = await self._hear()
            assert matches(line, rest), f"heard {line!r}, not {rest!r}"

    async def _serves(self) -> None:
        """See that another MTA is served."""
        mta = await Mta.open(self.scenario.path)
        await mta.greet()
        await mta.vanish()

    async def _hear(self) -> str:
        agreed = self.mta.side.agreed
        leading_space = agreed is None or bool(agreed.steps & Steps.HDR_LEADSPC)
        line = text_of(await self.mta.hear(), leading_space=leading_space)
        self._heard.append(line)
        if re.match(r"[45]\d\d ", line):
            self.scenario.refusals.append(line)
        return line

    async def _told_is(self, pattern: str) -> None:
        self._told += 1
        await has_told(self.scenario.told, self._told, pattern)

    async def _logged(self, pattern: str) -> None:
        if self.scenario.engine == "libmilter" and pattern.startswith("protocol_error"):
            return  # what breaks the protocol, libmilter tells to syslog or to nobody
        await has_logged(self.scenario.logged, pattern)

    async def _asked(self, rest: str) -> None:
        count, _, pattern = rest.partition(" ")
        assert len([text for text in await self.scenario.asked() if matches(text, pattern)]) == int(count)

    async def _world(self, rest: str) -> None:
        assert rest in {"answers", "has no space"}
        await self.scenario.world(rest)

    async def _front(self, rest: str) -> None:
        if rest == "drains":
            self.scenario.drain()


def _client(argument: bytes) -> Connect:
    name, _, where = argument.partition(b" ")
    if where in {b"unix", b"unknown"}:
        return Connect(name, "L" if where == b"unix" else "U", 0, b"/run/x" if where == b"unix" else b"")
    address = where.strip(b"[]")
    return Connect(name, "6" if b":" in address else "4", 2525, address)
