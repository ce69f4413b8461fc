"""`earmark serve` with a configuration and a state directory of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from e2e_lab.configuration import ENGINE, MILTER_SOCKET, Server, write_configuration
from e2e_lab.processes import Process, free_port, service_account, wait_until

EARMARK = (sys.executable, "-m", "earmark")


class Usage(NamedTuple):
    """What a supervisor and its children use."""

    children: int
    resident: int
    """Bytes of resident memory, shared pages counted in each process."""
    descriptors: int


class Service:
    """One supervisor and its workers, answering on `port` and on the unix socket `socket`."""

    def __init__(self, top: Path, resolver: int, more: str = "") -> None:
        """Start it; `more` are further lines of its server.toml."""
        self.port = free_port()
        self.configuration = top / "configuration"
        self.state = top / "state"
        self.log = top / "log"
        self.socket = self.state / MILTER_SOCKET
        self.quarantine = self.state / "quarantine"
        self.state.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(self.state, service_account())
        self._server = Server(self.port, resolver, self.state, more)
        write_configuration(self.configuration, self._server)
        self._environment = {"EARMARK_CONFIG": str(self.configuration)}
        self._process: Process
        self.start()

    def start(self) -> None:
        self._process = Process([*EARMARK, "serve"], self.log, self._environment)

    def stop(self) -> int:
        """End it as an administrator does, and return its exit code."""
        return self._process.stop()

    def restart(self, engine: str, workers: int = 2) -> None:
        """End it, and start it with this milter engine; with libmilter it answers on `socket` alone."""
        self.stop()
        self._server.write(self.configuration, engine, workers)
        self.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        door = f"inet:127.0.0.1:{self.port}" if ENGINE == "libmilter" else f"unix:{self.socket}"
        wait_until(lambda: self.run("probe", door).returncode == 0, "earmark answers a probe")
        wait_until(lambda: self.run("status").returncode == 0, "the first round of canaries is over")

    @property
    def running(self) -> bool:
        return self._process.running

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another `earmark` command with the same configuration."""
        return subprocess.run(
            [*EARMARK, *arguments],
            env={**os.environ, **self._environment, "NO_COLOR": "1"},
            capture_output=True, text=True, timeout=30, check=False, cwd="/",
        )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL to the supervisor."""
        self._process.send(signal.SIGKILL)
        self._process.wait()

    def write_domain(self, name: str, policy: str) -> None:
        """Write a file of policies/domains; it takes effect at the next reload."""
        (self.configuration / "policies" / "domains" / f"{name}.toml").write_text(policy)

    def remove_domain(self, name: str) -> None:
        (self.configuration / "policies" / "domains" / f"{name}.toml").unlink()

    def children(self) -> list[int]:
        """Return the pids of the workers and the watcher."""
        return _children(self._process.pid)

    def kill_children(self) -> None:
        """SIGKILL to all of them; return when they are gone."""
        killed = self.children()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(self.lives(pid) for pid in killed), "the killed children are gone")

    def lives(self, pid: int) -> bool:
        return Path(f"/proc/{pid}").exists()

    def events(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """Yield what the log says from byte `start` on, event by event."""
        with self.log.open("rb") as log:
            log.seek(start)
            for line in log:
                if line.startswith(b"{") and line.endswith(b"\n"):
                    yield json.loads(line)

    @contextmanager
    def growth(self) -> Iterator[list[int]]:
        """Give, after the block, by how many bytes at most the resident memory of each child has grown in it."""
        before = {pid: _resident(pid) for pid in self.children()}
        for pid in before:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew: proc(5)
        grown: list[int] = []
        yield grown
        grown += [_peak(pid) - resident for pid, resident in before.items()]

    def usage(self) -> Usage:
        """Return what supervisor and children use now."""
        children = self.children()
        pids = (self._process.pid, *children)
        return Usage(len(children), sum(map(_resident, pids)), sum(map(_descriptors, pids)))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except FileNotFoundError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _descriptors(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return 0
