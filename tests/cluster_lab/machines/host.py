"""A host of the lab: a machine on the common image, with mirrored disks and a backplane, that does what it is told."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cluster_lab.machines.qemu import EMULATED, PATIENCE, Disk, Machine, NotInTimeError, Size

_COMMAND_LINE = f"console=ttyS0 panic=-1 quiet lab.root=vda {EMULATED}"


class CommandError(AssertionError):
    """A command failed in a machine."""


class Output(NamedTuple):
    """How a command ended, and what it wrote to standard output and error."""

    status: int
    text: str


class Backplane(NamedTuple):
    """A cable between two hosts: each end is a Unix socket, so that either may go away and come back."""

    end: Path
    other_end: Path
    mac: str

    def options(self) -> list[str]:
        ends = f"local.type=unix,local.path={self.end},remote.type=unix,remote.path={self.other_end}"
        return ["-netdev", f"dgram,id=backplane,{ends}", "-device", f"virtio-net-pci,netdev=backplane,mac={self.mac}"]


class Boot(NamedTuple):
    """What hosts boot from."""

    kernel: Path
    initramfs: Path
    root: Path


class Host:
    """One host, up from the constructor on; commands can be run after `wait_ready`."""

    def __init__(
        self,
        top: Path,
        name: str,
        boot: Boot,
        disks: Sequence[Disk],
        *,
        more: Sequence[Disk],
        backplane: Backplane,
        size: Size,
        options: Sequence[str],
    ) -> None:
        """Start it. `disks` are SCSI disks, /dev/sda and so on; `more` are /dev/vdb and so on."""
        self.name = name
        self.transcript: list[str] = []
        words = ["-kernel", str(boot.kernel), "-initrd", str(boot.initramfs)]
        words += ["-append", f"{_COMMAND_LINE} lab.host={name}"]
        for number, disk in enumerate([Disk(boot.root, read_only=True), *more]):
            words += ["-drive", disk.driver(f"v{number}"), "-device", f"virtio-blk-pci,drive=v{number}"]
        words += ["-device", "virtio-scsi-pci,id=scsi"]
        for number, disk in enumerate(disks):
            words += ["-drive", disk.driver(f"s{number}")]
            words += ["-device", f"scsi-hd,bus=scsi.0,drive=s{number},id=disk{number},lun={number}"]
        words += backplane.options()
        words += ["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=earmark.lab"]
        words += ["-chardev", f"socket,id=agent,path={top}/agent,server=on,wait=off"]
        self.machine = Machine(top, name, size, [*words, *options])
        self._agent = self.machine.connect("agent")  # before the agent looks: it ends when nobody is there

    def wait_ready(self) -> None:
        """Return when commands can be run."""
        self.run("true")

    def attempt(self, *words: str, given: str = "", within: float = PATIENCE) -> Output:
        """Run a command there, with `given` as its input, for at most `within` seconds, and return what came of it."""
        begun = time.monotonic()
        try:
            self._send(words, given, within)
            output = Output(**json.loads(self._line()))
        except OSError as error:
            raise NotInTimeError(f"{self.name}: no answer to: {' '.join(words)}") from error
        self._note(words, output, begun)
        return output

    def run(self, *words: str, given: str = "", within: float = PATIENCE) -> str:
        """Run a command there; raise where it fails; return what it printed."""
        status, text = self.attempt(*words, given=given, within=within)
        if status:
            raise CommandError(f"{self.name}: {' '.join(words)}: status {status}\n{text}")
        return text

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file there, making the directories that it stands in."""
        self.run("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path, given=text)

    def wait_for(self, wanted: str, *words: str, within: float = PATIENCE) -> str:
        """Run a command again and again until `wanted` is in what it prints; return that."""
        deadline = time.monotonic() + within
        told = len(self.transcript)
        while True:
            del self.transcript[told:]  # the last answer tells enough
            text = self.attempt(*words).text
            if wanted in text:
                return text
            if time.monotonic() > deadline:
                raise NotInTimeError(f"{self.name}: not within {within:g} s: {wanted!r} from {words}\n{text}")
            time.sleep(0.1)

    def pull_disk(self, number: int) -> None:
        """Take a SCSI disk out of the running machine."""
        self.machine.monitor("device_del", id=f"disk{number}")

    def plug_disk(self, disk: Disk, number: int, lun: int) -> None:
        """Put a SCSI disk into the running machine; `number` is one that none had before."""
        self.machine.monitor(
            "blockdev-add",
            driver="raw",
            file={"driver": "file", "filename": str(disk.file)},
            **{"node-name": f"s{number}"},
        )
        self.machine.monitor(
            "device_add", driver="scsi-hd", bus="scsi.0", drive=f"s{number}", id=f"disk{number}", lun=lun
        )

    def crash(self) -> None:
        """Let its kernel reset the machine at once: no file is written back, no connection closed."""
        self._order("echo b >/proc/sysrq-trigger")
        self.machine.wait_gone()

    def power_off(self) -> None:
        """Write everything back and power off."""
        self.run("sync")
        self._order("echo o >/proc/sysrq-trigger; sleep 600")
        self.machine.wait_gone()

    def stop(self) -> None:
        self._agent.close()
        self.machine.stop()

    def _order(self, line: str) -> None:
        """Have a line of shell run there, after which there is nobody to answer."""
        self._note([line], Output(0, ""), time.monotonic())
        self._send(["sh", "-c", line], "", PATIENCE)

    def _send(self, words: Sequence[str], given: str, within: float) -> None:
        self._agent.settimeout(within + 30)  # the agent keeps the deadline; this one is for a machine that hangs
        self._agent.sendall(json.dumps({"words": words, "given": given, "within": within}).encode() + b"\n")

    def _line(self) -> bytes:
        answer = b""
        while not answer.endswith(b"\n"):
            chunk = self._agent.recv(1 << 16)
            if not chunk:
                raise ConnectionError("the machine has gone")
            answer += chunk
        return answer

    def _note(self, words: Sequence[str], output: Output, begun: float) -> None:
        at, took = begun - self.machine.begun, time.monotonic() - begun
        status = f" -> {output.status}" if output.status else ""
        self.transcript.append(f"{self.name} {at:6.1f} s ({took:4.1f} s) {' '.join(words)[:300]}{status}")
        self.transcript += [f"    {line}" for line in output.text.splitlines()[-40:]]
