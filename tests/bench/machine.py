"""What the kernel says of processes, and which core is whose."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CORES = sorted(os.sched_getaffinity(0))

SERVER_CORE = _CORES[0]
"""Where the server under test runs, alone."""
LOAD_CORE = _CORES[-1]
"""Where the load generator and the DNS run."""


def pinned(core: int, *command: str | Path) -> list[str | Path]:
    """Return the command that runs another one on that core only."""
    return ["taskset", "-c", str(core), *command]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run this process on that core only, and for good what it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants that still run."""
    yield pid
    try:
        children = [task.joinpath("children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return
    for child in " ".join(children).split():
        yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process tree, user and system, reaped children counted."""
    return sum(map(_ticks, tree(pid))) / _TICKS


def _ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[11:15]))


def settle(pid: int, within: float = 3.0) -> None:
    """Wait until a process tree rests, so that what it writes late is counted with what caused it."""
    deadline = time.monotonic() + within
    resting, before = 0, cpu_seconds(pid)
    while resting < 7 and time.monotonic() < deadline:
        time.sleep(0.1)
        after = cpu_seconds(pid)
        resting = resting + 1 if after - before < 2 / _TICKS else 0
        before = after


def resident(pid: int) -> int:
    """Return the bytes of resident memory of the largest process in a tree: the worker."""
    return _resident(largest(pid))


def largest(pid: int) -> int:
    """Return the process with the most resident memory in a tree: the worker."""
    return max(tree(pid), key=_resident)


def reset_peak(pid: int) -> int:
    """Have the kernel forget how much memory a process has had at most; return the bytes that it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak(pid)


def peak(pid: int) -> int:
    """Return the most bytes of resident memory that a process has had since it began, or since `reset_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def description() -> str:
    """Return this machine in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {len(_CORES)} cores, Linux {platform.release()}, Python {platform.python_version()}"
