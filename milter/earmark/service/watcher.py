"""The watcher: the one child that does what must happen once on a machine. Today it keeps the history small."""

import select
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path

from earmark import config
from earmark.config.settings import HistorySettings
from earmark.log import Log
from earmark.service.channel import Channel
from earmark.service.crew import HEARTBEAT
from earmark.service.output import standard_log
from earmark.stores.history import FILE_NAME
from earmark.stores.prune import prune
from earmark.stores.sqlite import StoreError

_EVERY = 600.0
"""Seconds between two prunings."""


def run(files: Mapping[str, bytes], state: Path, channel: Channel) -> int:
    """Work until told to leave by `channel`; return the exit status.

    Pruning has a thread of its own, since it takes as long as there is something to forget; the end may cut it off.
    """
    settings = config.compile_generation(files).server.history
    counters = {"pruned": 0}
    pruner = threading.Thread(target=_prune_forever, args=(settings, state, standard_log(), counters), daemon=True)
    pruner.start()
    while True:
        channel.send({"sessions": 0, "counters": counters})
        told, _, _ = select.select([channel], [], [], HEARTBEAT)
        if told:
            return 0


def _prune_forever(settings: HistorySettings, state: Path, log: Log, counters: dict[str, int]) -> None:
    resting = threading.Event()
    while True:
        try:
            counters["pruned"] += prune(state / FILE_NAME, log, days=settings.days, megabytes=settings.megabytes)
        except (sqlite3.Error, StoreError, OSError) as error:
            log.event("prune_failed", level="error", why=str(error))
        resting.wait(_EVERY)
