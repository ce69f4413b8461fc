"""The children that the supervisor keeps: as many as wanted, alive, of one generation; replaced, drained, killed.

A child goes STARTING -> READY -> DRAINING and is then gone. It says something every second (HEARTBEAT); one that is
silent for LATE seconds hangs and is killed. A new generation starts beside the old one, and takes over when all its
workers are ready; it is in force when no worker of the old one takes connections any more. Should one of them fail, all
of them go, and the old generation has not noticed.
"""

import enum
import selectors
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from earmark.log import Log
from earmark.service.board import Board
from earmark.service.bundle import Bundle
from earmark.service.channel import Channel, Message
from earmark.service.process import kill
from earmark.service.scanner_board import ScannerBoard

HEARTBEAT = 1.0
"""Seconds between two signs of life."""
LATE = 5.0
"""Seconds without one, after which a ready child is killed."""
START = 30.0
"""Seconds that a child has to get ready."""
_GRACE = 2.0
"""Seconds beyond the drain time that a worker has to leave by itself."""
_LONG_LIFE = 10.0
"""Seconds of life after which an end counts as an accident, not as one more failure to start."""
_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a replacement starts: doubled by each failure in a row, up to the longest."""


class Role(enum.StrEnum):
    """What a child does."""

    WORKER = "worker"
    WATCHER = "watcher"


class State(enum.StrEnum):
    """How far a child is."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True)
class Child:
    """One child process as the supervisor sees it. Times are of the monotonic clock."""

    role: Role
    pid: int
    channel: Channel
    bundle: Bundle
    born: float
    heard: float
    state: State = State.STARTING
    ready: float = float("inf")
    """Since when it is."""
    leave_by: float = float("inf")
    killed: bool = False
    admitted: bool = False
    """Whether it was handed the listening sockets."""
    sessions: int = 0
    accepting: bool = False
    counters: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Backoff:
    failures: int = 0
    until: float = 0.0

    def count(self, lived: float, now: float) -> None:
        self.failures = 0 if lived > _LONG_LIFE else self.failures + 1
        self.until = now + min(_PAUSE * 2**self.failures, _LONGEST_PAUSE) if self.failures else now


