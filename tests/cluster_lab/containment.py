"""What a node must be before anything of a cluster is started in it.

A Pacemaker that is at its wits' end writes to /proc/sysrq-trigger, which reboots the kernel: the machine that runs the
tests, not the node. And what moves addresses and mounts disks must find neither the machine's network nor its mounts.
"""

import os
import stat
from pathlib import Path

NAMESPACES = ("pid", "net", "mnt")
_NULL = os.makedev(1, 3)
_PROC = Path("/proc")


class NotContainedError(AssertionError):
    """A node that could harm the machine it runs on; nothing has been started in it."""


def refuse_unless_contained(pid: int, proc: Path = _PROC) -> None:
    """Raise NotContainedError where the node whose first process this is could harm the machine."""
    shared = [name for name in NAMESPACES if _namespace(proc / str(pid), name) == _namespace(proc / "self", name)]
    if shared:
        raise NotContainedError(f"shares the machine's namespaces: {', '.join(shared)}")
    if not _masked(proc / str(pid) / "root" / "proc" / "sysrq-trigger"):
        raise NotContainedError("/proc/sysrq-trigger is not masked")


def _namespace(process: Path, name: str) -> str:
    return str((process / "ns" / name).readlink())


def _masked(trigger: Path) -> bool:
    """Return whether writing there does nothing: it is the null device, or a kernel without sysrq has no such file."""
    try:
        found = trigger.stat()
    except FileNotFoundError:
        return True
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == _NULL
