"""A guest that begins empty: what a host has to build it of, and the machine that its disk then is."""

import shutil
import smtplib
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from cluster_lab.machines.image import PATH
from cluster_lab.machines.lab import Lab
from cluster_lab.machines.login import Login, play
from cluster_lab.machines.mirror import ADDRESS as MIRROR
from cluster_lab.machines.mirror import Mirror
from cluster_lab.machines.old_guest import PATIENT
from cluster_lab.machines.payload import ROOT
from cluster_lab.machines.qemu import EMULATED, LARGE, Disk
from cluster_lab.machines.storage import example
from cluster_lab.roots.roots import Run
from e2e_lab.processes import free_port, wait_until
from earmark.cluster.files import File
from earmark.cluster.migration.steps_new import PACKAGES
from earmark.cluster.render import render

BUILDING = "var/lib/earmark-guest"
"""Where the role "guest" puts what it builds of."""
UNSAFE = ("etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\n")
"""A file of the guest's: dpkg does not wait for the disk after each file, through two mirrors and an emulator."""
_DEBOOTSTRAP = '#!/bin/sh\nexec /usr/sbin/debootstrap --unpack-tarball=/packages/packages.tar "$@"\n'
_GRUB = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {EMULATED}"\n'
_PIP = f"[global]\nno-index = true\nfind-links = http://{MIRROR}/wheels/\ntrusted-host = {MIRROR}\n"
_LAID_OVER = {
    **PATIENT,
    "etc/default/grub.d/lab.cfg": _GRUB,
    "etc/pip.conf": _PIP,
}
_NETWORK = "user,net=192.0.2.0/24,host=192.0.2.11,dhcpstart=192.0.2.100"
"""This computer is hosta to the guest: its probe is what looks at the SMTP greeting."""
_PORTS = (22, 25)
_PATIENT = 900.0
"""Seconds until a guest has booted, on a computer that is busy with other things."""


def building_files(key: Path) -> dict[str, File]:
    """Return what the role "guest" puts on a host: the request, the rendered files, the keys.

    The request is as rendered but for where packages come from, and the laboratory has files of its own among those
    that are laid over the guest.
    """
    rendered = render(example())
    files = {name.removeprefix("guest/"): file for name, file in rendered.items() if name.startswith("guest/")}
    files |= {name: File(text) for name, text in _LAID_OVER.items()}
    kernel = 'kernel = "debootstrap"\n'
    mirrors = f'mirror = "http://{MIRROR}/debian"\nsecurity = "http://{MIRROR}/debian-security"\n'
    request = rendered["cluster/guest-build.toml"].text
    assert kernel in request
    return {f"{BUILDING}/files/{name}": file for name, file in files.items()} | {
        f"{BUILDING}/guest-build.toml": File(request.replace(kernel, kernel + mirrors)),
        f"{BUILDING}/authorized_keys": File(key.with_suffix(".pub").read_text(), 0o600),
        "usr/local/sbin/debootstrap": File(_DEBOOTSTRAP, 0o755),
    }


def write_packages(mirror: Mirror, disk: Path) -> None:
    """Write a disk with the packages that a guest begins with.

    To find out which ones, debootstrap reads lists for minutes where the processor is emulated, so it does that here.
    """
    top = disk.with_suffix(".d")
    top.mkdir()
    words = [
        "debootstrap",
        f"--make-tarball={disk.with_suffix('.tgz')}",
        f"--include={','.join(PACKAGES)}",
        "--arch=amd64",
    ]
    words += ["bookworm", str(disk.with_suffix(".fetched")), f"http://{MIRROR}/debian"]  # lists are named after it
    surroundings = {"PATH": PATH, "http_proxy": mirror.here}
    made = subprocess.run(words, env=surroundings, stdout=subprocess.PIPE, text=True, check=False)
    assert not made.returncode, made.stdout
    _shorten(disk.with_suffix(".tgz"), top / "packages.tar")
    words = ["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", str(top), str(disk), "400m"]
    subprocess.run(words, env={"PATH": PATH}, stdout=subprocess.DEVNULL, check=True)
    shutil.rmtree(top)


