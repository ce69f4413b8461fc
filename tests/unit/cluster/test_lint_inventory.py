"""Seeded defects of an inventory. Each row: what is changed, the code, and what stands on the line that is named."""

import pytest

from earmark.cluster.lint import lint
from earmark.cluster.render import render
from fakes.cluster_defects import EXAMPLE, GROUP, NINE, NO_ARBITRATOR, Change, example, line_of

HOSTA_LEVELS = EXAMPLE.read_text().split("[[hosts.fencing]]\n")
IPMI_A, PDU_A = HOSTA_LEVELS[1].split("\n\n")[0], HOSTA_LEVELS[2].split("\n\n")[0]
LEVEL_1 = f"[[hosts.fencing]]\n{IPMI_A}\n"
LEVEL_2 = f"[[hosts.fencing]]\n{PDU_A}\n"

DEFECTS = [
    ("both a guest and a group",
     [Change("\n[timers]\n", '\n[group]\naddress = "192.0.2.26"\ndisk = 1\nmemory = 64\n[timers]\n')],
     "service-not-one", 'name = "earmark"'),
    ("a preferred host that is none", [Change('prefer = "hosta"', 'prefer = "hostc"')], "prefer-unknown", "hostc"),
    ("no arbitrator, and nobody says so", [NO_ARBITRATOR[1]], "no-arbitrator", 'name = "earmark"'),
    ("two hosts of one name", [Change('name = "hostb"', 'name = "hosta"')], "name-twice", 'name = "hosta"'),
    ("a guest called like a host", [Change('name = "mail"', 'name = "hostb"')], "name-twice", 'name = "hostb"'),
    ("a host called as the directory of the guest's files", [Change('name = "hostb"', 'name = "guest"')], "name-taken",
     'name = "guest"'),
    ("a host called as the directory of what is the cluster's", [Change('name = "hostb"', 'name = "cluster"')],
     "name-taken", 'name = "cluster"'),
    ("a guest called as where one sits", [Change('name = "mail"', 'name = "here"')], "name-taken", 'name = "here"'),
    ("a cluster that drbdadm takes for all", [Change('name = "earmark"', 'name = "all"')], "name-taken",
     'name = "all"'),
    ("a host that could not hold the guest", [Change("memory = 16384", "memory = 4608")], "memory-too-small", "4608"),
    ("a host that could not hold the group", [GROUP, Change("memory = 16384", "memory = 4608")], "memory-too-small",
     "4608"),
    ("a guest's disk beyond its partition table", [Change("disk = 40 ", "disk = 2048 ")], "guest-disk-too-large",
     "2048"),
    ("a disk on which no guest can be built", [Change("disk = 40 ", "disk = 4 ")], "guest-disk-too-small", "disk = 4"),
    ("one disk twice", [Change('"/dev/sda2", "/dev/sdb2"', '"/dev/sda2", "/dev/sda2"')], "disk-twice", "disks"),
    ("two partitions of one drive", [Change('"/dev/sda2", "/dev/sdb2"', '"/dev/sda2", "/dev/sda3"')],
     "disk-same-drive", "disks"),
    ("two partitions of one NVMe drive", [Change('"/dev/sda2", "/dev/sdb2"', '"/dev/nvme0n1p2", "/dev/nvme0n1p3"')],
     "disk-same-drive", "disks"),
    ("a mirror of one disk", [Change('"/dev/sda2", "/dev/sdb2"', '"/dev/sda2"')], "disk-single", "disks"),
    ("a mirror of itself", [Change('"/dev/sda2", "/dev/sdb2"', '"/dev/md1", "/dev/sdb2"')], "disk-is-raid", "disks"),
    ("a web server on a host", [Change('name = "hosta"', 'name = "hosta"\nextra_services = ["apache2.service"]')],
     "service-beyond-list", "apache2"),
    ("DRBD started by systemd", [Change('name = "hosta"', 'name = "hosta"\nextra_services = ["drbd.service"]')],
     "service-of-cluster", "drbd.service"),
    ("backplane and service network overlap", [Change("10.77.0.0/24", "192.0.2.0/25")], "single-link", "backplane"),
    ("both links are one interface", [Change('"eno2"', '"eno1"')], "single-link", "eno1"),
    ("an arbitrator on the backplane", [Change('address = "192.0.2.13"', 'address = "10.77.0.13"')],
     "arbitrator-on-backplane", "10.77.0.13"),
    ("both hosts have one address", [Change('"10.77.0.2"', '"10.77.0.1"')], "address-twice", "10.77.0.1"),
    ("the guest has a host's address", [Change('address = "192.0.2.25"', 'address = "192.0.2.12"')], "address-twice",
     "192.0.2.12"),
    ("a host outside of the backplane", [Change('"10.77.0.2"', '"10.78.0.2"')], "address-outside", "10.78.0.2"),
    ("a guest outside of the service network", [Change('address = "192.0.2.25"', 'address = "198.51.100.25"')],
     "address-outside", "198.51.100.25"),
    ("a gateway elsewhere", [Change('gateway = "192.0.2.1"', 'gateway = "198.51.100.1"')], "address-outside",
     "gateway"),
    ("a host with the broadcast address", [Change('"192.0.2.12"', '"192.0.2.255"')], "address-reserved", "192.0.2.255"),
    ("a ping target that is a host", [Change('"192.0.2.53"', '"192.0.2.12"')], "ping-ourselves", "ping"),
    ("a ping target that is the guest", [Change('"192.0.2.53"', '"192.0.2.25"')], "ping-ourselves", "ping"),
    ("a ping target far away", [Change('"192.0.2.53"', '"203.0.113.53"')], "ping-outside", "ping"),
    ("one ping target twice", [Change('"192.0.2.53"', '"192.0.2.1"')], "ping-twice", "ping"),
    ("one ping target", [Change(', "192.0.2.53"', "")], "ping-single", "ping"),
    ("two hosts with one MAC address", [Change("02:00:c0:00:02:12", "02:00:c0:00:02:11")], "mac-twice",
     "hostb|service"),
    ("the guest has a bridge's MAC address", [Change("52:54:00:c0:02:25", "02:00:c0:00:02:12")], "mac-twice", "mac"),
    ("a multicast MAC address", [Change("02:00:c0:00:02:12", "03:00:c0:00:02:12")], "mac-unusable", "03:00"),
    ("a MAC address of libvirt's own", [Change("52:54:00:c0:02:25", "fe:54:00:c0:02:25")], "mac-unusable", "fe:54"),
    ("a bridge that the hosts have not", [Change('bridge = "br0"\nvcpu', 'bridge = "br1"\nvcpu')], "bridge-unknown",
     "br1"),
    ("no fencing at all", [Change(LEVEL_1, ""), Change(LEVEL_2, "")], "fencing-missing", "hosta"),
    ("one level, outside", [Change(LEVEL_1, "")], "fencing-one-level", "[[hosts.fencing]]"),
    ("one level, on board", [Change(LEVEL_2, "")], "fencing-shares-power", "[[hosts.fencing]]"),
    ("both levels are one board", [Change(PDU_A, IPMI_A)], "fencing-same-device", "[[hosts.fencing]]"),
    ("the other host's outlet", [Change('plug = "2"', 'plug = "1"')], "fencing-wrong-host", "plug"),
    ("a board at a host's own address", [Change("192.0.2.111", "192.0.2.11")], "fencing-through-host", "192.0.2.11"),
    ("an agent that is none", [Change("fence_ipmilan", "fence_ipmlan")], "agent-unknown", "fence_ipmlan"),
    ("an agent that cuts nothing", [Change("fence_ipmilan", "fence_dummy")], "fencing-not-power", "fence_dummy"),
    ("a password in the inventory", [Change('lanplus = "1"', 'lanplus = "1", password = "x"')], "secret-inline",
     "password"),
    ("a user without a password file", [Change('password_file = "/etc/pacemaker/fence-hosta-ipmi"\n', "")],
     "fencing-no-password", "fence_ipmilan"),
    ("a parameter that is none", [Change("lanplus", "lanpuls")], "agent-parameter-unknown", "lanpuls"),
    ("a parameter that is missing", [Change('plug = "1", ', "")], "agent-parameter-missing", "192.0.2.120"),
    ("power off that is not waited for", [Change(', method = "onoff"', "")], "fencing-cycle", "fence_ipmilan"),
    ("a start shorter than twice the boot", [Change("start = 120", "start = 79")], "start-timeout-short", "start"),
    ("a stop no longer than the shutdown", [Change("stop = 180", "stop = 60")], "stop-timeout-short", "stop"),
    ("a stop no longer than a group's drain", [GROUP, Change("stop = 180", "stop = 30")], "stop-timeout-short", "stop"),
    ("failures forgotten before they count", [Change("stop = 180", "stop = 180\nfailure = 45")],
     "failure-timeout-short",
     "failure"),
    ("a token for idle hosts only", [Change("token = 3000", "token = 900")], "token-short", "token"),
    ("fencing that gives up", [Change("stop = 180", "stop = 180\nfencing_attempts = 10")], "fencing-gives-up",
     "attempts"),
    ("a recheck after a quarter of an hour", [Change("stop = 180", "stop = 180\nrecheck = 900")], "recheck-long",
     "recheck"),
    ("an arbitrator hurried during a change", [Change("stop = 180", "stop = 180\nqdevice_sync = 5000")],
     "qdevice-sync-short", "qdevice_sync"),
    ("a DRBD time-out as long as its pings", [Change("stop = 180", "stop = 180\ndrbd_timeout = 20")],
     "drbd-timeout-long",
     "drbd_timeout"),
    ("DRBD slower than the cluster", [Change("stop = 180", "stop = 180\ndrbd_ping = 10")], "drbd-detection-slow",
     "drbd_ping"),
]  # fmt: skip

