"""The supervisor: opens the sockets, keeps the children, answers signals, commands and systemd. It never sees mail.

A plain selectors loop: without asyncio, uvloop, sqlite and threads (a test says so), it can fork at any moment, and
there is little in it that could break. What it is told comes as small messages over one channel per child, as signals,
and as lines on the control socket; all of it is heard before any clock is looked at, so a machine that was paused does
not look like workers that hang.
"""

import math
import os
import selectors
import signal
import socket
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.log import Log
from earmark.service.bundle import Bundle, Sources
from earmark.service.channel import Channel
from earmark.service.control import Caller, Control
from earmark.service.crew import Child, Crew, Role, State
from earmark.service.notify import Notifier
from earmark.service.process import fork, reap
from earmark.service.reload import Reload
from earmark.service.sockets import ListenError, Listeners

_TICK = 0.2
"""Seconds between two looks at the clock."""
_STARVED = 1.0
"""Seconds beyond it by which a turn shows that we were stopped ourselves: a SIGSTOP, a suspended machine."""
_UNREADY = 5.0
"""Seconds without any worker that answers, after which connections are refused: an MTA goes to the next filter when it
is refused (0.1 s), and waits for its own time-out when it is accepted and then hears nothing."""
_AGAIN = 2.0
"""Seconds between two attempts to open the sockets again."""
_SHUT_WITHIN = 1.0
"""Seconds that workers have to stop accepting when all leave. Only then are the sockets shut: libmilter takes one that
others have shut for a fault, and ends its sessions."""

_FIRST_ROUND = 3.0
"""Seconds that the first round of canaries may take before the service is called ready without it. It serves anyway."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a service starts from."""

    sources: Sources
    """What is read again at a reload."""
    state: Path
    bundle: Bundle
    listeners: Listeners
    """Open."""
    lock: int
    """The descriptor that holds the lock on the state directory."""
    log: Log
    notifier: Notifier


