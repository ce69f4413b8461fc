"""The first process of a node: makes its namespaces a machine of its own, then looks after it until killed.

    node_init.py NAME DISK LAB

Runs in new network, mount, PID, IPC and UTS namespaces. DISK is a directory that outlives the node: what the node's own
disk would keep over a loss of power. LAB holds sbin/ and ocf/, which are laid over the system's. Needs the standard
library alone.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

KEPT = (
    *("/etc/corosync", "/etc/pacemaker", "/usr/local/sbin"),
    *("/var/lib/corosync", "/var/lib/pacemaker", "/var/lib/heartbeat", "/var/log"),
)
"""What DISK holds, at the same places below it."""
LOST = {"/dev/shm": "1777", "/run": "755"}
SYSRQ = Path("/proc/sysrq-trigger")
READY = Path("/run/ready")
"""Appears when the node is one."""
SHARE = "-15"
"""As nice(1) counts: some thirty times that of others."""
LOOK = 0.03
"""Seconds between two looks for new sessions."""


def _do(*words: str) -> None:
    subprocess.run(words, check=True)


def _mount(name: str, disk: str, lab: str) -> None:
    _do("hostname", name)
    _do("mount", "-t", "proc", "proc", "/proc")
    if SYSRQ.exists():  # it reboots the kernel, which is not the node's own
        _do("mount", "--bind", "/dev/null", str(SYSRQ))
    for directory in KEPT:
        _do("mount", "--bind", disk + directory, directory)
    for directory, mode in LOST.items():
        _do("mount", "-t", "tmpfs", "-o", f"mode={mode}", "none", directory)
    for layer, directory in (("sbin", "/usr/sbin"), ("ocf", "/usr/lib/ocf/resource.d")):
        _do("mount", "-t", "overlay", "-o", f"ro,lowerdir={lab}/{layer}:{directory}", "overlay", directory)
    for directory in ("lock", "resource-agents", "crm", "corosync-qnetd", "corosync-qdevice"):
        Path("/run", directory).mkdir()
    _do("chown", "hacluster:haclient", "/run/crm")
    _do("ip", "link", "set", "lo", "up")


def _live() -> None:
    """Reap orphans, and look after new sessions, until killed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    seen: set[int] = set()
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, LOOK)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        found = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}
        for pid in found - seen:
            with suppress(OSError):
                _favour(pid)
        seen = found


def _favour(pid: int) -> None:
    """Give a session more of the processors: sched(7), "The autogroup feature".

    A host of a cluster has its processors to itself. This one shares them with whatever the machine does, and each
    session there counts as much as one of a service that is being waited for.
    """
    if os.getsid(pid) == pid:
        Path(f"/proc/{pid}/autogroup").write_text(SHARE)


if __name__ == "__main__":
    os.setsid()  # it looks after sessions in time if it has its own share
    _mount(*sys.argv[1:])
    READY.touch()
    _live()
