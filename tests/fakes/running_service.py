"""`earmark serve` as real processes over a configuration of its own, with a small DNS server as its resolver."""

import contextlib
import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
LISTED, CLEAN = "192.0.2.2", "198.51.100.7"
WITHIN = 30.0
ENGINE = os.environ.get("EARMARK_ENGINE", "native")
"""The milter engine. libmilter listens on one socket, by TCP; then there is no unix one."""
two_sockets = pytest.mark.skipif(ENGINE == "libmilter", reason="libmilter listens on one socket")
"""What a test is marked with that is about both."""

_SERVER = """schema = 1
user = "{user}"
state = "{top}/state"
workers = {workers}
drain = {drain}

[milter]
engine = "{engine}"
listen = {listen}

[dns]
resolvers = ["{resolver}"]
"""
_RULES = """[[zone]]
name = "bl.test"
owner = "a test"
kind = "block"
ask = ["connection"]

[[zone.code]]
symbol = "BL_LISTED"
code = "127.0.0.2"
score = 10.00
meaning = "listed"
scope = "address"
deep = false
"""
_DOMAIN = 'domains = ["example.org"]\nmode = "{mode}"\n\n[listings]\nzones = ["bl.test"]\n'
_ZONE = """2.0.0.127.bl.test. A 127.0.0.2
2.2.0.192.bl.test. A 127.0.0.2
7.100.51.198.in-addr.arpa. PTR mail.example.net.
mail.example.net. A 198.51.100.7
example.net. MX 10 mail.example.net.
"""


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN:g} s: {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def alive(pid: int) -> bool:
    """Return whether a thread of the process runs; a process that nobody has collected yet has none that does.

    All of its threads count: its files stay open until the last has ended, and its first may well end before.
    """
    try:
        return any(_runs(thread) for thread in Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return False


def _runs(thread: Path) -> bool:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    except (FileNotFoundError, ProcessLookupError):
        return False


class RunningService:
    """One service: its directory, its supervisor, and how to ask it."""

    def __init__(self, top: Path, resolver: str, *, user: str = "", workers: int = 2, drain: int = 10) -> None:
        self.top = top
        self.port = free_port()
        self.config = top / "config"
        self.log = top / "log"
        self.options: list[str | Path] = []
        """More words for `earmark serve`."""
        shutil.copytree(ROOT / "rules", self.config / "rules")
        (self.config / "policies" / "domains").mkdir(parents=True)
        shutil.copy(ROOT / "policies" / "default.toml", self.config / "policies")
        (self.config / "rules" / "lists.toml").write_text(_RULES)
        self.server = self.config / "policies" / "server.toml"
        listen = [f"inet:127.0.0.1:{self.port}", f"unix:{top}/milter.sock"]
        text = _SERVER.format(
            user=user or getpass.getuser(),
            top=top,
            workers=workers,
            drain=drain,
            resolver=resolver,
            engine=ENGINE,
            listen=json.dumps(listen[:1] if ENGINE == "libmilter" else listen),
        )
        self.server.write_text(text)
        self.domain = self.config / "policies" / "domains" / "example.org.toml"
        self.set_mode("enforce")
        self.process: subprocess.Popen[bytes]

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def set_mode(self, mode: str, note: str = "") -> None:
        """Write the domain's policy anew, as an editor does that saves in one step."""
        new = self.domain.with_suffix(".new")
        new.write_text(_DOMAIN.format(mode=mode) + f"# {note}\n")
        new.replace(self.domain)

    def launch(self, environment: Mapping[str, str] | None = None, under: Sequence[str] = ()) -> None:
        """Start the supervisor, by the command `under` if there is one, and go on at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*under, PYTHON, "-m", "earmark", "serve", "-c", self.config, *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                env={**os.environ, **(environment or {})},
            )  # fmt: skip

    def start(self, under: Sequence[str] = ()) -> None:
        """Start it and wait until it is ready."""
        self.launch(under=under)
        wait_until(lambda: self.status().get("state") == "ready" or self.process.poll() is not None, "ready")
        assert self.process.poll() is None, self.log.read_text()
        self._await_first_round()

    def _await_first_round(self) -> None:
        """Wait until the list has been asked once: on a busy machine the service is ready before, and believes none.

        Not for ever: there are tests whose list, or resolver, never answers.
        """
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            conditions = {entry["zone"]: entry["condition"] for entry in self.ask("lists").get("lists", [])}
            if conditions.get("bl.test", "") != "not yet checked":
                return
            time.sleep(0.02)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run another `earmark` command over the same configuration."""
        return subprocess.run(
            [PYTHON, "-m", "earmark", *words, "-c", self.config],
            capture_output=True, text=True, timeout=WITHIN, check=False, cwd="/",
        )  # fmt: skip

    def ask(self, command: str) -> dict[str, Any]:
        """Ask the control socket, as a shell script could."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(WITHIN)
            control.connect(str(self.top / "state" / "control.sock"))
            control.sendall(json.dumps({"do": command}).encode() + b"\n")
            with control.makefile("rb") as answer:
                found: dict[str, Any] = json.loads(answer.readline())
        return found

    def status(self) -> dict[str, Any]:
        """Return what the service says of itself; {} when nobody answers."""
        try:
            return self.ask("status")
        except (OSError, ValueError):
            return {}

    def workers(self, state: str = "ready") -> list[int]:
        found = self.status().get("children", [])
        return [child["pid"] for child in found if child["role"] == "worker" and child["state"] == state]

    def children(self) -> list[int]:
        return [child["pid"] for child in self.status()["children"]]

    def counter(self, name: str) -> int:
        return int(self.status()["counters"].get(name, 0))

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log.read_bytes().rpartition(b"\n")[0].splitlines()  # the last one may be half written
        events = [json.loads(line) for line in lines if re.match(rb'\{"v":', line)]
        return [event for event in events if event["event"] == name]

    def refuses(self) -> bool:
        """Return whether connections are refused, on both sockets."""
        with socket.socket() as inet, socket.socket(socket.AF_UNIX) as unix:
            return inet.connect_ex(self.address) != 0 and unix.connect_ex(str(self.top / "milter.sock")) != 0

    def stop(self) -> int:
        """End it at once, if it still runs, show the end of its log to pytest, and return its exit status."""
        sys.stdout.write("".join(self.log.read_text().splitlines(keepends=True)[-40:]))
        for _ in range(2):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return self.process.wait(2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(5)
        self.process.kill()
        return self.process.wait()


@contextlib.contextmanager
def name_server() -> Iterator[str]:
    """Run a DNS server with the zone of these tests; give its "address:port"."""
    with tempfile.NamedTemporaryFile("w", suffix=".zone") as zone:
        zone.write(_ZONE)
        zone.flush()
        server, port = _start_name_server(zone.name)
        with server:
            try:
                yield f"127.0.0.1:{port}"
            finally:
                server.terminate()


def _start_name_server(zone: str) -> tuple["subprocess.Popen[bytes]", int]:
    """Start it anew until it has found a port that is free for both UDP and TCP."""
    command = [PYTHON, str(ROOT / "tests" / "fakes" / "dnsd.py"), "0", zone]
    while True:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert server.stdout is not None
        port = server.stdout.readline()
        if port:
            return server, int(port)
        with server:
            assert server.stderr is not None
            assert b"already in use" in server.stderr.read()