class Supervisor:
    """One running service."""

    def __init__(self, prepared: Prepared) -> None:
        """Take over what was prepared; `run` does the rest."""
        self._state = prepared.state
        self._listeners = prepared.listeners
        self._lock = prepared.lock
        self._log = log = prepared.log
        self._notifier = prepared.notifier
        self._selector = selectors.DefaultSelector()
        self._crew = Crew(prepared.bundle, self._selector, log, self._spawn, self._admit)
        self._reload = Reload(prepared.sources, self._crew, self._listeners, log, self._forget)
        self._control = Control(self._state, self._selector, self._obey)
        self._started = time.time()
        self._answered = self._turned = time.monotonic()
        self._told = ""
        self._admit_again_at = 0.0
        self._shut_at = math.inf
        self._wake, self._woken = socket.socketpair()

    def run(self) -> None:
        """Serve until told to stop and all children have left."""
        self._catch_signals()
        self._log.event("serving", pid=os.getpid(), generation=self._crew.bundle.id, listen=self._crew.bundle.listen)
        try:
            while not self._crew.leaving or self._crew.children:
                self._turn()
        finally:
            self._crew.kill()
            self._listeners.keep(())
            self._control.close()
            self._log.event("stopped", pid=os.getpid(), counters=self._counters())
            # The interpreter gives signals their defaults back as it leaves: a late SIGTERM would be what we ended by.
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))

    def _turn(self) -> None:
        # A pause (SIGSTOP, a suspended machine) ends the wait with nothing, whatever has arrived: so look once more.
        for key, _ in self._selector.select(_TICK) or self._selector.select(0):
            if self._selector.get_map().get(key.fileobj) is key:  # else an earlier callback has closed it
                key.data()
        for pid, how in reap().items():
            self._crew.ended(pid, how)
            self._reload.ended(pid, how)
        now = time.monotonic()
        was_paused = now - self._turned > _TICK + _STARVED
        self._turned = math.inf if was_paused else now  # one turn is left out, never two in a row
        if was_paused:  # in the middle of a turn: hear what the children have said before they are judged
            return
        self._crew.tick(now)
        self._reload.tick(now)
        self._control.tick(now)
        self._refuse_or_accept(now)
        self._tell_systemd(now)

    def _catch_signals(self) -> None:
        """Turn signals into bytes that wake the loop: nothing but the loop itself acts on them."""
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ, self._take_signals)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)

    def _take_signals(self) -> None:
        for number in self._wake.recv(256):
            if number == signal.SIGHUP:
                self._begin_reload(None)
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._stop()

    def _begin_reload(self, caller: Caller | None) -> None:
        if self._crew.leaving:
            if caller is not None:
                caller.answer({"ok": False, "problems": ["the service is stopping"]})
            return
        self._reload.ask(caller)

    def _stop(self) -> None:
        """Drain; asked a second time, leave at once."""
        if self._crew.leaving:
            self._log.event("leaving_at_once", level="warning", children=len(self._crew.children))
            self._crew.kill()
            return
        self._log.event("draining", seconds=self._crew.bundle.drain)
        self._notifier.tell("STOPPING=1")
        self._crew.drain()
        self._shut_at = time.monotonic() + _SHUT_WITHIN

    def _obey(self, command: dict[str, Any], caller: Caller) -> None:
        match command.get("do"):
            case "status":
                caller.answer(self._status())
            case "lists":
                lists = self._crew.board.report(self._crew.bundle.health)
                caller.answer({"v": 1, "ok": True, "since": self._started, "lists": lists})
            case "reload":
                self._begin_reload(caller)
            case "drain":
                if not self._crew.leaving:
                    self._stop()
                caller.answer({"ok": True, "children": len(self._crew.children)}, stay=True)
            case _:
                caller.answer({"ok": False, "problems": ["no such command: status, lists, reload or drain"]})

    def _spawn(self, role: Role, bundle: Bundle) -> tuple[int, Channel]:
        """Start a child. Raises OSError."""
        ours, theirs = Channel.pair()

        def body() -> int:
            ours.close()
            # Here, in the child, and not above: what these import has no place in the supervisor.
            if role is Role.WORKER:
                from earmark.service.worker import run  # noqa: PLC0415
            else:
                from earmark.service.watcher import run  # noqa: PLC0415
            return run(bundle, self._state, theirs)

        try:
            return fork(body, self._forget), ours
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()

    def _forget(self) -> None:
        """In a child: close all that belongs to the supervisor alone."""
        for key in list(self._selector.get_map().values()):
            if hasattr(key.fileobj, "close"):
                key.fileobj.close()
        self._selector.close()
        self._woken.close()
        self._listeners.forget()
        self._reload.forget()
        self._notifier.close()
        os.close(self._lock)

    def _admit(self, child: Child) -> None:
        """Hand the listening sockets to a worker that is ready, opening them again if they had been closed."""
        try:
            self._listeners.require(child.bundle.listen, child.bundle.socket_mode)
        except ListenError as error:
            self._log.event("cannot_listen", level="error", why=str(error))
            return
        child.admitted = True
        child.channel.send({"do": "accept"}, self._listeners.chosen(child.bundle.listen))

    def _admit_rest(self, now: float) -> None:
        """Try again with the workers for which the sockets could not be opened."""
        if now < self._admit_again_at:
            return
        self._admit_again_at = now + _AGAIN
        for child in self._crew.of(Role.WORKER, self._crew.bundle, State.READY):
            if not child.admitted:
                self._admit(child)
            if not child.admitted:
                return

    def _refuse_or_accept(self, now: float) -> None:
        if self._crew.leaving and (now > self._shut_at or not self._crew.accepting):
            self._listeners.keep(())
        elif self._crew.leaving:
            self._answered = now
        elif self._crew.answering(now):
            self._answered = now
            self._admit_rest(now)
        elif now - self._answered > _UNREADY and self._listeners.refuse():
            self._log.event("refusing", level="error", why=f"no worker has been ready for {_UNREADY:g} s")

    def _tell_systemd(self, now: float) -> None:
        self._notifier.feed_watchdog(now)
        if self._crew.leaving:
            return
        if self._reload.busy:
            phase = "RELOADING=1"
        elif self._crew.ready or self._told:
            phase = "READY=1"
        else:
            return
        workers = sum(child.role is Role.WORKER for child in self._crew.children.values())
        status = f"STATUS={workers} workers, generation {self._crew.bundle.id[:12]}"
        if f"{phase}\n{status}" != self._told:
            self._told = f"{phase}\n{status}"
            if phase == "RELOADING=1":
                self._notifier.reloading()
            else:
                self._notifier.tell(phase, status)

    def _counters(self) -> Counter[str]:
        counters = Counter(self._crew.retired)
        for child in self._crew.children.values():
            counters.update(child.counters)
        counters["policy_reload"] = self._reload.done
        counters["policy_reload_failed"] = self._reload.failed
        return counters

    def _state_word(self, now: float) -> str:
        if self._crew.leaving:
            return "draining"
        if not self._listeners:
            return "not answering"
        if self._crew.ready:
            return "ready" if self._lists_are_known(now) else "checking lists"
        return "short of workers" if self._crew.answering(now) else "not answering"

    def _lists_are_known(self, now: float) -> bool:
        """Return whether the first round of canaries is over, or is not waited for any more."""
        crew = self._crew
        ready = min(child.ready for child in crew.of(Role.WORKER, crew.bundle, State.READY))
        return crew.bundle.health.settled or now - ready > _FIRST_ROUND

    def _status(self) -> dict[str, Any]:
        crew, last = self._crew, self._reload.last
        now = time.monotonic()
        return {
            "v": 1,
            "ok": True,
            "pid": os.getpid(),
            "since": self._started,
            "state": self._state_word(now),
            "directory": crew.bundle.directory,
            "generation": crew.bundle.id,
            "shadow": _shadow_status(crew.bundle),
            "listening": list(crew.bundle.listen) if self._listeners else [],
            "reload": {"at": last.at, "generation": last.generation, "problems": list(last.problems)},
            "children": [_child_status(child, now) for child in crew.children.values()],
            "scanners": crew.scanners.report(crew.bundle.scanners),
            "counters": dict(sorted(self._counters().items())),
        }


def _shadow_status(bundle: Bundle) -> dict[str, str] | None:
    shadow = bundle.shadow
    return {"directory": shadow.directory, "generation": shadow.id} if shadow else None


def _child_status(child: Child, now: float) -> dict[str, Any]:
    return {
        "role": child.role,
        "pid": child.pid,
        "state": child.state,
        "generation": child.bundle.id,
        "age": round(now - child.born, 1),
        "sessions": child.sessions,
        "counters": child.counters,
    }
