"""The watcher: the one child that does what must happen once on a machine. Today it keeps the history small."""

import select
import threading
from pathlib import Path

from earmark.log import Log
from earmark.service.bundle import Bundle
from earmark.service.channel import Channel
from earmark.service.crew import HEARTBEAT
from earmark.service.output import standard_log
from earmark.stores.history import FILE_NAME
from earmark.stores.prune import prune
from earmark.stores.sqlite import StoreError

_EVERY = 60.0
"""Seconds between two prunings: how long the history may grow beyond its size."""


def run(bundle: Bundle, state: Path, channel: Channel) -> int:
    """Work until told to leave by `channel`; return the exit status.

    Pruning has a thread of its own, since it takes as long as there is something to forget; the end may cut it off.
    """
    counters = {"pruned": 0}
    pruner = threading.Thread(target=_prune_forever, args=(bundle, state, standard_log(), counters), daemon=True)
    pruner.start()
    while True:
        channel.send({"sessions": 0, "counters": counters})
        told, _, _ = select.select([channel], [], [], HEARTBEAT)
        if told:
            return 0


def _prune_forever(bundle: Bundle, state: Path, log: Log, counters: dict[str, int]) -> None:
    resting = threading.Event()
    while True:
        try:
            counters["pruned"] += prune(
                state / FILE_NAME, log, days=bundle.history_days, megabytes=bundle.history_megabytes
            )
        except (StoreError, OSError) as error:
            log.event("prune_failed", level="error", why=str(error))
        resting.wait(_EVERY)
