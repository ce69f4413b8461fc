"""Child processes: born by fork, closed off from what is the supervisor's, and never living longer than it."""

import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_OWN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_NOT_OURS = (signal.SIGINT, signal.SIGHUP)
"""What a terminal sends to everybody: the supervisor decides what it means."""
_libc = ctypes.CDLL(None, use_errno=True)


def fork(body: Callable[[], int], forget: Callable[[], None]) -> int:
    """Start a child that runs `forget`, then `body`, and ends with its return value. Return the child's process id.

    `forget` closes the descriptors that the child must not hold. An exception in the child ends it with status 70
    (EX_SOFTWARE, sysexits.h), its traceback on standard error.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = os.EX_SOFTWARE
    try:
        _die_with(parent)
        signal.set_wakeup_fd(-1)
        for number in _OWN_SIGNALS:
            signal.signal(number, signal.SIG_IGN if number in _NOT_OURS else signal.SIG_DFL)
        forget()
        gc.freeze()  # what the supervisor made is not searched for garbage, so its pages stay shared
        status = body()
    except BaseException:  # noqa: BLE001 - the last frame of a process: nothing may climb into the supervisor's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, however that comes about and whatever we are busy with."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before we had asked
        os._exit(os.EX_SOFTWARE)


def reap() -> dict[int, str]:
    """Collect the children that have ended: by process id, how ("status 0", "signal 9")."""
    ended: dict[int, str] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended[pid] = how_it_ended(status)


def how_it_ended(status: int) -> str:
    """Put a wait status into words."""
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"status {os.WEXITSTATUS(status)}"


def kill(pid: int) -> None:
    """End a child of ours at once; one that has just ended by itself is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
