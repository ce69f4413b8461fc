"""The watcher: the one child that does what must happen once on a machine.

It asks the canaries of all lists and the age of ClamAV's signatures, keeps the history small, and the quarantine in
order.
"""

import asyncio
import threading
from pathlib import Path
from typing import Any

from earmark import config
from earmark.log import Log
from earmark.service.board import portions
from earmark.service.bundle import Bundle
from earmark.service.canary_rounds import CanaryRounds
from earmark.service.channel import Channel
from earmark.service.crew import HEARTBEAT
from earmark.service.lists import keys_of, lists_of
from earmark.service.output import standard_log
from earmark.service.signatures import Signatures
from earmark.stores.history import FILE_NAME
from earmark.stores.prune import prune
from earmark.stores.quarantine import DIRECTORY
from earmark.stores.quarantine_upkeep import tidy
from earmark.stores.sqlite import StoreError

_EVERY = 60.0
"""Seconds between two prunings: how long the history may grow beyond its size, and what is held beyond its age."""


def run(bundle: Bundle, state: Path, channel: Channel) -> int:
    """Work until told to leave by `channel`; return the exit status.

    Pruning has a thread of its own, since it takes as long as there is something to forget; the end may cut it off.
    """
    generation = config.compile_generation(bundle.files)
    shadow = config.compile_generation(bundle.shadow.files) if bundle.shadow else None
    log = standard_log()
    keys, problems = keys_of(generation, shadow)
    for problem in problems:
        log.event("key_unreadable", level="error", why=str(problem))
    resolvers = generation.server.dns.resolvers
    rounds = CanaryRounds(lists_of(generation, shadow), resolvers, bundle.health, log, keys=keys)
    counters = {"pruned": 0, "quarantine_expired": 0}
    threading.Thread(target=_prune_forever, args=(bundle, state, log, counters), daemon=True).start()
    signatures = Signatures(generation.server.clamd.endpoints)
    asyncio.run(_watch(rounds, signatures, channel, counters))
    return 0


async def _watch(rounds: CanaryRounds, signatures: Signatures, channel: Channel, counters: dict[str, int]) -> None:
    """Tell what is found until something is said to us. A fault of ours ends the process: there is another one."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(channel.fileno(), told.set)
    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(work) for work in (rounds.run(), signatures.watch(), told.wait())
    ]
    done: set[asyncio.Task[Any]] = set()
    while not done:
        for lines in portions({name: line.told() for name, line in rounds.lines.items()}):
            channel.send({"sessions": 0, "counters": counters, "lists": lines, "signatures": signatures.issued})
        done, _ = await asyncio.wait(tasks, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for task in done:
        task.result()


def _prune_forever(bundle: Bundle, state: Path, log: Log, counters: dict[str, int]) -> None:
    resting = threading.Event()
    unreadable: set[str] = set()
    while True:
        try:
            counters["pruned"] += prune(
                state / FILE_NAME, log, days=bundle.history_days, megabytes=bundle.history_megabytes
            )
        except (StoreError, OSError) as error:
            log.event("prune_failed", level="error", why=str(error))
        try:
            counters["quarantine_expired"] += tidy(state / DIRECTORY, log, unreadable)
        except StoreError as error:
            log.event("quarantine_failed", level="error", why=str(error))
        resting.wait(_EVERY)
