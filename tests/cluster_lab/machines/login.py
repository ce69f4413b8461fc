"""Root's way into a machine of the lab by SSH: for a test, and for Ansible."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cluster_lab.machines.image import PATH
from cluster_lab.roots.roots import Run


def new_key(file: Path) -> None:
    """Make a pair of SSH keys, the public one beside it as FILE.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)


class Login(NamedTuple):
    """A key, and the port of 127.0.0.1 that leads to the machine's SSH server."""

    key: Path
    port: int

    def attempt(self, line: str) -> "subprocess.CompletedProcess[str]":
        """Run a line of shell there; status 255 where SSH does not get in."""
        command = ["ssh", "-q", "-i", str(self.key), "-p", str(self.port), *self._options(), "root@127.0.0.1", line]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    def run(self, line: str) -> str:
        """Run a line of shell there, which must not fail, and return what it prints."""
        ended = self.attempt(line)
        assert not ended.returncode, f"{line}: status {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def variables(self) -> dict[str, object]:
        """Return what Ansible's inventory has to say of the machine."""
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": " ".join(self._options()),
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def _options(self) -> list[str]:
        known = f"{self.key}.known"
        return ["-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]


def play(playbook: Path, rendered: Path, logins: Mapping[str, Login], variables: Mapping[str, object]) -> Run:
    """Run a playbook on these machines, and no others, by the rendered inventory."""
    machines = rendered / "machines.json"
    machines.write_text(json.dumps({"all": {"hosts": {name: login.variables() for name, login in logins.items()}}}))
    command: list[str | Path] = [sys.executable, "-m", "ansible", "playbook", playbook, "--limit", ",".join(logins)]
    command += ["--inventory", rendered / "cluster" / "ansible.yml", "--inventory", machines]
    command += ["--extra-vars", json.dumps(variables)]
    settings = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", "ANSIBLE_TIMEOUT": "120"}
    settings |= {"ANSIBLE_HOME": str(rendered / "ansible"), "HOME": str(rendered), "PATH": PATH, "LC_ALL": "C.UTF-8"}
    run = subprocess.run(
        command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3600, check=False
    )
    return Run(run.returncode, run.stdout)
