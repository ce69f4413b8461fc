"""A machine of the laboratory: namespaces that end when its power does, and a disk, a directory, that stays."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from cluster_lab.containment import refuse_unless_contained
from cluster_lab.namespaces import NODE, Namespaces
from cluster_lab.node_init import KEPT, READY
from cluster_lab.switch import Plug, Switch
from e2e_lab.processes import wait_until

LAB = Path(__file__).parent
_OWNED = {"var/lib/pacemaker": 0o750, "var/lib/heartbeat": 0o750, "var/log/pacemaker": 0o770}
"""Directories of Pacemaker's account, as Debian's package makes them."""
_STATE = ("cib", "pengine", "cores", "blackbox")


class Machine:
    """`disk` is its disk as seen from outside: "etc/corosync" below it is the machine's /etc/corosync."""

    def __init__(self, name: str, disk: Path, switch: Switch, plugs: Sequence[Plug]) -> None:
        """Make a machine that is switched off."""
        self.name = name
        self.disk = disk
        self._switch = switch
        self._plugs = plugs
        self._inside: Namespaces | None = None
        for directory in (*KEPT, *(f"/var/lib/pacemaker/{part}" for part in _STATE)):
            (disk / directory[1:]).mkdir(parents=True, exist_ok=True)
        for directory in ("corosync", "pacemaker"):
            (disk / "var/log" / directory).mkdir()
        log = disk / "var/log/mail.log"  # postsuper writes there under its own account, or Postfix does not start
        log.touch()
        shutil.chown(log, "postfix")
        self.own()

    def own(self) -> None:
        """Give Pacemaker what is its own, also what has been put there from outside."""
        for directory, mode in _OWNED.items():
            top = self.disk / directory
            top.chmod(mode)
            for path in (top, *top.rglob("*")):
                shutil.chown(path, "hacluster", "haclient")

    @property
    def running(self) -> bool:
        return self._inside is not None

    @property
    def inside(self) -> Namespaces:
        assert self._inside is not None, f"{self.name} has no power"
        return self._inside

    def boot(self) -> None:
        """Switch it on: nothing is started in it before it is known to be contained."""
        inside = Namespaces(
            ["/usr/bin/python3", LAB / "node_init.py", self.name, self.disk, LAB], NODE, self.disk / "var/log/init"
        )
        try:
            wait_until((inside.root / READY.relative_to("/")).exists, f"{self.name} is a machine of its own")
            refuse_unless_contained(inside.pid)
            for plug in self._plugs:
                self._switch.connect(self.name, inside, plug)
        except BaseException:
            inside.kill()
            raise
        self._inside = inside
        self.start_services()

    def start_services(self) -> None:
        """Start what starts with the machine."""

    def lose_power(self) -> None:
        """Cut it off: first the cables, since a kernel that lives on would close its connections for it."""
        inside, self._inside = self.inside, None
        self._switch.cut(self.name, *(plug.network for plug in self._plugs))
        inside.kill()

    def run(self, *command: str | Path, within: float = 60.0) -> str:
        """Run a program on it, and return what it printed. Raises where that fails."""
        return self.inside.run(*command, within=within)

    def start(self, name: str, *command: str | Path) -> None:
        """Start a program on it, whose output stays in its /var/log."""
        self.inside.start(self.disk / "var/log" / name, *command)

    def logged(self) -> dict[str, str]:
        """Return what matters of all its logs, by name; those of before a loss of power are among them."""
        top = self.disk / "var/log"
        files = sorted(file for file in top.rglob("*") if file.is_file())
        return {f"{self.name} {file.relative_to(top)}": _what_matters(file) for file in files}


def _what_matters(log: Path) -> str:
    """Pacemaker also logs each change of a line in its configuration."""
    lines = log.read_text("utf-8", "replace").splitlines(keepends=True)
    return "".join(line for line in lines if "\tinfo: " not in line)
