"""The files of the state directory, as commands use them: beside a running service, and mostly as root."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from earmark.cli.exits import fail

T = TypeVar("T")


def in_state(directory: Path, use: Callable[[], T]) -> T:
    """Return what `use` does, done as the owner of the state directory, whose files they are to be.

    So root follows no link there that the service's account could not follow itself. Ends the command where there is no
    such directory, or a file in it cannot be used.
    """
    from earmark.stores.sqlite import StoreError

    try:
        with _as_owner(directory.stat()):
            return use()
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else error)
    except StoreError as error:
        fail(error)


@contextmanager
def _as_owner(status: os.stat_result) -> Iterator[None]:
    if os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
