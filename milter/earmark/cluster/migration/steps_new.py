"""The steps of a guest that begins empty, in place of a source's copies: a Debian that boots and lets an admin in."""

from collections.abc import Iterator
from functools import partial

from earmark.cluster.migration import edits, edits_new
from earmark.cluster.migration.actions import Command, Edit, Step
from earmark.cluster.migration.layout import Layout
from earmark.cluster.migration.request import Request
from earmark.cluster.migration.steps_boot import BOOTS, GRUB_FOR_BIOS, STAYS, booting_steps, debian_steps
from earmark.cluster.migration.steps_copy import serial_login

PACKAGES = (
    *BOOTS,
    "ca-certificates",
    "dbus",
    "nftables",
    "openssh-server",
    "python3",
    "python3-apt",
    "systemd-timesyncd",
)
"""Beside what every Debian has. Without dbus, logind does not run, and a shutdown request is not heard; python3 and
python3-apt are Ansible's; signatures and certificates are judged by the clock."""


def new_steps(request: Request, disk: Layout) -> Iterator[Step]:
    """Yield them."""
    about = "with a kernel and an SSH server; root has no password, and no key yet"
    yield from debian_steps(request, disk, about, (f"--include={','.join(PACKAGES)}", "--arch=amd64"))
    if request.source.files:
        yield _files(request, disk)
    yield _machine(request, disk)
    yield _access(request, disk)
    yield from booting_steps(disk, GRUB_FOR_BIOS, STAYS)


def _files(request: Request, disk: Layout) -> Step:
    modes = "--chmod=D755,Fu=rwX,Fgo=rX"  # as a umask of 022 has it, whatever it was where they were rendered
    words = ("rsync", "--recursive", "--links", "--perms", modes, f"{request.source.files}/", f"{disk.mount}/")
    return Step("files", "network, firewall and console, as rendered", (Command(words),), undo=STAYS)


def _machine(request: Request, disk: Layout) -> Step:
    root, target = disk.mount, request.target
    table = partial(edits.fstab, root=disk.root, swap=disk.swap, kind="ext4")
    updates = partial(edits_new.security, mirror=target.security, suite=target.suite)
    return Step(
        "machine",
        "its name and disks, security updates, a login on the serial line, an address that it announces",
        (
            Edit(root, "/etc/hostname", partial(edits_new.hostname, name=request.name), create=True),
            Edit(root, "/etc/fstab", table, create=True),
            Edit(root, "/etc/apt/sources.list.d/security.list", updates, create=True),
            *(Command(words) for words in _forget_packages(f"{root}/var/lib/apt/lists")),
            serial_login(root),
            Edit(root, "/etc/sysctl.d/60-earmark-arp.conf", edits.announcing, create=True),
        ),
        undo=STAYS,
    )


def _forget_packages(lists: str) -> Iterator[tuple[str, ...]]:
    """Yield commands that empty apt's lists, and make them old.

    Those of debootstrap lack the security updates, and Ansible takes them for fresh.
    """
    yield "rm", "-r", "-f", lists
    yield "install", "-d", "-m", "0755", f"{lists}/partial"
    yield "touch", "--date=@0", lists


def _access(request: Request, disk: Layout) -> Step:
    """Return the step that lets an admin in. openssh-server has its unit started at boot by itself, these do not."""
    keys = ("install", "-m", "0600", request.source.authorized_keys, f"{disk.mount}/root/.ssh/authorized_keys")
    units = ("systemd-networkd.service", "nftables.service")
    return Step(
        "access",
        "root's keys; network and firewall start at boot",
        (
            Command(("install", "-d", "-m", "0700", f"{disk.mount}/root/.ssh")),
            Command(keys),
            Command(("systemctl", "--root", disk.mount, "enable", *units)),
        ),
        undo=STAYS,
    )
