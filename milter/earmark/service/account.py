"""Who the service runs as, and the directory that is its own."""

import fcntl
import os
import pwd
from pathlib import Path

from earmark.service.sockets import ListenError, refuse_unsafe


class StartError(Exception):
    """The service cannot start as asked; the text says what to change."""


def account_for(user: str) -> pwd.struct_passwd | None:
    """Return the account to change to; None to stay who we are.

    Raises StartError: root without `user`, or an account that does not exist.
    """
    if os.geteuid() != 0:
        return None
    if not user:
        raise StartError('earmark: started as root: name an account in server.toml, as in user = "earmark"')
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise StartError(f"earmark: policies/server.toml: user: no account {user!r} on this machine") from None
    return account if account.pw_uid != 0 else None


def become(account: pwd.struct_passwd) -> None:
    """Give up root for good: groups first, the user last."""
    os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)


def prepare_state(directory: Path, account: pwd.struct_passwd | None) -> int:
    """Make `directory` ours, 0750, and lock it. Return the lock's descriptor: to keep open, and to close in children.

    Raises StartError: it cannot be made, anybody may write to it, or another instance holds it.
    """
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        refuse_unsafe(directory)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
            os.fchown(lock, account.pw_uid, account.pw_gid)
    except ListenError as error:
        raise StartError(f"earmark: {error}") from error
    except OSError as error:
        raise StartError(f"earmark: {error.filename or directory}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode("ascii", "replace").strip()
        os.close(lock)
        raise StartError(f"earmark: {directory}: another instance, process {holder}, works here") from None
    os.ftruncate(lock, 0)
    os.write(lock, b"%d\n" % os.getpid())
    return lock
