"""The load: miltload on its own core, and what it counted."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.machine import LOAD_CORE, pinned
from bench.programs import program

CONNECTIONS = 50
_AT_MOST = 600


class Load(NamedTuple):
    """What a run of the load saw."""

    messages: int
    seconds: float
    lost: int
    """Connections that were closed early, answered out of protocol or not at all."""
    deferred: int
    refused: int
    held: int
    edits: int
    milliseconds: dict[str, dict[str, float]]
    """p50, p99 and max by what was timed."""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else 0.0


class Addresses:
    """Numbers of client addresses: each one is used once, so that every list is asked anew about every client."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> int:
        """Return the first of `count` numbers that nobody had."""
        first, self._next = self._next, self._next + count
        return first


def run_load(
    socket: Path | int, first: int, messages: int, *, connections: int = CONNECTIONS, rate: float = 0.0,
    while_held: Callable[[], None] | None = None, patience: int = 30, signature: str = "",
    message: Path | None = None, core: int = LOAD_CORE,
) -> Load:  # fmt: skip
    """Send messages from client addresses `first` and on; in the open loop of `rate` messages a second where given.

    They go to a unix socket, or to a port of 127.0.0.1. With `while_held` all messages wait, once they have sent MAIL,
    until that has returned. A session that hears nothing for `patience` seconds is lost. `signature` is the value of a
    DKIM-Signature field that each message has; with `message`, a file, all are that one (see `bench.mails`).
    """
    options = ["-c", str(connections), "-n", str(messages), "-a", str(first), "-t", str(patience)]
    options += ["-r", f"{rate:.3f}"] if rate else []
    options += ["-s", signature] if signature else []
    options += ["-m", str(message)] if message else []
    options += ["-h"] if while_held else []
    command = pinned(core, program("miltload"), *options, str(socket))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as generator:
        assert generator.stdout is not None
        if while_held:
            generator.stdout.readline()
            while_held()
        printed, _ = generator.communicate("\n", timeout=_AT_MOST)
    return _read(json.loads(printed))


def _read(counted: dict[str, Any]) -> Load:
    lost = counted["dropped"] + counted["out_of_protocol"] + counted["timed_out"]
    return Load(
        counted["messages"], counted["seconds"], lost, counted["deferred"], counted["refused"], counted["held"],
        counted["edits"], counted["milliseconds"],
    )  # fmt: skip
