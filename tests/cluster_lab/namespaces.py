"""Namespaces that end with the process that keeps them, and with the tests."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e_lab.processes import wait_until

NETWORK = ("--net",)
NODE = ("--net", "--mount", "--pid", "--ipc", "--uts")
ROOTS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RUN_WITHIN = 60.0
_UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"'
"""The tests may have been killed before the signal was asked for."""
_lasting = ThreadPoolExecutor(1, "spawner")
"""The kernel sends PR_SET_PDEATHSIG when the parent's *thread* ends: this one lasts as long as the tests."""


def missing(programs: Sequence[str], path: str) -> str:
    """Return why there can be no namespaces with these programs here; "" where there can."""
    absent = [name for name in programs if shutil.which(name, path=path) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    probe = subprocess.run(["unshare", *NODE, "--fork", "true"], capture_output=True, text=True, check=False)
    return f"no namespaces here: {probe.stderr.strip()}" if probe.returncode else ""


class Namespaces:
    """A first process in namespaces of its own, and the way to run others beside it."""

    def __init__(self, command: Sequence[str | Path], kinds: Sequence[str], log: Path) -> None:
        """Start `command` in new namespaces; `kinds` are NETWORK or NODE. They live until `kill`."""
        self._beside: list[subprocess.Popen[bytes]] = []
        self._enter = ["--all"] if "--pid" in kinds else list(kinds)
        self._keeper = spawn(["unshare", *kinds, "--fork", "--kill-child=KILL", *command], log)
        children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children")
        wait_until(lambda: self._keeper.poll() is not None or children.read_text().split(), "a process in namespaces")
        assert self._keeper.poll() is None, log.read_text()
        self.pid = int(children.read_text().split()[0])
        program = Path(f"/proc/{self.pid}/comm")
        wait_until(lambda: program.read_text() != "unshare\n", "the process dies with its keeper from now on")

    @property
    def root(self) -> Path:
        """The root directory as those within see it."""
        return Path(f"/proc/{self.pid}/root")

    def run(self, *command: str | Path, within: float = RUN_WITHIN) -> str:
        """Run a program within, and return what it printed. Raises where it fails or takes longer."""
        words = self._words(command)
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within, check=False
        )
        if done.returncode:
            failed = subprocess.CalledProcessError(done.returncode, list(map(str, command)), done.stdout, done.stderr)
            failed.add_note(done.stderr)  # which its own text leaves out
            raise failed
        return done.stdout

    def start(self, log: Path, *command: str | Path) -> "subprocess.Popen[bytes]":
        """Start a program within; what it prints goes to `log`."""
        self._beside.append(spawn(self._words(command), log))
        return self._beside[-1]

    def kill(self) -> None:
        """End all that runs within, as a loss of power does; return when nothing is left of it."""
        os.kill(self.pid, signal.SIGKILL)  # the keeper ends when all within has
        self._keeper.wait()
        for process in self._beside:
            process.kill()  # it has ended, unless its namespaces are of the network alone
            process.wait()

    def _words(self, command: Sequence[str | Path]) -> list[str]:
        return ["nsenter", "--target", str(self.pid), *self._enter, "env", f"PATH={ROOTS_PATH}", *map(str, command)]


def spawn(command: Sequence[str | Path], log: Path) -> "subprocess.Popen[bytes]":
    """Start a program that is killed when the tests end, however they end."""
    words = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _UNLESS_ORPHANED, str(os.getpid()), *map(str, command)]
    # Nothing inherits the tests' own output: whoever reads that would wait for what outlives a test.
    with log.open("ab") as output:
        started = _lasting.submit(
            subprocess.Popen,
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
        )  # fmt: skip
        return started.result()
