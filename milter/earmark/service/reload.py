"""A change of generation: examine the files, open what new sockets they ask for, let new workers take over.

Each step can fail, and then nothing has changed; whoever asked is told why.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from earmark.log import Log
from earmark.service.bundle import Bundle, Examination, Refused, Sources
from earmark.service.control import Caller
from earmark.service.crew import START, Crew
from earmark.service.process import kill
from earmark.service.sockets import ListenError, Listeners


@dataclass(frozen=True, slots=True)
class LastReload:
    """How the latest change of generation went; at the start, that it was the start."""

    at: float
    generation: str
    problems: tuple[str, ...] = ()


class Reload:
    """At most one change of generation at a time; who asks meanwhile gets the next one."""

    def __init__(
        self, sources: Sources, crew: Crew, listeners: Listeners, log: Log, forget: Callable[[], None]
    ) -> None:
        """`forget` leaves a child only what is its own."""
        self.last = LastReload(time.time(), crew.bundle.id)
        self.done = 0
        self.failed = 0
        self._sources = sources
        self._crew = crew
        self._listeners = listeners
        self._log = log
        self._forget = forget
        self._examination: Examination | None = None
        self._kill_at = 0.0
        self._busy = False
        self._callers: list[Caller] = []
        self._next: list[Caller] | None = None
        """Who asked while a reload was under way; None when nobody did, [] when it was a signal."""

    @property
    def busy(self) -> bool:
        """Whether a change is under way."""
        return self._busy

    def ask(self, caller: Caller | None) -> None:
        """Begin, or begin again after what is under way. `caller` is told how it went."""
        callers = [caller] if caller is not None else []
        if self._busy:
            self._next = (self._next or []) + callers
        else:
            self._begin(callers)

    def _begin(self, callers: list[Caller]) -> None:
        self._busy = True
        self._callers = callers
        self._log.event("reload")
        try:
            self._examination = Examination(self._sources, self._forget)
        except OSError as error:
            self._finish("", f"cannot start the check of the configuration: {error}")
        self._kill_at = time.monotonic() + START

    def forget(self) -> None:
        """In a child: close what an examination under way holds."""
        if self._examination is not None:
            self._examination.close()

    def tick(self, now: float) -> None:
        """Kill an examination that takes too long, and begin what was asked for meanwhile."""
        if self._examination is not None and now > self._kill_at:
            kill(self._examination.pid)
        if not self._busy and self._next is not None:
            callers, self._next = self._next, None
            self._begin(callers)

    def ended(self, pid: int, how: str) -> None:
        """Note that the child `pid` has ended, in case it was the examination."""
        if self._examination is None or self._examination.pid != pid:
            return
        found = self._examination.result(how)
        self._examination = None
        if isinstance(found, Refused):
            self._finish("", *found.problems)
        else:
            self._start(found)

    def _start(self, bundle: Bundle) -> None:
        before = self._crew.bundle
        problems = [
            f"policies/server.toml: {name}: a change takes effect at a restart, not at a reload"
            for name in ("user", "state", "socket_mode")
            if getattr(bundle, name) != getattr(before, name)
        ]
        if self._crew.leaving:
            problems.append("the service is stopping")
        if not problems:
            try:
                self._listeners.require(bundle.listen, bundle.socket_mode)
            except ListenError as error:
                problems.append(str(error))
        if problems:
            self._finish(bundle.id, *problems)
        else:
            self._crew.replace(bundle, lambda reason: self._decided(before, bundle, reason))

    def _decided(self, before: Bundle, after: Bundle, reason: str) -> None:
        self._listeners.keep(before.listen if reason else after.listen)
        self._finish(after.id, *([reason] if reason else []))

    def _finish(self, generation: str, *problems: str) -> None:
        self._busy = False
        self.last = LastReload(time.time(), generation, problems)
        if problems:
            self.failed += 1
            self._log.event("reload_failed", level="error", generation=generation, problems=list(problems))
        else:
            self.done += 1
            self._log.event("reloaded", generation=generation)
        for caller in self._callers:
            caller.answer({"ok": not problems, "generation": generation, "problems": list(problems)})
        self._callers = []
