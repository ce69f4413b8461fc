"""Alternating rounds: every contender once a round, so that what else the machine does hits all alike."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.load import CONNECTIONS, Addresses, Load, run_load
from bench.machine import LOAD_CORE, cpu_seconds, settle
from bench.servers import Server

_SECONDS = 2.5
_WARM_UP = 2000


class Sample(NamedTuple):
    """One contender's run in one round."""

    cpu: float
    """CPU microseconds of the server's process tree for each message."""
    load: Load


class Contender:
    """A server and its runs."""

    def __init__(
        self,
        server: Server,
        addresses: Addresses,
        *,
        connections: int = CONNECTIONS,
        messages: int = 0,
        warm: bool = False,
        signature: str = "",
        message: Path | None = None,
        core: int = LOAD_CORE,
    ) -> None:
        """Warm it up. Without `messages`, a run has as many as fit in about 2.5 seconds.

        With `warm`, the same clients send again in each run, so that the cache has all answers about them. The load is
        on `core`; `message` is as `run_load` has it.
        """
        self._warm = warm
        self._signature = signature
        self._message = message
        self._core = core
        self._server = server
        self._addresses = addresses
        self._connections = connections
        self.messages = messages or _WARM_UP
        self.samples: list[Sample] = []
        warm_up = self._run().load
        if not messages:
            self.messages = min(max(int(warm_up.rate * _SECONDS), 1000), 50_000)

    def _run(self) -> Sample:
        before = cpu_seconds(self._server.pid)
        first = 0 if self._warm else self._addresses.take(self.messages)
        load = run_load(
            self._server.socket, first, self.messages, connections=self._connections, signature=self._signature,
            message=self._message, core=self._core,
        )  # fmt: skip
        settle(self._server.pid)
        used = cpu_seconds(self._server.pid) - before
        return Sample(used * 1e6 / self.messages, load)

    def run(self) -> None:
        """Add a sample."""
        self.samples.append(self._run())

    @property
    def cpu(self) -> float:
        """Median CPU microseconds a message."""
        return statistics.median(sample.cpu for sample in self.samples)

    @property
    def dropped(self) -> int:
        """Messages that got no answer, or a 4xx."""
        return sum(sample.load.lost + sample.load.deferred for sample in self.samples)

    @property
    def rate(self) -> float:
        """Median messages a second."""
        return statistics.median(sample.load.rate for sample in self.samples)


def alternate(contenders: Sequence[Contender], rounds: int) -> None:
    """Let each run once a round."""
    for _ in range(rounds):
        for contender in contenders:
            contender.run()


def cpu_ratios(above: Contender, below: Contender) -> list[float]:
    """Return CPU of one over CPU of the other, round by round."""
    return [one.cpu / other.cpu for one, other in zip(above.samples, below.samples, strict=True)]