WARNED = {
    "disk-single", "ping-outside", "ping-single", "fencing-one-level", "fencing-shares-power", "fencing-cycle",
    "guest-disk-too-small", "token-short",
}  # fmt: skip


@pytest.mark.parametrize(("changes", "code", "on_line"), [row[1:] for row in DEFECTS], ids=[row[0] for row in DEFECTS])
def test_each_defect_is_found_by_name_and_with_its_line(changes: list[Change], code: str, on_line: str) -> None:
    inventory, document = example(*changes)
    text = EXAMPLE.read_text()
    for change in changes:
        text = text.replace(change.old, change.new, 1)
    found = [finding for finding in lint(inventory, document) if finding.code == code]
    assert found, [str(finding) for finding in lint(inventory, document)]
    assert any(part in line_of(finding, text) for finding in found for part in on_line.split("|"))
    assert all(finding.refuses == (code not in WARNED) for finding in found)
    assert all(finding.where.startswith("inventory.toml:") for finding in found)


@pytest.mark.parametrize(
    "changes",
    [[], [NINE], [GROUP], [GROUP, NINE], [*NO_ARBITRATOR], [Change('prefer = "hosta"', "")]],
    ids=["example", "DRBD 9", "group", "group on DRBD 9", "no arbitrator by name", "no preference"],
)
def test_what_is_meant_so_is_not_refused(changes: list[Change]) -> None:
    inventory, document = example(*changes)
    assert [str(finding) for finding in lint(inventory, document, render(inventory)) if finding.refuses] == []


def test_each_reason_says_what_to_do_or_what_is_so_and_fits_a_line() -> None:
    for _, changes, code, _ in DEFECTS:
        inventory, document = example(*changes)
        for finding in lint(inventory, document):
            assert len(finding.reason) > 20, code
            assert "\n" not in str(finding), code
