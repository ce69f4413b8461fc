"""What belongs to us on this machine: the configuration's files, the keys, the state directory; and the clock."""

import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from earmark.config import Generation
from earmark.config.files import writable_by_others
from earmark.service.doctor.access import READ, Account, find_account, obstacle
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown, warns
from earmark.service.lists import keys_of

_AS_ROOT = "run earmark doctor as root"
_YEARS = range(2026, 2100)
"""A clock that is outside has never been set: no mail of then needs this program."""


def diagnose_clock(now: float) -> Diagnosis:
    """Say whether the time of day, in seconds since the epoch, can be true."""
    shown = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    if time.gmtime(now).tm_year in _YEARS:
        return passes("clock", shown)
    return fails("clock", f"it is not {shown}", "set the clock, and keep it by NTP: greylisting and signatures need it")


def diagnose_files(directory: Path, generation: Generation, shadow: Generation | None) -> Iterator[Diagnosis]:
    """Say who else can change the configuration, and whether the service can read its keys."""
    for path in writable_by_others(directory):
        yield warns(f"file {path}", "everybody on this machine can change it", f"chmod o-w {path}")
    for problem in keys_of(generation, shadow)[1]:
        yield fails("key", str(problem), "let the service's account read that file, and others not (mode 0600 or 0640)")
    account = find_account(generation.server.user)
    if account:
        for path in _secrets(generation, shadow):
            yield from _readable(path, account)


def _secrets(generation: Generation, shadow: Generation | None) -> list[Path]:
    files = [file for each in (generation, shadow) if each for file in each.key_files.values()]
    return [Path(name) for name in dict.fromkeys([*files, generation.server.store.password_file]) if name]


def _readable(path: Path, account: Account) -> Iterator[Diagnosis]:
    """Say whether the service's account can read what root can: the service gives root up before it reads."""
    check = f"key {path}"
    try:
        closed = obstacle(path, account, READ)
    except FileNotFoundError:
        return  # said above
    except OSError as error:
        yield unknown(check, f"{error.filename}: {error.strerror}", _AS_ROOT)
        return
    if closed:
        yield fails(
            check,
            f"the mode of {closed} keeps {account.name} out",
            f"chgrp {account.name} {closed}; chmod g+rX {closed}",
        )
    else:
        yield passes(check, f"{account.name} can read it")


def diagnose_state(directory: Path, user: str) -> Diagnosis:
    """Say whether the state directory is there, and the account's alone. `user` is "" where none is configured."""
    check = f"state {directory}"
    try:
        status = directory.stat()
    except FileNotFoundError:
        return warns(check, "it does not exist", "start the service: it makes it")
    except OSError as error:
        return unknown(check, error.strerror or str(error), _AS_ROOT)
    account = find_account(user)
    if user and account is None:
        return fails(check, f"there is no account {user} to own it", "make it, or set user in server.toml")
    if account and status.st_uid != account.uid:
        return fails(check, f"it does not belong to {user}", f"chown -R {user} {directory}")
    return _private(check, directory, status)


def _private(check: str, directory: Path, status: os.stat_result) -> Diagnosis:
    if status.st_mode & stat.S_IWOTH:
        return fails(check, "everybody on this machine can write there", f"chmod 0750 {directory}")
    if status.st_mode & stat.S_IRWXO:
        seen = f"its mode is {stat.S_IMODE(status.st_mode):04o}: others can look into it, and it holds mail addresses"
        return warns(check, seen, f"chmod 0750 {directory}")
    return passes(check, f"mode {stat.S_IMODE(status.st_mode):04o}")
