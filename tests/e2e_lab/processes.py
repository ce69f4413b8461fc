"""Servers as child processes: a log file each, awaited by condition, ended by the pid that was started."""

import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
"""Where servers are found, whoever runs the tests."""
STOP_WITHIN = 20.0
_taken: set[int] = set()


class NotInTimeError(AssertionError):
    """A condition that a test waits for did not come true."""


@cache
def service_account() -> str:
    """Return as whom earmark runs here: "nobody" where root may and nobody can read this checkout, else who tests."""
    return "nobody" if os.geteuid() == 0 and reachable_by_nobody() else getpass.getuser()


def reachable_by_nobody() -> bool:
    """Return whether the account nobody can import what is tested. Only root can ask."""
    command = [sys.executable, "-c", "import earmark.core.text"]
    try:
        asked = subprocess.run(command, user="nobody", group="nogroup", cwd="/", capture_output=True, check=False)
    except OSError:
        return False
    return not asked.returncode


def wait_until(condition: Callable[[], object], what: str, within: float = 20.0) -> None:
    """Return once `condition` holds; raise NotInTimeError, naming `what`, after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTimeError(f"not within {within:g} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that is free on 127.0.0.1 for TCP and UDP, never the same one twice."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _taken:
            _taken.add(port)
            return port


def accepts(port: int) -> bool:
    """Return whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def told_by(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end; raise where it fails; return what it printed."""
    environment = {**os.environ, "PATH": PATH}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


class Process:
    """A server in the foreground, in a session of its own; what it prints goes to `log`."""

    def __init__(self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": PATH, **(environment or {})},
                cwd="/",
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def send(self, signal_number: int) -> None:
        self._child.send_signal(signal_number)

    def wait(self, within: float = STOP_WITHIN) -> int:
        return self._child.wait(within)

    def stop(self) -> int:
        """End it: SIGCONT in case a test has stopped it, SIGTERM, and SIGKILL for what does not heed that."""
        if self.running:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                return self.wait()
            except subprocess.TimeoutExpired:
                self.send(signal.SIGKILL)
        return self.wait()