class Crew:
    """All children but the short-lived ones that check a configuration."""

    def __init__(
        self,
        bundle: Bundle,
        selector: selectors.BaseSelector,
        log: Log,
        spawn: Callable[[Role, Bundle], tuple[int, Channel]],
        admit: Callable[[Child], None],
    ) -> None:
        """`spawn` starts a child, `admit` hands the listening sockets to a worker that is ready."""
        self.bundle = bundle
        """The generation in force."""
        self.children: dict[int, Child] = {}
        self.retired: Counter[str] = Counter()
        """What children that are gone had counted, and "worker_ended" for those that were not asked to go."""
        self.board = Board(log)
        self.scanners = ScannerBoard(log)
        self.leaving = False
        self._candidate: Bundle | None = None
        self._taking_over = False
        self._decided: Callable[[str], object] = str
        self._backoff = {role: _Backoff() for role in Role}
        self._selector = selector
        self._log = log
        self._spawn = spawn
        self._admit = admit

    def of(self, role: Role, bundle: Bundle, *states: State) -> list[Child]:
        """Return the children of that role and generation that are in one of `states`."""
        return [c for c in self.children.values() if c.role is role and c.bundle is bundle and c.state in states]

    @property
    def ready(self) -> bool:
        """Whether all workers of the generation in force are ready."""
        return len(self.of(Role.WORKER, self.bundle, State.READY)) >= self.bundle.workers

    def answering(self, now: float) -> bool:
        """Whether at least one worker is ready and has been heard lately."""
        return any(now - c.heard < LATE / 2 for c in self.of(Role.WORKER, self.bundle, State.READY))

    @property
    def accepting(self) -> bool:
        """Whether some worker still takes connections, as far as they have told."""
        return any(child.accepting for child in self.children.values())

    def tick(self, now: float) -> None:
        """Kill what hangs or stays too long, start what is missing. To be called after all messages were heard."""
        for child in list(self.children.values()):
            reason = _overdue(child, now)
            if reason:
                self._log.event("killing", level="warning", role=child.role, pid=child.pid, reason=reason)
                self._kill(child)
        if not self.leaving:
            self._fill(Role.WORKER, self.bundle.workers, now)
            self._fill(Role.WATCHER, 1, now)

    def _fill(self, role: Role, number: int, now: float) -> None:
        if now < self._backoff[role].until:
            return
        try:
            for _ in range(number - len(self.of(role, self.bundle, State.STARTING, State.READY))):
                self._start(role, self.bundle)
        except OSError as error:
            self._log.event("cannot_start", level="error", role=role, why=str(error))
            self._backoff[role].count(0.0, now)

    def _start(self, role: Role, bundle: Bundle) -> None:
        """Start a child. Raises OSError where the system has no process or descriptor left."""
        pid, channel = self._spawn(role, bundle)
        now = time.monotonic()
        child = Child(role, pid, channel, bundle, born=now, heard=now)
        self.children[pid] = child
        self._selector.register(channel, selectors.EVENT_READ, partial(self._hear, child))
        self._log.event("started", role=role, pid=pid, generation=bundle.id[:12])

    def _hear(self, child: Child) -> None:
        while True:
            try:
                received = child.channel.receive()
            except BlockingIOError:
                return
            if received is None:
                self._hang_up(child)
                return
            message, _ = received
            child.heard = time.monotonic()
            child.sessions = message["sessions"]
            child.accepting = message.get("accepting", False)
            child.counters = message["counters"]
            self._post(child, message)
            if child.state is State.STARTING:
                self._became_ready(child)
            self._in_force_when_alone()

    def _post(self, child: Child, message: Message) -> None:
        """Put on the boards what a child says. A watcher of another generation knows other lists and scanners."""
        self.board.hear_counts(child.pid, message.get("zones", {}))
        self.scanners.hear(child.pid, message.get("scanners", {}))
        if child.bundle is self.bundle:
            self.board.hear_lines(child.pid, message.get("lists", {}))
            if "signatures" in message:
                self.scanners.hear_signatures(message["signatures"])

    def _became_ready(self, child: Child) -> None:
        child.state, child.ready = State.READY, child.heard
        if child.bundle is self._candidate:
            self._take_over_when_complete(child.bundle)
        elif child.role is Role.WORKER:
            self._admit(child)

    def _hang_up(self, child: Child) -> None:
        if child.channel.fileno() >= 0:
            self._selector.unregister(child.channel)
            child.channel.close()

    def ended(self, pid: int, how: str) -> None:
        """Note that the child `pid` has ended; `tick` replaces it."""
        child = self.children.get(pid)
        if child is None:
            return
        self._hear_out(child)
        del self.children[pid]
        self.board.forget(pid)
        self.scanners.forget(pid)
        self.retired.update(child.counters)
        self._in_force_when_alone()
        now = time.monotonic()
        asked = child.state is State.DRAINING
        self._log.event("ended", level="info" if asked else "error", role=child.role, pid=pid, how=how, asked=asked)
        if asked:
            return
        self.retired[f"{child.role}_ended"] += 1
        if child.bundle is self._candidate:
            self._give_up(f"new {child.role} ended with {how} before it was ready")
        else:
            self._backoff[child.role].count(now - child.born, now)

    def _hear_out(self, child: Child) -> None:
        if child.channel.fileno() >= 0:
            self._hear(child)
            self._hang_up(child)

    def replace(self, bundle: Bundle, decided: Callable[[str], object]) -> None:
        """Start the workers of `bundle` beside those in force. `decided` gets "" when they took over, else why not."""
        self._candidate, self._decided = bundle, decided
        try:
            for _ in range(bundle.workers):
                self._start(Role.WORKER, bundle)
        except OSError as error:
            self._give_up(f"cannot start a worker: {error}")

    def _take_over_when_complete(self, new: Bundle) -> None:
        """Let the new workers accept, and only then have the old ones stop: somebody accepts at any moment."""
        workers = self.of(Role.WORKER, new, State.READY)
        if len(workers) < new.workers:
            return
        new.health.take_over(self.bundle.health)
        self.bundle, self._candidate = new, None
        for child in workers:
            self._admit(child)
        for child in list(self.children.values()):
            if child.bundle is not new:
                self._drain(child)
        self._taking_over = True

    def _in_force_when_alone(self) -> None:
        """Call the new generation in force when whoever connects from now on is judged by it."""
        others = (child for child in self.children.values() if child.bundle is not self.bundle)
        if self._taking_over and not any(child.accepting for child in others):
            self._taking_over = False
            self._decided("")

    def _give_up(self, reason: str) -> None:
        failed, self._candidate = self._candidate, None
        for child in self.children.values():
            if child.bundle is failed:
                self._kill(child, State.DRAINING)
        self._decided(reason)

    def drain(self) -> None:
        """Have all children finish what is under way and leave."""
        self.leaving = True
        if self._candidate is not None:
            self._give_up("the service is stopping")
        for child in list(self.children.values()):
            self._drain(child)

    def _drain(self, child: Child) -> None:
        if child.state is not State.DRAINING:
            child.state = State.DRAINING
            child.leave_by = time.monotonic() + child.bundle.drain + _GRACE
            child.channel.send({"do": "drain"})

    def kill(self) -> None:
        """End all children at once."""
        self.leaving = True
        for child in self.children.values():
            self._kill(child, State.DRAINING)

    @staticmethod
    def _kill(child: Child, state: State | None = None) -> None:
        child.state = state or child.state
        child.killed = True
        kill(child.pid)


def _overdue(child: Child, now: float) -> str:
    if child.killed:
        return ""
    if child.state is State.STARTING:
        return f"not ready within {START:g} s" if now - child.born > START else ""
    if now > child.leave_by:
        return "did not leave in time"
    return f"no heartbeat for {LATE:g} s" if now - child.heard > LATE else ""
