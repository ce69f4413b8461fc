"""A worker: one process, one event loop, one generation from birth to end. All that it uses is made after the fork."""

import asyncio
import gc
import signal
import socket
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import uvloop

from earmark import config
from earmark.clients.dns import Resolver
from earmark.clients.health import Health
from earmark.clients.zones import Zones
from earmark.config.settings import Generation
from earmark.core.record import Judged, make_record
from earmark.engine import Engine
from earmark.fronts.exim import EximFront
from earmark.fronts.policy import PolicyFront
from earmark.log import verdict_fields
from earmark.service.board import portions
from earmark.service.bundle import Bundle
from earmark.service.channel import Channel
from earmark.service.crew import HEARTBEAT
from earmark.service.engines import milter_front
from earmark.service.lists import keys_of, lists_of
from earmark.service.output import standard_log
from earmark.service.scanner_lines import scanner_lines
from earmark.stores import access_file
from earmark.stores.access import AccessLists
from earmark.stores.history import FILE_NAME, History
from earmark.stores.quarantine import DIRECTORY, Quarantine
from earmark.stores.state import State
from earmark.world import scanners_of, world_over

_LOG_DELAY = 0.5
"""Seconds that a "verdict" line may wait for others to be written with."""
_LAST_WRITE = 1.5
"""Seconds that the history may take to write the last records."""
_TRACE_AT_MOST = 4000
"""Characters of a traceback that are logged; its end says most."""
_ACCEPT_PAUSE = 0.2
"""Seconds without accepting when descriptors have run out."""


def run(bundle: Bundle, state: Path, channel: Channel) -> int:
    """Serve with the configuration in `bundle` until told to drain by `channel`; return the exit status."""
    generation = config.compile_generation(bundle.files)
    shadow = config.compile_generation(bundle.shadow.files) if bundle.shadow else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(generation, shadow, bundle.health, state, channel, workers=bundle.workers).run())
    return 0


class Front(Protocol):
    """What takes connections, in the words of one protocol."""

    @property
    def sessions(self) -> int:
        """How many connections are open."""

    def drain(self) -> None:
        """Let every connection end, as its protocol allows."""

    async def drained(self) -> None:
        """Wait until no connection is open."""

    def close(self) -> None:
        """Close all connections as they stand."""


