"""A machine that ran under Xen is moved onto the replicated disk of a host, and boots from it."""

import smtplib
from collections.abc import Mapping

import pytest

from cluster_lab.machines.console import Console
from cluster_lab.machines.lab import Lab
from cluster_lab.machines.old_guest import ADDRESS, MILTER, PASSWORD, furnish
from cluster_lab.machines.payload import PYTHONPATH, write_payload
from cluster_lab.machines.qemu import LARGE, PATIENCE, Disk, Machine
from cluster_lab.machines.storage import DEVICE, Storage, host_files
from e2e_lab.processes import free_port, wait_until
from earmark.service.negotiation import negotiate
from earmark.wire import RemoteError

pytestmark = pytest.mark.vm

_MAC = "52:54:00:c0:02:25"
_REQUEST = f"""
schema = 1
name = "mail"

[source]
at = "/source"
kind = "xen"
interface = "eth0"

[target]
device = "{DEVICE}"
volume = "vg_host/earmark"
resource = "earmark"
size = 1
swap = 64
volume_group = "vg_mail"

[guest]
mac = "{_MAC}"
"""
_NETWORK = "user,id=network,net=192.0.2.0/24,host=192.0.2.1,dhcpstart=192.0.2.100,restrict=on"


def test_a_xen_machine_is_moved_and_boots_to_a_login_and_an_answering_filter(lab: Lab) -> None:
    payload = lab.top / "payload.ext4"
    write_payload(payload)
    disks = [lab.disk("sda", 1200), lab.disk("sdb", 1200)]
    with lab.timed("migration: boot the host, furnish the old machine"):
        sources = [Disk(lab.image.guest, discarded=True), Disk(payload, read_only=True)]
        host = lab.host("hosta", disks, host_files("hosta"), more=sources, size=LARGE)
        host.wait_ready()
        storage = Storage(host)
        storage.make_mirror()
        storage.raise_backplane()
        host.run("mkdir", "/source", "/payload")
        host.run("mount", "-o", "ro", "/dev/vdc", "/payload")
        host.run("mount", "/dev/vdb", "/source")
        furnish(host, "/source")
    with lab.timed("migration: earmark migrate run"):
        host.write("/root/mail.toml", _REQUEST)
        path = f"PYTHONPATH={PYTHONPATH.format(top='/payload')}"
        host.run("env", path, "python3", "-m", "earmark", "migrate", "run", "--yes", "/root/mail.toml", within=1500)
    disk = storage.guest_disk(disks[0])
    host.power_off()
    with lab.timed("guest: first boot of the moved disk to an answering filter"):
        smtp, milter = free_port(), free_port()
        guest = _boot(lab, disk, {smtp: 25, milter: MILTER})
        wait_until(lambda: _answers(f"inet:127.0.0.1:{milter}"), "the filter", 900)
    with lab.timed("guest: login, mail through the filter, power off"):
        console = Console(guest)
        console.log_in(PASSWORD)
        _assert_same_machine(console)
        with smtplib.SMTP("127.0.0.1", smtp, timeout=PATIENCE) as session:
            session.sendmail("someone@example.net", "root@mail.example.org", "Subject: after the move\r\n\r\nhello\r\n")
        console.run("until grep -q 'after the move' /var/mail/root; do sleep 0.2; done")
        assert "X-Earmark" in console.run("cat /var/mail/root")
        console.close()
        guest.monitor("system_powerdown")  # what `virsh shutdown` does
        guest.wait_gone()


def _boot(lab: Lab, disk: Disk, ports: Mapping[int, int]) -> Machine:
    """Boot the disk by its own boot loader; `ports` of 127.0.0.1 lead to those of the guest."""
    forwarded = "".join(f",hostfwd=tcp:127.0.0.1:{here}-{ADDRESS}:{there}" for here, there in ports.items())
    options = ["-drive", disk.driver("disk"), "-device", "virtio-blk-pci,drive=disk,bootindex=1"]
    options += ["-netdev", f"{_NETWORK}{forwarded}"]
    options += ["-device", f"virtio-net-pci,netdev=network,mac={_MAC},romfile="]
    return lab.machine("mail", LARGE, options)


def _answers(milter: str) -> bool:
    """Return whether a filter negotiates there; QEMU takes connections for the guest before anybody listens in it."""
    try:
        negotiate(milter, timeout=10)
    except (OSError, RemoteError):
        return False
    return True


def _assert_same_machine(console: Console) -> None:
    """Look at what a copy loses first, and at what should have changed."""
    assert console.run("hostname") == "mail"
    assert console.run("findmnt -no SOURCE /") == "/dev/mapper/vg_mail-root"
    assert "vg_mail-swap" in console.run("readlink -f /dev/mapper/vg_mail-swap; cat /proc/swaps; ls /dev/mapper")
    assert console.run("stat -c '%u:%g %h' /srv/mail/message") == "4711:4712 2"
    assert console.run("stat -c %i /srv/mail/message") == console.run("stat -c %i /home/u/other-name")
    assert console.run("stat -c %Y /srv/mail/old") == "1234567890"
    assert int(console.run("stat -c %b /srv/mail/sparse")) < 100
    python = "import os; print(os.getxattr('/srv/mail/message', 'user.origin').decode())"
    assert console.run(f'python3 -c "{python}"') == "xen"
    assert _MAC in console.run("ip -br link show eth0")
    for unit in ("earmark", "postfix", "serial-getty@ttyS0"):  # the filter answers before systemd has been told so
        console.run(f"until systemctl --quiet is-active {unit}; do sleep 0.2; done")
