"""The stores: can what is kept be read, and does Redis answer in the time that mail gives it?"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from earmark.config import Generation, store_password
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown
from earmark.stores import history, state_sqlite
from earmark.stores.sqlite import HISTORY, Schema, StoreError, look_into


def diagnose_stores(state: Path, generation: Generation) -> Iterator[Diagnosis]:
    """Look into the files of the state directory, and into Redis where that is configured."""
    yield _file("history", state / history.FILE_NAME, HISTORY)
    url = generation.server.store.url
    if not url:
        yield _file("store", state / state_sqlite.FILE_NAME, state_sqlite.STATE)
        return
    password, problems = store_password(generation)
    if not problems:  # else the key has been complained of
        yield _redis(url, password)


def _file(check: str, path: Path, schema: Schema) -> Diagnosis:
    try:
        look_into(path, schema)
    except FileNotFoundError:  # who needs it makes it
        return passes(check, f"{path}: nothing is kept there yet")
    except OSError as error:
        return unknown(check, f"{path}: {error.strerror}", "run earmark doctor as root")
    except StoreError as error:
        return fails(check, str(error), "look into the service's log; while this lasts, nothing is remembered")
    return passes(check, f"{path} can be read")


def _redis(url: str, password: str) -> Diagnosis:
    from earmark.stores.redis import BUDGET, time_ping  # noqa: PLC0415 - 0.2 s that most sites never need

    try:
        return diagnose_ping(url, asyncio.run(time_ping(url, password)), BUDGET)
    except OSError as error:
        return fails("store", str(error), "start that Redis, or correct [store] url and password_file")


def diagnose_ping(url: str, seconds: float, budget: float) -> Diagnosis:
    """Say whether a Redis that took so many seconds for a PING is in time; mail gives it `budget` seconds."""
    seen = f"{url} answers PING in {seconds * 1000:.1f} ms"
    if seconds > budget:
        return fails("store", f"{seen}; mail waits {budget * 1000:.0f} ms", "use one that is nearer, or has less to do")
    return passes("store", seen)
