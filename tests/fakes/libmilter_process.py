"""The real libmilter engine over a literal world, in a process of its own: libmilter is one to a process, for good.

    python libmilter_process.py SOCKET

It is told on standard input, line by line in JSON, which scenario to serve (the words of a dialogue) and what happens
to its world; it tells on standard output what is asked, logged and judged. It ends when standard input does.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from earmark.core.checks.authentication import AuthenticationKnobs
from earmark.core.policy import PolicySet
from earmark.core.record import Judged
from earmark.engine import Engine
from earmark.fronts.libmilter import LibmilterFront
from fakes.dialogues import facts_of, options_of, policies_of, verdict_line
from fakes.golden import World, case_of, engine_of, golden_text
from fakes.invariants import Before
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.waiting import until
from fakes.world import FakeWorld


def tell(**fields: Any) -> None:
    """Write a line. Also called from libmilter's threads, so it is one write."""
    os.write(1, json.dumps(fields).encode() + b"\n")


class TellingWorld(FakeWorld):
    """Tells what it is asked."""

    def ask(self, question: Any, deliver: Callable[..., None]) -> None:
        asked = len(self.asked)
        super().ask(question, deliver)
        tell(asked=self.asked[asked])


class TellingEvents(EventList):
    """Tells what is logged."""

    def event(self, name: str, **fields: object) -> None:
        super().event(name, **fields)
        tell(logged=self.lines[-1])


class Server:
    """One front, and one scenario after another."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._ended = asyncio.Event()
        self._world: World | TellingWorld
        self._front = LibmilterFront(self._engine([]), EventList(), self._ended.set)

    def _engine(self, steps: list[tuple[str, str]]) -> Engine:
        self._judged: list[Judged] = []
        case = case_of(steps)
        return self._engine_of_words(steps) if case is None else self._golden_engine(case)

    def _golden_engine(self, case: dict[str, Any]) -> Engine:
        world = self._world = World(case)

        def told(judged: Judged) -> None:
            self._judged.append(judged)
            tell(told=golden_text(judged, world))

        engine = engine_of(case, world, told, time.time())
        self._budget = engine.budget
        return engine

    def _engine_of_words(self, steps: list[tuple[str, str]]) -> Engine:
        options, policies = options_of(steps), policies_of(steps)
        verifying = AuthenticationKnobs(verify=options.get("reads_body") == "yes")
        default = policies.pop("default", None) or lists_only(authentication=verifying)
        self._budget = float(options.get("budget", 5))
        self._world = TellingWorld(facts_of(steps))
        ids = (f"ID{number:010d}" for number in range(10**10))
        return Engine(
            PolicySet(default, policies, OWN_SITE), self._world, GENERATION, self._tell, budget=self._budget,
            scan_budget=float(options.get("scan_budget", 60)), new_id=lambda: next(ids),
        )  # fmt: skip

    def _tell(self, judged: Judged) -> None:
        self._judged.append(judged)
        tell(told=verdict_line(judged))

    async def obey(self, command: dict[str, Any]) -> None:
        match command["do"]:
            case "begin":
                shared = self._front.shared
                shared.engine, shared.log, shared.lack_told = self._engine(command["steps"]), TellingEvents(), False
                self._before = Before.now()
                tell(done="begin")
            case "world" if command["what"] == "answers":
                self._world.release()
                tell(done="world")
            case "world":
                self._world.cannot_keep = "no space"
                tell(done="world")
            case "front":
                self._front.drain()
            case "hang":
                tell(done="hang")
                time.sleep(command["seconds"])  # noqa: ASYNC251 - the loop is to hang
            case "close":
                self._front.close()
                tell(done="close")
            case "sync":
                tell(done="sync")
            case "end":
                tell(done="end", wrong=await self._wrong(command["refusals"]))

    def _listen(self) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen(1024)
            listener.setblocking(False)
            self._front.listen(listener)

    async def _wrong(self, refusals: list[str]) -> str:
        """Return what does not hold after the scenario; "" where all is well."""
        try:
            await until(lambda: self._front.sessions == 0)
            await self._before.holds(self._judged, refusals, self._budget)
        except (AssertionError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}; {self._front.sessions} sessions"
        return ""

    async def run(self) -> None:
        lines = asyncio.StreamReader(limit=2**24)
        self._listen()
        tell(done="start")
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            await self.obey(json.loads(line))


async def main(path: str) -> None:
    await Server(path).run()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
    os._exit(0)  # as a worker ends: libmilter's threads are not waited for
