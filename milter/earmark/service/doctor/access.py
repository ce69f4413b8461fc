"""Who may do what with a file, by its mode (path_resolution(7)). ACLs and capabilities are not looked at."""

import os
import pwd
import stat
from pathlib import Path
from typing import NamedTuple

READ, WRITE, SEARCH = stat.S_IROTH, stat.S_IWOTH, stat.S_IXOTH


class Account(NamedTuple):
    """Whom the kernel would ask about."""

    name: str
    uid: int
    groups: frozenset[int]


def find_account(name: str) -> Account | None:
    """Return an account of this machine with all its groups; None where there is none of that name."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, found.pw_uid, frozenset(os.getgrouplist(name, found.pw_gid)))


def owner_of(status: os.stat_result) -> Account | None:
    """Return the account that owns a file; None where it has no name here."""
    try:
        return find_account(pwd.getpwuid(status.st_uid).pw_name)
    except KeyError:
        return None


def permits(status: os.stat_result, account: Account, wanted: int) -> bool:
    """Return whether a file's mode gives an account all of `wanted`: READ, WRITE and SEARCH, in one number."""
    if account.uid == 0:
        return True
    if status.st_uid == account.uid:
        return status.st_mode >> 6 & wanted == wanted
    if status.st_gid in account.groups:
        return status.st_mode >> 3 & wanted == wanted
    return status.st_mode & wanted == wanted


def obstacle(path: Path, account: Account, wanted: int) -> str:
    """Return what keeps an account from `path`: itself or a directory above it; "" for nothing. Raises OSError."""
    resolved = path.resolve()
    for directory in reversed(resolved.parents):
        if not permits(directory.stat(), account, SEARCH):
            return str(directory)
    return "" if permits(resolved.stat(), account, wanted) else str(resolved)
