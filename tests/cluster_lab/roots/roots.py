"""Debian machines as far as Ansible sees them: a root directory each, entered by chroot, in which no service starts."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

PLAY = Path(__file__).with_name("play")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
PACKAGES = "ca-certificates,python3,python3-apt,adduser"
FROM_HERE = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
"""What a root needs to reach the packages that this machine reaches."""
CLEAN_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
QUICK = """
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
path-include=/usr/share/doc/nftables/*
"""
"""For dpkg: nobody needs these roots after a loss of power, or reads in them. The roles copy an example of nftables."""
NO_SERVICES = "#!/bin/sh\nexit 101\n"


class Run(NamedTuple):
    """How a playbook went."""

    status: int
    output: str

    @property
    def changed(self) -> list[str]:
        """The tasks that changed something, with the machine."""
        tasks = re.findall(
            r"^(?:TASK|RUNNING HANDLER) \[(.*?)\] \*+\n((?:(?!^(?:TASK|RUNNING|PLAY)).*\n?)*)",
            self.output,
            re.MULTILINE,
        )
        return [
            f"{name} [{on}]"
            for name, said in tasks
            for on in re.findall(r"^changed: \[(\S+?)(?: -> .*)?\]", said, re.MULTILINE)
        ]

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """What Ansible counted, by machine."""
        _, _, recap = self.output.partition("PLAY RECAP")
        lines = re.findall(r"^(\S+)\s+: (.*)$", recap, re.MULTILINE)
        return {name: {key: int(count) for key, count in re.findall(r"(\w+)=(\d+)", counts)} for name, counts in lines}


def missing() -> str:
    """Return why there can be no roots here; "" where there can."""
    if os.geteuid():
        return "only root enters a chroot"
    absent = [name for name in ("debootstrap", "chroot", "unshare") if shutil.which(name, path=PATH) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def base() -> Path:
    """Return a minimal Debian 12 out of the cache, after building it where nobody has yet."""
    cache = Path(os.environ.get("EARMARK_CACHE") or Path.home() / ".cache" / "earmark")
    directory = cache / f"root-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:16]}"
    if not directory.is_dir():
        new = directory.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.parent.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", new]
        subprocess.run([*command, "http://deb.debian.org/debian"], env={**os.environ, "PATH": PATH}, check=True)
        new.replace(directory)
    return directory


class Roots:
    """Some machines, by name."""

    def __init__(self, top: Path, machines: Iterable[str]) -> None:
        self.top = top
        for name in ("transfer", "archives/partial", "enter"):
            (top / name).mkdir(parents=True)
        for machine in machines:
            self._make(machine)

    def _make(self, machine: str) -> None:
        root = self.root(machine)
        root.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", "--reflink=auto", base(), root], check=True)
        for name in FROM_HERE:
            if Path("/", name).exists():
                shutil.copy(Path("/", name), root / name)
        sources = root / "etc/apt/sources.list.d"
        if Path("/etc/apt/sources.list.d/debian.sources").exists():
            shutil.copy("/etc/apt/sources.list.d/debian.sources", sources)
            (root / "etc/apt/sources.list").unlink()
        (root / "etc/dpkg/dpkg.cfg.d/quick").write_text(QUICK)
        policy = root / "usr/sbin/policy-rc.d"
        policy.write_text(NO_SERVICES)
        policy.chmod(0o755)
        enter = self.top / "enter" / machine
        enter.write_text(f'#!/bin/sh\nexec chroot {root} /usr/bin/env -i PATH={CLEAN_PATH} HOME=/root /bin/sh "$@"\n')
        enter.chmod(0o755)
        inside = root / enter.relative_to("/")  # what Ansible calls the machine's shell, inside too
        inside.parent.mkdir(parents=True)
        inside.symlink_to("/bin/sh")

    def root(self, machine: str) -> Path:
        """Return its root directory."""
        return self.top / "roots" / machine

    def reached(self) -> dict[str, dict[str, str]]:
        """Return how Ansible gets into each, as variables of its inventory."""
        return {
            enter.name: {
                "ansible_connection": "local",
                "ansible_shell_executable": str(enter),
                "ansible_remote_tmp": str(self.top / "transfer"),
                "ansible_python_interpreter": "/usr/bin/python3",
            }
            for enter in sorted((self.top / "enter").iterdir())
        }

    def play(self, playbook: Path, inventories: Iterable[Path], extra: Mapping[str, str], within: float) -> Run:
        """Run a playbook. Raises TimeoutExpired."""
        command: list[str | Path] = ["unshare", "--mount", "--fork", "--kill-child", PLAY, self.top]
        command += [sys.executable, "-m", "ansible", "playbook", playbook]
        for inventory in inventories:
            command += ["--inventory", inventory]
        for name, value in extra.items():
            command += ["--extra-vars", f"{name}={value}"]
        settings = {
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORKS": "1",  # the roots share apt's archives, and their lock is waited for a minute at most
            "ANSIBLE_PIPELINING": "1",  # one process for a module in place of five, and there are some hundreds
            "ANSIBLE_HOME": str(self.top / "ansible"),
            "PATH": PATH,
            "LC_ALL": "C.UTF-8",
        }
        run = subprocess.run(
            command, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=within, check=False,
        )  # fmt: skip
        return Run(run.returncode, run.stdout)
