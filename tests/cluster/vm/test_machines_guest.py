"""A guest that begins empty is built on the replicated disk of a host, boots from it, and is filled by the roles."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_lab.machines.host import Host
from cluster_lab.machines.lab import Lab
from cluster_lab.machines.login import new_key
from cluster_lab.machines.mirror import Mirror
from cluster_lab.machines.new_guest import BUILDING, UNSAFE, Guest, building_files, write_packages
from cluster_lab.machines.payload import PYTHONPATH, ROOT, write_payload
from cluster_lab.machines.qemu import LARGE, Disk, cut_out
from cluster_lab.machines.storage import Storage, example, host_files
from earmark.cluster.files import write_files
from earmark.cluster.render import render
from earmark.cluster.runbooks import commands, render_runbooks

pytestmark = pytest.mark.guest
_VOLUME = 4000
"""MiB of the guest's disk."""
_MORE = 512 << 20
"""Bytes that it gets later."""
_ROOM = "df --block-size=1 --output=size / | tail -n 1"
"""Prints the bytes of the file system."""


@pytest.fixture
def mirror(lab: Lab) -> Iterator[Mirror]:
    """Packages of Debian, and at /wheels/ this checkout with what it needs."""
    wheels = lab.top / "wheels"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(command, check=True)
    mirror = Mirror(wheels)
    yield mirror
    mirror.stop()


def test_a_guest_is_built_on_an_empty_disk_boots_and_filters_mail_once_the_roles_have_run(
    lab: Lab, mirror: Mirror
) -> None:
    key = lab.top / "key"
    new_key(key)
    host = _host(lab, mirror, key)
    with lab.timed("new guest: earmark migrate run"):
        _build(host)
    half = Storage(host).guest_disk(Disk(lab.top / "sda.img"))
    host.power_off()
    disk = cut_out(half, lab.top / "guest.img")
    with lab.timed("new guest: first boot to the login prompt"):
        guest = Guest(lab, disk, mirror, key)
        guest.wait_login()
    with lab.timed("new guest: from there until SSH lets root in"):
        guest.wait_ssh()
    _assert_as_asked_for(guest)
    rendered = lab.top / "rendered"
    write_files(render(example()), rendered)
    (wheel,) = (lab.top / "wheels").glob("earmark-*.whl")
    with lab.timed("new guest: the roles"):
        first = guest.apply_roles(rendered, wheel)
    assert not first.status, first.output
    with lab.timed("new guest: the roles, the second time"):
        second = guest.apply_roles(rendered, wheel)
    assert not second.status, second.output
    assert second.changed == []
    with lab.timed("new guest: shut down"):
        guest.shut_down()
    with lab.timed("new guest: boot to the SMTP greeting"):
        guest = Guest(lab, disk, mirror, key)
        guest.wait_smtp()
    with lab.timed("new guest: from there to an answering filter"):
        guest.wait_filter()
    guest.send("after the boot")
    guest.run("until grep -q 'after the boot' /var/mail/root; do sleep 0.2; done")
    assert "X-Earmark" in guest.run("cat /var/mail/root")
    with lab.timed("new guest: its disk grows by the runbook"):
        _grow(guest, half.size + _MORE)


def _grow(guest: Guest, size: int) -> None:
    """Type what the runbook has for the guest, once its disk is larger."""
    before = int(guest.run(_ROOM))
    guest.grow_disk(size)
    runbook = render_runbooks(example())["cluster/runbooks/growing.md"].text
    lines = [line for machine, line in commands(runbook, "Above") if machine == guest.machine.name]
    assert [line.split()[0] for line in lines] == ["apt-get", "growpart", "pvresize", "lvextend"]
    for line in lines:
        guest.run(line)
    assert int(guest.run(_ROOM)) > before + _MORE * 0.9


def _host(lab: Lab, mirror: Mirror, key: Path) -> Host:
    """Return a host as the roles `host` and `storage` leave it, with what the role `guest` has put there."""
    payload, packages = lab.top / "payload.ext4", lab.top / "packages.ext4"
    write_payload(payload)
    with lab.timed("new guest: its packages, as a disk"):
        write_packages(mirror, packages)
    disks = [lab.disk(name, _VOLUME + 200) for name in ("sda", "sdb")]
    more = [Disk(payload, read_only=True), Disk(packages, read_only=True)]
    with lab.timed("new guest: boot the host, its storage"):
        host = lab.host("hosta", disks, host_files("hosta") | building_files(key), more=more, size=LARGE)
        host.wait_ready()
        storage = Storage(host)
        storage.make_mirror()
        storage.make_volume(_VOLUME)
        storage.raise_backplane()
        storage.connect()
        host.run("drbdadm", "primary", "--force", storage.inventory.name)  # the other host is not there
        storage.demote()
        host.run("mkdir", "/payload", "/packages")
        host.run("mount", "-o", "ro", "/dev/vdb", "/payload")
        host.run("mount", "-o", "ro", "/dev/vdc", "/packages")
    return host


def _build(host: Host) -> None:
    """Run the tool, and go on with it after it was stopped for a file of the laboratory's."""
    path = f"PYTHONPATH={PYTHONPATH.format(top='/payload')}"
    programs = "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    command = ("env", path, programs, "python3", "-m", "earmark", "migrate", "run", f"/{BUILDING}/guest-build.toml")
    host.run(*command, "--until", "mount")
    name, text = UNSAFE
    host.write(f"/run/earmark-migrate/mail/{name}", text)
    host.run(*command, within=3600)


def _assert_as_asked_for(guest: Guest) -> None:
    """Look at what was rendered, and at what the request says."""
    assert guest.run("hostname") == "mail\n"
    assert guest.run("findmnt -no SOURCE /") == "/dev/mapper/vg_mail-root\n"
    assert "192.0.2.25/24" in guest.run("ip -br address")
    assert "/dev/dm-" in guest.run("cat /proc/swaps")
    units = ("systemd-networkd", "nftables", "ssh", "serial-getty@ttyS0", "systemd-timesyncd")
    assert guest.run(f"systemctl is-active {' '.join(units)}").split() == ["active"] * len(units)