def _shorten(archive: Path, to: Path) -> None:
    """Copy what debootstrap has fetched, the lists cut down to that: it reads them whole for each pre-dependency."""
    with tarfile.open(archive) as fetched, tarfile.open(to, "w") as short:
        wanted = {name for part in ("required", "base") for name in _read(fetched, f"debootstrap/{part}").split()}
        for member in fetched:
            content = fetched.extractfile(member) if member.isfile() else None
            if content and member.name.endswith("_Packages"):
                entries = content.read().decode().split("\n\n")
                kept = [entry for entry in entries if entry.partition("\n")[0].removeprefix("Package: ") in wanted]
                text = "".join(f"{entry}\n\n" for entry in kept).encode()
                member.size = len(text)
                content = BytesIO(text)
            short.addfile(member, content)


def _read(archive: tarfile.TarFile, name: str) -> str:
    file = archive.extractfile(name)
    assert file
    return file.read().decode()


class Guest:
    """The machine that boots the built disk, running from the constructor on."""

    def __init__(self, lab: Lab, disk: Disk, mirror: Mirror, key: Path) -> None:
        guest = example().guest
        assert guest
        self._ports = {port: free_port() for port in _PORTS}
        self._login = Login(key, self._ports[22])
        ways = "".join(f",hostfwd=tcp:127.0.0.1:{here}-{guest.address}:{port}" for port, here in self._ports.items())
        options = ["-drive", disk.driver("disk"), "-device", "virtio-blk-pci,drive=disk,bootindex=1"]
        options += ["-netdev", f"{_NETWORK},id=network{ways},{mirror.option()}"]
        options += ["-device", f"virtio-net-pci,netdev=network,mac={guest.mac},romfile="]
        self.machine = lab.machine(guest.name, LARGE, options)

    def wait_login(self) -> None:
        """Return when the serial line shows the login prompt."""
        wait_until(lambda: f"{self.machine.name} login:" in self.machine.logged(), "the login prompt", _PATIENT)

    def wait_ssh(self) -> None:
        """Return when it lets an administrator in."""
        wait_until(lambda: not self._login.attempt("true").returncode, "ssh", _PATIENT)

    def wait_smtp(self) -> None:
        """Return when its SMTP server greets."""
        wait_until(lambda: self._mail_answer() >= 0, "the SMTP server", _PATIENT)

    def wait_filter(self) -> None:
        """Return when its SMTP server takes a sender: while the filter does not answer, it says 451."""
        wait_until(lambda: self._mail_answer() == 250, "the filter", _PATIENT)

    def run(self, line: str) -> str:
        """Return what a line of shell prints there, as root by SSH."""
        return self._login.run(line)

    def send(self, subject: str) -> None:
        """Send its root a message from outside."""
        with smtplib.SMTP("127.0.0.1", self._ports[25], timeout=120) as session:
            session.sendmail("someone@example.net", f"root@{self.machine.name}", f"Subject: {subject}\r\n\r\nhello\r\n")

    def apply_roles(self, rendered: Path, wheel: Path) -> Run:
        """Apply what runs in the guest, by the playbook that ships and the files that are rendered."""
        variables = {
            "earmark_wheel": str(wheel),
            "earmark_contents": ["unbound"],  # scanners would need the memory of this computer, and hours
        }
        playbook = ROOT / "deploy" / "ansible" / "cluster.yml"
        return play(playbook, rendered, {self.machine.name: self._login}, variables)

    def grow_disk(self, size: int) -> None:
        """Do what `virsh blockresize` does: the running guest has a disk of so many bytes."""
        self.machine.monitor("block_resize", device="disk", size=size)

    def shut_down(self) -> None:
        """Do what `virsh shutdown` does, and return when it is off."""
        self.machine.monitor("system_powerdown")
        self.machine.wait_gone()

    def _mail_answer(self) -> int:
        """Return the reply to MAIL FROM; 0 where there was a greeting and nothing else, -1 where there was none."""
        try:
            session = smtplib.SMTP("127.0.0.1", self._ports[25], timeout=60)
        except OSError:  # smtplib's exceptions are among them
            return -1
        try:
            with session:
                session.ehlo()
                return session.mail("someone@example.net")[0]
        except OSError:
            return 0
