"""Both milter engines behind one face: a scenario in the words of a dialogue is served, by whichever of them."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from earmark.core.checks.authentication import AuthenticationKnobs
from earmark.core.record import Judged
from fakes.dialogues import facts_of, options_of, policies_of
from fakes.golden import World, case_of, engine_of, golden_text
from fakes.milter_front import RunningFront, lists_only, milter_front
from fakes.waiting import until
from fakes.world import FakeWorld

Words = list[tuple[str, str]]
TESTS = Path(__file__).resolve().parents[1]


class Scenario(Protocol):
    """One scenario being served."""

    engine: str
    """ "native" or "libmilter"."""
    refusals: list[str]
    """The 4xx and 5xx replies that the MTA side has seen; what they should have been is looked at in the end."""

    @property
    def path(self) -> str:
        """The socket."""

    @property
    def told(self) -> Sequence[Judged | str]:
        """The verdicts."""

    @property
    def logged(self) -> Sequence[str]:
        """The events."""

    async def asked(self) -> Sequence[str]:
        """Return the questions that the world has been asked."""

    async def world(self, what: str) -> None:
        """Let the world answer what it holds back ("answers"), or take nothing any more ("has no space")."""

    def drain(self) -> None:
        """Drain the front."""


Serve = Callable[[Words], AbstractAsyncContextManager[Scenario]]


class _Native:
    engine = "native"

    def __init__(self, running: RunningFront) -> None:
        self._running = running
        self.refusals = running.refusals
        self.path = running.path
        self.told: Sequence[Judged | str] = running.told

    @property
    def logged(self) -> Sequence[str]:
        return self._running.events.lines

    async def asked(self) -> Sequence[str]:
        return self._running.world.asked

    async def world(self, what: str) -> None:
        if what == "answers":
            self._running.world.release()
        else:
            self._running.world.cannot_keep = "no space"

    def drain(self) -> None:
        self._running.front.drain()


class _NativeCase(_Native):
    """A golden case; its verdict is told as its `.expected` does."""

    def __init__(self, running: RunningFront, case: dict[str, Any]) -> None:
        super().__init__(running)
        self._world = World(case)
        self._texts = list[str]()
        self.told = self._texts
        running.front.shared.engine = engine_of(case, self._world, self._tell, time.time())

    def _tell(self, judged: Judged) -> None:
        self._running.told.append(judged)
        self._texts.append(golden_text(judged, self._world))

    async def world(self, what: str) -> None:
        assert what == "answers"
        self._world.release()


@asynccontextmanager
async def native(words: Words) -> AsyncIterator[Scenario]:
    """Serve with the native engine, in this process."""
    case = case_of(words)
    if case is not None:
        async with milter_front() as running:
            yield _NativeCase(running, case)
        return
    options, policies = options_of(words), policies_of(words)
    verifying = AuthenticationKnobs(verify=options.get("reads_body") == "yes")
    default = policies.pop("default", None) or lists_only(authentication=verifying)
    budget = float(options.get("budget", 5))
    async with milter_front(FakeWorld(facts_of(words)), default=default, domains=policies, budget=budget) as running:
        yield _Native(running)


class LibmilterScenario:
    """As Scenario has it, in another process."""

    engine = "libmilter"

    def __init__(self, path: str, say: Callable[..., None]) -> None:
        self.path = path
        self.refusals: list[str] = []
        self.told: list[str] = []
        self.logged: list[str] = []
        self._asked: list[str] = []
        self._done: list[str] = []
        self.wrong = ""
        self.drained = False
        self._say = say

    def hear(self, line: dict[str, str]) -> None:
        for key, heard in (("told", self.told), ("logged", self.logged), ("asked", self._asked), ("done", self._done)):
            if key in line:
                self.wrong = line.get("wrong", "")
                heard.append(line[key])

    async def done(self, order: str, **more: Any) -> None:
        self._done.clear()
        self._say(do=order, **more)
        await until(lambda: order in self._done, 30)

    async def asked(self) -> Sequence[str]:
        await self.done("sync")
        return self._asked

    async def world(self, what: str) -> None:
        await self.done("world", what=what)

    async def close(self) -> None:
        """Have the front forget all connections, as a worker does whose time to drain is over."""
        self.drained = True
        await self.done("close")

    async def hang(self, seconds: float) -> None:
        """Have the process's event loop do nothing for so long."""
        await self.done("hang", seconds=seconds)

    def drain(self) -> None:
        self.drained = True
        self._say(do="front")


class LibmilterProcess:
    """A process that serves with the libmilter engine, one scenario after another."""

    def __init__(self) -> None:
        self._scenario: LibmilterScenario | None = None
        self._start()

    def _start(self) -> None:
        self._directory = TemporaryDirectory()
        self.path = str(Path(self._directory.name, "milter"))
        self._process = subprocess.Popen(
            [sys.executable, TESTS / "fakes" / "libmilter_process.py", self.path],
            env={"PYTHONPATH": str(TESTS), "PATH": ""}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout
        assert json.loads(self._process.stdout.readline()) == {"done": "start"}
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if self._scenario is not None:
                self._scenario.hear(json.loads(line))

    def _say(self, **command: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    @asynccontextmanager
    async def __call__(self, words: Words) -> AsyncIterator[LibmilterScenario]:
        """Serve with the libmilter engine."""
        self._scenario = scenario = LibmilterScenario(self.path, self._say)
        await scenario.done("begin", steps=words)
        try:
            yield scenario
        except BaseException:
            self._process.kill()  # the next scenario is not to inherit what this one left
            self._clear_away()
            self._start()
            raise
        await scenario.done("end", refusals=scenario.refusals)
        if scenario.drained:  # for good
            self.stop()
            self._start()
        assert not scenario.wrong, scenario.wrong

    def stop(self) -> None:
        """End it as its supervisor's end would, and wait until it has gone."""
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.wait(10) == 0
        self._clear_away()

    def _clear_away(self) -> None:
        self._process.wait(10)
        self._listening.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            stream.close()
        self._directory.cleanup()


def missing() -> str:
    """Return why there is no libmilter engine here; "" where there is one."""
    return "" if find_spec("Milter") else "no pymilter: ./dev setup builds it where gcc and libmilter-dev are"
