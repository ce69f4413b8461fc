"""Ansible, here, on machines of the lab: its modules run there, by the agent of each host."""

import json
import socketserver
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

from cluster_lab.machines.host import Host
from cluster_lab.roots.roots import Run

_RELAY = Path(__file__).with_name("relay.py")


class _Door(socketserver.UnixStreamServer):
    """Runs on a host what comes through a socket, one command after the other."""

    def __init__(self, socket: Path, host: Host) -> None:
        super().__init__(str(socket), _Request)
        self.host = host


class _Request(socketserver.StreamRequestHandler):
    server: _Door

    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        status, text = self.server.host.attempt(*asked["words"], given=asked["given"])
        self.wfile.write(json.dumps({"status": status, "text": text}).encode() + b"\n")


def play(playbook: Path, roles: Path, inventory: Path, hosts: Iterable[Host], within: float) -> Run:
    """Run a playbook on running hosts. Ansible copies no file there: those that are not there yet fail the task."""
    top = playbook.parent
    with ExitStack() as doors:
        reached = {host.name: doors.enter_context(_open(top, host)) for host in hosts}
        (top / "machines.json").write_text(json.dumps({"all": {"hosts": reached}}))
        settings = {
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(top / "ansible"),
            "ANSIBLE_ROLES_PATH": str(roles),
            "ANSIBLE_PIPELINING": "1",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
        }
        command: list[str | Path] = [sys.executable, "-m", "ansible", "playbook", playbook]
        command += ["--inventory", inventory, "--inventory", top / "machines.json"]
        run = subprocess.run(
            command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=within,
            check=False,
        )  # fmt: skip
    return Run(run.returncode, run.stdout)


@contextmanager
def _open(top: Path, host: Host) -> Iterator[dict[str, str]]:
    """Open a way to a host for Ansible, and yield it as variables of its inventory."""
    shell, socket = top / f"shell-{host.name}", top / f"door-{host.name}"
    shell.write_text(f'#!/bin/sh\nexec {sys.executable} -I {_RELAY} {socket} "$@"\n')
    shell.chmod(0o755)
    with _Door(socket, host) as door:
        Thread(target=door.serve_forever, daemon=True).start()
        try:
            yield {
                "ansible_connection": "local",
                "ansible_shell_executable": str(shell),
                "ansible_python_interpreter": "/usr/bin/python3",
            }
        finally:
            door.shutdown()
