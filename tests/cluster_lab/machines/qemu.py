"""A QEMU machine: its process, its serial console, and the monitor protocol by which disks are pulled out and put in.

The processor is emulated (TCG): nothing here needs /dev/kvm. Nothing is made on this computer but files and processes:
no taps, no bridges. QEMU dies with the test, whatever becomes of that.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from cluster_lab.machines.image import PATH

_QEMU = ("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64")
_ALWAYS = (
    *("-machine", "q35,accel=tcg", "-cpu", "Nehalem", "-display", "none", "-nodefaults", "-no-user-config"),
    *("-no-reboot", "-device", "virtio-rng-pci"),
)
"""-no-reboot: a machine that crashes is gone, and says so by the end of its process."""


EMULATED = "mitigations=off norandmaps no_timer_check"
"""For a kernel's command line. The emulator translates code anew where it lies at another address, and is slow at
switching page tables: with the first two words programs start five times as fast. The third: a kernel whose machine
waits for its turn on this computer sees its timer stand still, takes it for broken, and may stop."""


PATIENCE = 300.0
"""Seconds that one thing may take in a machine: far more than it does, but where ten others want the same core."""


class NotInTimeError(AssertionError):
    """A machine did not do in time what a test waits for."""


class Size(NamedTuple):
    """What a machine has of this computer."""

    memory: int
    """MiB."""
    processors: int


SMALL = Size(640, 1)
LARGE = Size(1024, 2)


class Disk(NamedTuple):
    """A raw image, or a stretch of one."""

    file: Path
    read_only: bool = False
    discarded: bool = False
    """Writes go to a file that nobody ever sees, and the image stays as it is."""
    offset: int = 0
    size: int = 0
    """Bytes of the stretch; 0 for the whole image."""

    def driver(self, name: str) -> str:
        """Return the value of -drive for it."""
        part = f",offset={self.offset},size={self.size}" if self.size else ""
        writing = "readonly=on" if self.read_only else f"snapshot={'on' if self.discarded else 'off'}"
        return f"if=none,id={name},format=raw,cache=unsafe,file={self.file},{writing}{part}"


class Machine:
    """One QEMU from the constructor to its end."""

    def __init__(self, top: Path, name: str, size: Size, options: Sequence[str]) -> None:
        """Start it; `top` is the directory for its sockets and logs, whose path must be short."""
        self.name = name
        self.top = top
        self.log = self.top / "console.log"
        self.begun = time.monotonic()
        command = [
            *(*_QEMU, *_ALWAYS, "-name", name, "-m", str(size.memory), "-smp", str(size.processors), *options),
            *("-qmp", f"unix:{self.top}/monitor,server=on,wait=off"),
            *("-chardev", f"socket,id=console,path={self.top}/console,server=on,wait=off,logfile={self.log}"),
            *("-serial", "chardev:console"),
        ]
        with (self.top / "qemu.log").open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={"PATH": PATH}
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def connect(self, name: str, within: float = PATIENCE) -> socket.socket:
        """Return a connection to one of its sockets, as soon as QEMU has made it."""
        deadline = time.monotonic() + within
        while True:
            connection = socket.socket(socket.AF_UNIX)
            if connection.connect_ex(str(self.top / name)) == 0:
                return connection
            connection.close()
            if not self.running or time.monotonic() > deadline:
                raise NotInTimeError(f"{self.name}: no QEMU: {(self.top / 'qemu.log').read_text()}")
            time.sleep(0.02)

    def monitor(self, command: str, **arguments: object) -> Any:
        """Carry out one QMP command and return what it returned."""
        with self.connect("monitor") as connection, connection.makefile("rw") as lines:
            connection.settimeout(PATIENCE)
            lines.readline()  # the greeting
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                answer = json.loads(lines.readline())
                while "event" in answer:
                    answer = json.loads(lines.readline())
                assert "error" not in answer, f"{self.name}: {command}: {answer['error']['desc']}"
        return answer["return"]

    def wait_gone(self, within: float = PATIENCE) -> None:
        """Return when it has powered off or crashed."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired as error:
            raise NotInTimeError(f"{self.name} was to be off within {within:g} s") from error

    def stop(self) -> None:
        """End it as a power cut does."""
        if self.running:
            self._process.kill()
        self._process.wait()

    def logged(self) -> str:
        """Return all that the console and QEMU have said."""
        said = ""
        for log in (self.log, self.top / "qemu.log"):
            with suppress(FileNotFoundError):
                said += log.read_text("utf-8", "replace").replace("\r", "")
        return said


def new_disk(file: Path, mebibytes: int) -> Disk:
    """Return a new disk of zeros, which takes no space until it is written to."""
    with file.open("wb") as image:
        image.truncate(mebibytes << 20)
    return Disk(file)


def cut_out(disk: Disk, file: Path) -> Disk:
    """Return a copy of a stretch as an image of its own, which can be made larger."""
    stretch = ("iflag=skip_bytes,count_bytes", f"skip={disk.offset}", f"count={disk.size}")
    subprocess.run(["dd", "status=none", "bs=1M", "conv=sparse", *stretch, f"if={disk.file}", f"of={file}"], check=True)
    os.truncate(file, disk.size)
    return Disk(file)