class Connecting(Front, Protocol):
    """A front for whom the worker accepts."""

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol for a new connection."""


@runtime_checkable
class Listening(Front, Protocol):
    """A front that accepts by itself."""

    def listen(self, listener: socket.socket) -> None:
        """Accept on this socket, and on no other, until `drain`."""


class Worker:
    """What one worker has and counts. To be made inside no loop and run inside one."""

    def __init__(
        self,
        generation: Generation,
        shadow: Generation | None,
        health: Health,
        state: Path,
        channel: Channel,
        *,
        workers: int,
    ) -> None:
        """`workers` is how many of us there are."""
        self._generation = generation
        self._shadow = shadow
        self._health = health
        self._state = state
        self._channel = channel
        self._workers = workers
        self._listeners: dict[socket.socket, Connecting] = {}
        self._arriving: set[asyncio.Task[Any]] = set()
        """Connections that were accepted and are not yet the front's: the loop itself holds tasks only weakly."""
        self._draining = asyncio.Event()
        self._accepting = True
        self._reported = 0.0
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Serve, drain, leave."""
        loop = asyncio.get_running_loop()
        server = self._generation.server
        self._log = log = standard_log(partial(loop.call_later, _LOG_DELAY))
        loop.set_exception_handler(self._log_failure)
        resolver = Resolver(server.dns.resolvers)
        lists = lists_of(self._generation, self._shadow)
        keys, _ = keys_of(self._generation, self._shadow)  # what is wrong with them, the watcher says once
        self._zones = Zones(resolver, lists.values(), keys=keys, health=self._health)
        access = AccessLists(self._state / access_file.FILE_NAME, log)
        access.follow()
        password, _ = config.store_password(self._generation)
        state = State(self._state, log, url=server.store.url, password=password)
        self._scanners = scanners_of(server, workers=self._workers)
        quarantine = Quarantine(self._state / DIRECTORY, log)
        world = world_over(
            resolver, self._zones, state=state, access=access, scanners=self._scanners, quarantine=quarantine
        )
        self._history = History(self._state / FILE_NAME, log)
        self._keep_generations()
        self._engine = Engine(
            self._generation.policies,
            world,
            self._generation.id,
            self._tell,
            server.budget,
            server.scan_budget,
            shadow=self._shadow.policies if self._shadow else None,
            shadow_generation=self._shadow.id if self._shadow else "",
        )
        self._fronts: dict[str, Connecting | Listening] = {
            "milter": milter_front(self._generation, self._engine, log, self._draining.set),
            "policy": PolicyFront(self._engine, log, idle=server.policy.idle),
            "exim": EximFront(self._engine, log, idle=server.exim.idle),
        }
        loop.add_reader(self._channel.fileno(), self._hear)
        loop.add_signal_handler(signal.SIGTERM, self._draining.set)
        _spare_the_collector()
        try:
            await self._serve(server.drain)
        finally:
            self._stop_accepting()
            await world.close()
            resolver.close()
            self._history.close(_LAST_WRITE)
            log.flush()

    def _keep_generations(self) -> None:
        """Have both kept as of the same moment: neither has replaced the other."""
        now = time.time()
        for generation in filter(None, (self._generation, self._shadow)):
            self._history.keep_generation(generation.id, generation.files, now)

    async def _serve(self, drain: float) -> None:
        pulse = asyncio.create_task(self._beat())
        await self._draining.wait()
        self._stop_accepting()
        await asyncio.gather(*self._arriving, return_exceptions=True)
        for front in self._fronts.values():
            front.drain()
        self._accepting = False
        self._report()
        if not await self._empty_within(drain):
            self._log.event("cut_off", level="warning", sessions=self._sessions)
            for front in self._fronts.values():
                front.close()
            await self._empty_within(_LAST_WRITE)  # each tells the verdict of what it broke off
        self._engine.flush()
        pulse.cancel()
        self._report()

    async def _empty_within(self, seconds: float) -> bool:
        """Return whether the last connection ends within that time."""
        try:
            async with asyncio.timeout(seconds):
                for front in self._fronts.values():
                    await front.drained()
        except TimeoutError:
            return False
        return True

    @property
    def _sessions(self) -> int:
        return sum(front.sessions for front in self._fronts.values())

    async def _beat(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(HEARTBEAT)

    def _beat_if_due(self) -> None:
        """Report between transactions too: a crowd can keep the loop busy for longer than a heartbeat may be late."""
        if time.monotonic() - self._reported > HEARTBEAT:
            self._report()

    def _report(self) -> None:
        self._reported = time.monotonic()
        self.counters["history_dropped"] = self._history.dropped
        self.counters["log_failed"] = self._log.failed
        told = {
            "sessions": self._sessions,
            "accepting": self._accepting,
            "counters": self.counters,
            "scanners": scanner_lines(self._scanners),
        }
        for counts in portions(self._zones.counts()):
            self._channel.send({**told, "zones": counts})

    def _hear(self) -> None:
        """Do what the supervisor says. Should it be gone, the kernel has killed us already."""
        received = self._channel.receive()
        if received is None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._draining.set()
            return
        message, fds = received
        if message["do"] == "accept":
            for (front, _), fd in zip(self._generation.server.doors, fds, strict=True):
                self._listen(socket.socket(fileno=fd), self._fronts[front])
            self._accept_again()
        else:
            self._draining.set()

    def _listen(self, listener: socket.socket, front: Connecting | Listening) -> None:
        if isinstance(front, Listening):
            with listener:
                front.listen(listener)
        else:
            self._listeners[listener] = front

    def _accept_again(self) -> None:
        loop = asyncio.get_running_loop()
        for listener, front in self._listeners.items():
            loop.add_reader(listener.fileno(), self._accept, listener, front)

    def _accept(self, listener: socket.socket, front: Connecting) -> None:
        """Take one connection; the next one may be for another worker, which spreads a burst over all."""
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            self._cannot_accept(listener, error)
            return
        self.counters["connections"] += 1
        task = asyncio.get_running_loop().create_task(_begin(connection, front))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    def _cannot_accept(self, listener: socket.socket, error: OSError) -> None:
        """Wait a moment when descriptors have run out; forget a socket that the supervisor has shut down."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener.fileno())
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            del self._listeners[listener]
            listener.close()
            return
        self.counters["accept_failed"] += 1
        self._log.event("accept_failed", level="warning", why=error.strerror)
        loop.call_later(_ACCEPT_PAUSE, self._accept_again)

    def _stop_accepting(self) -> None:
        listeners, self._listeners = self._listeners, {}
        for listener in listeners:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()

    def _tell(self, judged: Judged) -> None:
        self._beat_if_due()
        record = make_record(judged)
        self.counters["transactions"] += 1
        self.counters[record.action] += 1
        self._log.event("verdict", **verdict_fields(record))
        self._history.add(record)

    def _log_failure(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.counters["failures"] += 1
        trace = "".join(traceback.format_exception(context.get("exception")))
        self._log.event("failure", level="error", why=context["message"], trace=trace[-_TRACE_AT_MOST:])


async def _begin(connection: socket.socket, front: Connecting) -> None:
    await asyncio.get_running_loop().connect_accepted_socket(front.protocol, connection)


def _spare_the_collector() -> None:
    """Policies, zones and modules live as long as we do: look for garbage only among what messages leave behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
