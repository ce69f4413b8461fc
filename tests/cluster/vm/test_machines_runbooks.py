"""The runbooks about disks, by their very lines, on machines with disks of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster_lab.machines.host import Host
from cluster_lab.machines.lab import Lab
from cluster_lab.machines.pair import disks_of_both, replicated
from cluster_lab.machines.storage import DEVICE, IN_STEP, Storage, example, host_files
from earmark.cluster.inventory import Group, Inventory
from earmark.cluster.runbooks import commands, render_runbooks

pytestmark = pytest.mark.vm
_AMOUNTS = {"+10G": "+20M", "5G": "16M"}
"""What the runbooks say of disks of some size, and what fits on those of the lab."""
_PARTITION = "/dev/mapper/drbd0p1"
_INSIDE = f'--config \'devices {{ use_devicesfile=0 global_filter=["a|^{_PARTITION}$|", "r|.*|"] }}\''
_ELSEWHERE = ("crm_mon", "crm_resource", "journalctl", "virsh")
"""Of the cluster, systemd and libvirt, which these machines do not have."""


def _lines(name: str, heading: str, host: Host, inventory: Inventory | None = None) -> list[str]:
    """Return what a section of a runbook has typed on a host."""
    text = render_runbooks(inventory or example())[f"cluster/runbooks/{name}.md"].text
    typed = [line for machine, line in commands(text, heading) if machine == host.name]
    assert typed, f"{name}, {heading}: nothing for {host.name}"
    return [
        " ".join(_AMOUNTS.get(word, word) for word in line.split(" "))
        for line in typed
        if line.split()[0] not in _ELSEWHERE
    ]


def _shell(host: Host, *lines: str) -> str:
    return "".join(host.run("sh", "-ec", line) for line in lines)


def _break(host: Host, disk: str) -> None:
    """Have a disk answer nothing but errors."""
    _shell(host, f"echo offline >/sys/block/{disk}/device/state")


def test_a_broken_disk_is_replaced_by_the_runbook_while_files_are_written(lab: Lab) -> None:
    with lab.timed("RAID1: boot, break a disk, replace it by the runbook, break the other"):
        host = lab.host("hosta", [lab.disk("first", 160), lab.disk("second", 160)], host_files("hosta"))
        host.wait_ready()
        Storage(host).make_mirror()
        _shell(host, "lvcreate --quiet --yes --extents 100%FREE --name data vg_host; mkfs.ext4 -q /dev/vg_host/data")
        _shell(host, "mkdir /data; mount /dev/vg_host/data /data")
        _shell(host, "head -c 40m /dev/urandom >/data/before; sync")

        _break(host, "sda")
        _shell(host, "head -c 20m /dev/urandom >/data/during; sync")
        assert "[_U]" in host.run("cat", "/proc/mdstat")
        _shell(host, *_lines("disk-replacement", "Take it out", host))
        host.pull_disk(0)
        host.wait_for("sda gone", "sh", "-c", "[ -e /dev/sda ] || echo sda gone")
        host.plug_disk(lab.disk("third", 160), number=2, lun=0)
        host.wait_for("sda", "lsblk", "--noheadings", "--output", "NAME")
        _shell(
            host,
            "sfdisk --dump /dev/sdb | sed 's/, uuid=[^,]*//; /^label-id/d' | sfdisk --quiet /dev/sda; udevadm settle",
        )
        add, look, test = _lines("disk-replacement", "Put the new one in", host)
        _shell(host, add)
        _shell(host, "head -c 20m /dev/urandom >/data/after; sync; cd /data; md5sum before during after >/sums")
        host.wait_for("[UU]", "sh", "-c", look)
        _shell(host, test)

        _break(host, "sdb")
        _shell(host, "echo 3 >/proc/sys/vm/drop_caches; cd /data; md5sum --check --quiet /sums; echo >/data/more; sync")
        assert "[U_]" in host.run("cat", "/proc/mdstat")


def test_the_volume_grows_by_the_runbook_under_files_that_are_in_use(lab: Lab) -> None:
    service = Group.model_validate({"address": "192.0.2.25", "disk": 1, "memory": 64})
    group = example().model_copy(update={"guest": None, "group": service})
    with lab.timed("growing: boot two hosts, grow the volume by the runbook"):
        active, passive = replicated(lab, disks_of_both(lab))
        _shell(active, f"mkfs.ext4 -q {DEVICE}; mkdir /data; mount {DEVICE} /data")
        _shell(active, "head -c 20m /dev/urandom >/data/before; md5sum /data/before >/sums")
        before = int(_shell(active, "stat --file-system --format=%b /data"))
        _shell(active, *_lines("growing", "Look", active, group))
        _shell(passive, *_lines("growing", "Below", passive, group))
        bytes_before = int(active.run("blockdev", "--getsize64", DEVICE))
        for line in _lines("growing", "Below", active, group):
            status, text = active.attempt("sh", "-ec", line)
            # drbdadm waits no longer for the kernel, which goes on.
            assert not status or "did not terminate within 5 seconds" in text
        larger = f"[ $(blockdev --getsize64 {DEVICE}) -gt {bytes_before} ] && echo larger"
        active.wait_for("larger", "sh", "-c", larger)
        _shell(active, *_lines("growing", "Above", active, group))
        after = int(_shell(active, "stat --file-system --format='%b' /data"))
        Storage(active).wait_connected(IN_STEP)
        assert after > before * 1.15
        _shell(active, "head -c 76m /dev/urandom >/data/after; md5sum /data/after >>/sums; sync; umount /data")
    with lab.timed("growing: what has been written since is on the other host"):
        Storage(active).demote()
        Storage(passive).promote()
        sums = _shell(active, "cat /sums")
        passive.write("/sums", sums)
        _shell(passive, f"mkdir /data; mount {DEVICE} /data; md5sum --check --quiet /sums")


def test_a_split_brain_is_mended_by_the_runbook_and_the_victims_mail_is_saved(lab: Lab) -> None:
    with lab.timed("split brain: boot two hosts, a guest's disk on them"):
        active, victim = replicated(lab, disks_of_both(lab))
        _make_guest_disk(active)
        _write(active, "before")
    with lab.timed("split brain: both write, each without the other"):
        Storage(active).wait_connected(IN_STEP)
        backplane = example().host(victim.name).backplane.interface
        with _guest_disk(active), _writer(active) as waits:
            victim.run("ip", "link", "set", backplane, "down")
            for host in (victim, active):
                host.wait_for("WFConnection", "drbdadm", "cstate", "earmark")
        lab.note(max(waits), "split brain: the longest that a write waited when the backplane was cut")
        Storage(victim).promote()  # what stands for Pacemaker says that the other one is off, as broken fencing would
        _write(victim, "of-the-victim")
        _write(active, "of-the-active")
        Storage(victim).demote()
        victim.run("ip", "link", "set", backplane, "up")
        active.wait_for("StandAlone", "drbdadm", "cstate", "earmark")
        assert "Split-Brain detected" in active.run("dmesg")
    with lab.timed("split brain: mended by the runbook"):
        _shell(active, *_lines("split-brain", "Look", active))
        _shell(victim, *_lines("split-brain", "Save what the victim took in", victim))
        assert _shell(victim, "ls /mnt").split() == ["before", "lost+found", "of-the-victim"]
        _shell(victim, *_lines("split-brain", "Close it again", victim))
        _shell(victim, *_lines("split-brain", "Give the victim's data up", victim))
        _shell(active, *_lines("split-brain", "Give the victim's data up", active))
        Storage(active).wait_connected(IN_STEP)
        _shell(victim, *_lines("split-brain", "Look again", victim))
        Storage(active).demote()
        Storage(victim).promote()
        with _guest_disk(victim):
            assert _shell(victim, "ls /mnt").split() == ["before", "lost+found", "of-the-active"]


def _make_guest_disk(host: Host) -> None:
    """Make what a guest makes of its disk: a partition with a volume group of its own."""
    _shell(host, f"echo 'start=2048, type=8e' | sfdisk --quiet {DEVICE}; kpartx -a -s -p p {DEVICE}")
    _shell(host, f"pvcreate --quiet {_INSIDE} {_PARTITION}; vgcreate --quiet {_INSIDE} vg_mail {_PARTITION}")
    _shell(host, f"lvcreate --quiet --yes {_INSIDE} --extents 100%FREE --name root vg_mail")
    _shell(host, "mkfs.ext4 -q /dev/vg_mail/root")
    _close(host)


@contextmanager
def _guest_disk(host: Host) -> Iterator[None]:
    """What the guest has on its disk, at /mnt; the host must be primary."""
    _shell(host, f"kpartx -a -s -p p {DEVICE}; vgchange --quiet {_INSIDE} --activate y vg_mail")
    _shell(host, "mount /dev/vg_mail/root /mnt")
    yield
    _shell(host, "umount /mnt")
    _close(host)


_WRITER = """
import os, time
end = time.monotonic() + 300
with open("/mnt/before", "ab", buffering=0) as file, open("/run/waits", "w", buffering=1) as waits:
    while time.monotonic() < end and not os.path.exists("/run/enough"):
        begun = time.monotonic()
        os.write(file.fileno(), bytes(512))
        os.fsync(file.fileno())
        waits.write(f"{time.monotonic() - begun:.3f}\\n")
        time.sleep(0.05)
os.rename("/run/waits", "/run/all-waits")
"""


@contextmanager
def _writer(host: Host) -> Iterator[list[float]]:
    """Write to the guest's disk all the while; what is yielded gets the seconds of each write at the end."""
    waits: list[float] = []
    host.write("/run/writer.py", _WRITER)
    _shell(host, "python3 /run/writer.py >/run/writer.log 2>&1 </dev/null &")
    host.wait_for(".", "cat", "/run/waits")
    yield waits
    _shell(host, "touch /run/enough")
    host.wait_for("all-waits", "ls", "/run")
    waits += [float(line) for line in host.run("cat", "/run/all-waits").split()]


def _close(host: Host) -> None:
    _shell(host, f"vgchange --quiet {_INSIDE} --activate n vg_mail; kpartx -d -p p {DEVICE}")


def _write(host: Host, name: str) -> None:
    with _guest_disk(host):
        _shell(host, f"echo {name} >/mnt/{name}")
