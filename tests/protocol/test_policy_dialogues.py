"""Plays the dialogue files of the policy door against the real front; see policy_dialogues/README.md."""

import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fakes.dialogues import Steps, facts_of, has_logged, has_told, matches, options_of, policies_of, raw, read_steps
from fakes.policy_front import EXIM, RCPT, Mta, RunningPolicyFront, policy_front, request
from fakes.waiting import until
from fakes.world import FakeWorld

DIALOGUES = sorted(Path(__file__).with_name("policy_dialogues").glob("*.txt"))
Act = Callable[[str], Awaitable[None]]


@pytest.mark.parametrize("file", DIALOGUES, ids=lambda file: file.stem)
async def test_the_policy_dialogue_goes_as_written(file: Path) -> None:
    await _play(read_steps(file))


async def _play(steps: Steps) -> None:
    options, policies = options_of(steps), policies_of(steps)
    async with policy_front(
        FakeWorld(facts_of(steps)),
        default=policies.pop("default", None),
        domains=policies,
        budget=float(options.get("budget", 5)),
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

    def __init__(self, running: RunningPolicyFront, mta: Mta) -> None:
        self.running = running
        self.mta = mta
        self.told = 0

    async def step(self, word: str, rest: str) -> None:
        actions: dict[str, Act] = {
            "postfix": self._postfix, "exim": self._exim, "mta": self._mta, "us": self._us, "told": self._told_is,
            "log": self._logged, "asked": self._asked, "world": self._world, "front": self._front,
        }  # fmt: skip
        if word not in {"zone", "policy", "fact"}:
            await actions[word](rest)

    async def _postfix(self, rest: str) -> None:
        self.mta.send(request(RCPT, **_differing(rest)))

    async def _exim(self, rest: str) -> None:
        self.mta.send(request(EXIM, **_differing(rest)))

    async def _mta(self, rest: str) -> None:
        verb, _, argument = rest.partition(" ")
        if verb == "vanishes":
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
        if rest == "closes":
            heard = await self.mta.hear_all()
            assert not heard, f"said instead: {heard!r}"
        elif rest.startswith("report "):
            heard = await self.mta.hear_all()
            self._is(heard.decode("ascii").replace("\n", " ").strip(), rest.removeprefix("report "))
        else:
            self._is((await self.mta.hear()).decode("ascii"), rest)

    def _is(self, heard: str, pattern: str) -> None:
        if heard.startswith(("action=4", "action=5")):
            self.running.refusals.append(heard.removeprefix("action="))
        assert matches(heard, pattern), f"heard {heard!r}, not {pattern!r}"

    async def _told_is(self, pattern: str) -> None:
        self.told += 1
        await has_told(self.running.told, self.told, pattern)

    async def _logged(self, pattern: str) -> None:
        await has_logged(self.running.events.lines, pattern)

    async def _asked(self, rest: str) -> None:
        count, _, pattern = rest.partition(" ")
        asked = self.running.world.asked
        await until(lambda: len([text for text in asked if matches(text, pattern)]) == int(count))

    async def _world(self, rest: str) -> None:
        assert rest == "answers"
        self.running.world.release()

    async def _front(self, rest: str) -> None:
        if rest == "drains":
            self.running.front.drain()
        elif rest == "waits for nobody":
            await until(lambda: not any(connection.busy for connection in self.running.front.open))


def _differing(rest: str) -> dict[str, str | None]:
    """Return what is said otherwise: NAME=VALUE, with `\\xNN` for bytes; NAME! is left out."""
    differing: dict[str, str | None] = {}
    words = shlex.shlex(rest, posix=True, punctuation_chars=False)
    words.whitespace_split, words.escape, words.commenters = True, "", ""
    for word in words:
        name, told, value = word.partition("=")
        differing[name.removesuffix("!") if not told else name] = (
            raw(value).decode("utf-8", "surrogateescape") if told else None
        )
    return differing
