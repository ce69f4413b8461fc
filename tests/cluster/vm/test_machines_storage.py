"""Mirror, volumes and replication on two machines with disks of their own, and mail on them."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster_lab.machines.host import Host
from cluster_lab.machines.lab import Lab
from cluster_lab.machines.mail import MailService
from cluster_lab.machines.storage import Storage, example, host_files
from earmark.cluster.runbooks import commands, render_runbooks

pytestmark = pytest.mark.vm
_BOTH = "UpToDate/UpToDate"


def _runbook(host: Host, name: str, heading: str) -> list[str]:
    """Return what a section of a runbook says for a host, line by line."""
    text = render_runbooks(example())[f"cluster/runbooks/{name}.md"].text
    return [line for machine, line in commands(text, heading) if machine == host.name]


def _shell(host: Host, script: str) -> str:
    return host.run("sh", "-ec", script, within=120)


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
        for line in _runbook(host, "disk-replacement", "Take it out"):
            _shell(host, line)
        host.pull_disk(0)
        host.wait_for("sda gone", "sh", "-c", "[ -e /dev/sda ] || echo sda gone", within=30)
        host.plug_disk(lab.disk("third", 160), number=2, lun=0)
        host.wait_for("sda", "lsblk", "--noheadings", "--output", "NAME", within=30)
        _shell(
            host,
            "sfdisk --dump /dev/sdb | sed 's/, uuid=[^,]*//; /^label-id/d' | sfdisk --quiet /dev/sda; udevadm settle",
        )
        add, look, test = _runbook(host, "disk-replacement", "Put the new one in")
        _shell(host, add)
        _shell(host, "head -c 20m /dev/urandom >/data/after; sync; cd /data; md5sum before during after >/sums")
        host.wait_for("[UU]", "sh", "-c", look, within=120)
        _shell(host, test)

        _break(host, "sdb")
        _shell(host, "echo 3 >/proc/sys/vm/drop_caches; cd /data; md5sum --check --quiet /sums; echo >/data/more; sync")
        assert "[U_]" in host.run("cat", "/proc/mdstat")


def test_mail_that_was_acknowledged_survives_the_host_that_took_it(lab: Lab) -> None:
    halves = {name: [lab.disk(f"{name}-{disk}", 160) for disk in ("sda", "sdb")] for name in ("hosta", "hostb")}
    with lab.timed("DRBD: boot two hosts, RAID1, LVM, replication as rendered"):
        first, second = (lab.host(name, disks, host_files(name)) for name, disks in halves.items())
        with ThreadPoolExecutor(2) as executor:
            here, there = executor.map(_replicated, (first, second))
        here.wait_connected("Inconsistent/Inconsistent")
        here.skip_first_copy()
        here.promote()
        here.wait_connected(_BOTH)
    with lab.timed("DRBD: mail by SMTP, the host crashes in the middle of it"):
        refused = second.attempt("drbdadm", "primary", here.inventory.name)
        assert refused.status
        assert "Multiple primaries not allowed" in refused.text
        mail = MailService(first)
        mail.make_disk()
        mail.start(delivering=False)
        with ThreadPoolExecutor(1) as executor:
            sending = executor.submit(MailService(second).send_to, here.address())
            mail.wait_queued(40)
            first.crash()
            acknowledged = sending.result()
    assert len(acknowledged) >= 39  # the last one may be in the queue before its answer is here
    with lab.timed("DRBD: the peer notices, fences, takes over, has the queue, and delivers it"):
        second.wait_for("WFConnection", "drbdadm", "cstate", there.inventory.name, within=60)
        there.promote()
        assert there.fenced() == ["hosta"]
        mail = MailService(second)
        mail.mount()
        queued = mail.queued()
        mail.start(delivering=True)
        delivered = Counter(mail.deliver())
    assert set(acknowledged) <= set(queued)
    assert set(acknowledged) <= set(delivered)
    assert max(delivered.values()) == 1
    with lab.timed("DRBD: the crashed host comes back, catches up, and takes over as planned"):
        back = lab.host("hosta", halves["hosta"], host_files("hosta"))
        back.wait_ready()
        here = Storage(back)
        here.raise_backplane()
        here.connect()
        here.wait_connected(_BOTH)
        mail.stop()
        mail.unmount()
        there.demote()
        here.promote()
        mail = MailService(back)
        mail.mount()
        mail.start(delivering=True)
        assert Counter(mail.deliver()) == delivered


def _replicated(host: Host) -> Storage:
    host.wait_ready()
    storage = Storage(host)
    storage.make_mirror()
    storage.make_volume(100)
    storage.raise_backplane()
    storage.connect()
    return storage
