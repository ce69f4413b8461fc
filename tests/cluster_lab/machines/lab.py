"""The laboratory: one directory, the machines that were started in it, and what they have said."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster_lab.machines.host import Backplane, Boot, Host
from cluster_lab.machines.image import Image, cached_image, write_initramfs
from cluster_lab.machines.qemu import SMALL, Disk, Machine, Size, new_disk
from earmark.cluster.files import File

_MACS = {"hosta": "52:54:00:77:00:01", "hostb": "52:54:00:77:00:02"}


class Lab:
    """Machines and disks that end with `stop`."""

    def __init__(self) -> None:
        self.image: Image = cached_image()
        self.top = Path(tempfile.mkdtemp(prefix="earmark-vm-"))
        self.took: list[str] = []
        """What each part took, in words."""
        if self.image.built_in:
            self.took.append(f"{self.image.built_in:6.1f} s  the machines' image, which is in the cache from now on")
        self._hosts: list[Host] = []
        self._machines: list[Machine] = []

    def begin(self) -> None:
        """Forget the machines of an earlier test."""
        self._hosts, self._machines = [], []

    def end(self) -> None:
        """End all machines; what they said stays until the next test."""
        for host in self._hosts:
            host.stop()
        for machine in self._machines:
            machine.stop()

    def disk(self, name: str, mebibytes: int) -> Disk:
        """Return a new disk of zeros."""
        return new_disk(self.top / f"{name}.img", mebibytes)

    def host(
        self,
        name: str,
        disks: Sequence[Disk],
        files: Mapping[str, File],
        *,
        more: Sequence[Disk] = (),
        size: Size = SMALL,
        options: Sequence[str] = (),
    ) -> Host:
        """Start a host that has these files already, by path from the root without the leading slash.

        Await it with its `wait_ready`. The two share one backplane, whenever they are there. `options` are QEMU's, for
        what no other host has.
        """
        ends = {each: self.top / f"backplane-{each}" for each in _MACS}
        (other,) = set(ends) - {name}
        backplane = Backplane(ends[name], ends[other], _MACS[name])
        top = self._directory(name)
        boot = Boot(self.image.kernel, top / "initramfs", self.image.host)
        write_initramfs(self.image, files, boot.initramfs)
        host = Host(top, name, boot, disks, more=more, backplane=backplane, size=size, options=options)
        self._hosts.append(host)
        return host

    def machine(self, name: str, size: Size, options: Sequence[str]) -> Machine:
        """Start a machine that boots by itself."""
        machine = Machine(self._directory(name), name, size, options)
        self._machines.append(machine)
        return machine

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note how long the block took."""
        begun = time.monotonic()
        yield
        self.note(time.monotonic() - begun, what)

    def note(self, seconds: float, what: str) -> None:
        """Note how long something took."""
        self.took.append(f"{seconds:6.1f} s  {what}")

    def logged(self) -> Iterator[tuple[str, str]]:
        """Yield what was done on each machine, and what its console said."""
        for host in self._hosts:
            yield f"commands on {host.machine.top.name}", "\n".join(host.transcript)
        for machine in (*(host.machine for host in self._hosts), *self._machines):
            yield f"console of {machine.top.name}", machine.logged()

    def stop(self) -> None:
        self.end()
        shutil.rmtree(self.top)

    def _directory(self, name: str) -> Path:
        """Return a new directory for a machine; one that boots again gets another."""
        number = len(list(self.top.glob("*-*"))) + 1
        directory = self.top / f"{number}-{name}"
        directory.mkdir()
        return directory
