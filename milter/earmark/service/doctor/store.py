"""The stores: can what is kept be read, and does Redis answer in the time that mail gives it?"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from earmark.config import Generation, store_password
from earmark.service.doctor.access import READ, WRITE, owner_of, permits
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown
from earmark.stores import access_file, history, state_sqlite
from earmark.stores.sqlite import StoreError, look_into

_FORGETFUL = "look into the service's log; while this lasts, nothing is remembered"
_NOBODY = (
    "nobody is refused while it cannot be read since the start: move it away, import the last export (docs/access.md)"
)


def diagnose_stores(state: Path, generation: Generation) -> Iterator[Diagnosis]:
    """Look into the files of the state directory, and into Redis where that is configured."""
    yield _file("access lists", state / access_file.FILE_NAME, access_file.look_into, _NOBODY)
    yield _file("history", state / history.FILE_NAME, look_into, _FORGETFUL)
    url = generation.server.store.url
    if not url:
        yield _file("store", state / state_sqlite.FILE_NAME, partial(look_into, schema=state_sqlite.STATE), _FORGETFUL)
        return
    password, problems = store_password(generation)
    if not problems:  # else the key has been complained of
        yield _redis(url, password)


def _file(check: str, path: Path, look: Callable[[Path], None], mend: str) -> Diagnosis:
    try:
        look(path)
        closed_to = _closed_to(path)
    except FileNotFoundError:  # who needs it makes it
        return passes(check, f"{path}: nothing is kept there yet")
    except OSError as error:
        return unknown(check, f"{path}: {error.strerror}", "run earmark doctor as root")
    except StoreError as error:
        return fails(check, str(error), mend)
    if closed_to:
        return fails(
            check, f"{path}: its mode or owner keeps {closed_to} out", f"chown {closed_to} {path}; chmod 0640 {path}"
        )
    return passes(check, f"{path} can be read")


def _closed_to(path: Path) -> str:
    """Return the account that owns the state directory, where it may not read and write this file; else ""."""
    account = owner_of(path.parent.stat())
    return account.name if account and not permits(path.stat(), account, READ | WRITE) else ""


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
