"""The whole path in a worker under cProfile. Started by `./dev bench --profile` as a process of its own.

The worker is the service's, without the supervisor: this file takes the supervisor's place at the other end of its
channel, hands it a listening socket, and later tells it to drain.
"""

import asyncio
import cProfile
import pstats
import socket
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import uvloop

from earmark import config
from earmark.clients.health import Health
from earmark.core.canaries import Condition, State
from earmark.service.channel import Channel
from earmark.service.worker import Worker

_SHOWN = 40


def main(directory: Path, path: Path, state: Path) -> None:
    """Serve on the unix socket `path` until standard input ends; print what took the most time of its own."""
    ours, theirs = Channel.pair()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1024)
    listener.setblocking(False)
    ours.send({"do": "accept"}, [listener.fileno()])
    threading.Thread(target=_drain_later, args=(ours,), daemon=True).start()
    state.mkdir(exist_ok=True)
    generation = config.load(directory)
    worker = Worker(generation, None, _all_armed(generation.zones), state, theirs, workers=1)
    profile = cProfile.Profile()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        profile.runcall(runner.run, worker.run())
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(_SHOWN)


def _all_armed(zones: Iterable[str]) -> Health:
    """Return the health that the watcher would find; there is none here."""
    health = Health(zones)
    for place in range(len(health.zones)):
        health.set_state(place, State(Condition.ARMED))
    return health


def _drain_later(channel: Channel) -> None:
    sys.stdin.read()
    channel.send({"do": "drain"})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
