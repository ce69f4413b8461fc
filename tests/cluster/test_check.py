"""The real programs over the example's files: nothing wrong with them as rendered, and each seeded defect found."""

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from earmark.cluster import namespaces
from earmark.cluster.check import check, missing
from earmark.cluster.check_host import said
from earmark.cluster.cib_file import NAME as CIB
from earmark.cluster.files import File
from earmark.cluster.render import render
from fakes.cluster_defects import GROUP, NINE, NO_ARBITRATOR, Change, changed, example
from fakes.waiting import until

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"the real programs cannot run here: {'; '.join(missing())}")

COROSYNC = "hosta/etc/corosync/corosync.conf"
DRBD = "hosta/etc/drbd.d/earmark.res"
DOMAIN = "hosta/etc/pacemaker/mail.xml"
FIREWALL = "hosta/etc/nftables.conf"
LVM = "hosta/etc/lvm/lvmlocal.conf"
QDEVICE = "hosta/etc/systemd/system/corosync-qdevice.service.d/cluster.conf"
ALARM = "guest/etc/systemd/system/earmark-alarm.service"

DEFECTS = [
    ("a token below what corosync allows", COROSYNC, "token: 3000", "token: 20", "corosync"),
    ("a transport that is none", COROSYNC, "transport: knet", "transport: knett", "corosync"),
    ("one nodeid twice", COROSYNC, "nodeid: 2", "nodeid: 1", "corosync"),
    ("no nodeid", COROSYNC, "nodeid: 2", "", "corosync"),
    ("a brace too few", COROSYNC, "link_mode: passive\n\tinterface {", "link_mode: passive\n\tinterface", "corosync"),
    ("an address that is none", COROSYNC, "ring1_addr: 192.0.2.12", "ring1_addr: 192.0.2.", "corosync"),
    ("links that do not match", COROSYNC, "\t\tring1_addr: 192.0.2.12\n", "", "corosync"),
    ("a cipher that is none", COROSYNC, "aes256", "aes257", "corosync"),
    ("a link number above 7", COROSYNC, "linknumber: 1", "linknumber: 9", "corosync"),
    ("an unknown option", DRBD, "max-buffers", "max-bufers", "drbdadm"),
    ("a protocol that is none", DRBD, "protocol C", "protocol D", "drbdadm"),
    ("both hosts with one address", DRBD, "10.77.0.2:7788", "10.77.0.1:7788", "drbdadm"),
    ("this host not in the file", DRBD, "on hosta", "on host-a", "drbdadm"),
    ("no disk", DRBD, "\t\tdisk /dev/vg_host/earmark;\n", "", "drbdadm"),
    ("no address", DRBD, "\t\taddress ipv4 10.77.0.1:7788;\n", "", "drbdadm"),
    ("fencing where 9 has it", DRBD, "net {", "net {\n\t\tfencing resource-and-stonith;", "drbdadm"),
    ("options that only 9 has", DRBD, "net {", "options { auto-promote no; }\n\tnet {", "drbdadm"),
    ("a handler that is none", DRBD, "after-resync-target", "after-resync", "drbdadm"),
    ("a constraint for what is not there", CIB, 'rsc="service" with-rsc', 'rsc="servise" with-rsc', "crm_verify"),
    ("an unknown element", CIB, "<status/>", "<statuss/>", "crm_verify"),
    ("one id twice", CIB, 'id="service-prefers"', 'id="service-where-network"', "crm_verify"),
    ("a score that is none", CIB, 'score="-5000"', 'score="-5000x"', "crm_verify"),
    ("a policy that is none", CIB, 'name="no-quorum-policy" value="stop"', 'name="no-quorum-policy" value="stopp"',
     "crm_verify"),
    ("fencing off", CIB, 'name="stonith-enabled" value="true"', 'name="stonith-enabled" value="false"', "crm_verify"),
    ("an interval that is none", CIB, 'interval="15s"', 'interval="15x"', "crm_verify"),
    ("an unknown element of a domain", DOMAIN, "<vcpu>2</vcpu>", "<vcpus>2</vcpus>", "virt-xml-validate"),
    ("a bus that is none", DOMAIN, 'bus="virtio"', 'bus="virtual"', "virt-xml-validate"),
    ("an unknown word of the firewall", FIREWALL, "policy drop", "policy dropp", "nft"),
    ("a service that is none", FIREWALL, "\t\ttcp dport 22 ", "\t\ttcp dport sssh ", "nft"),
    ("an interface that must exist at boot", FIREWALL, 'iifname "eno2"', 'iif "eno2"', "nft"),
    ("an unknown setting of LVM", LVM, "use_devicesfile", "use_devicefile", "lvmconfig"),
    ("a key in the wrong section", QDEVICE, "Restart=always", "Wants=corosync.service", "systemd-analyze"),
    ("an unknown key of a unit", QDEVICE, "RestartSec=5", "RestartSeconds=5", "systemd-analyze"),
    ("a program that nobody brings", QDEVICE, "RestartSec=5", "RestartSec=5\nExecStartPost=/usr/local/sbin/nobody",
     "systemd-analyze"),
    ("a unit's value that is none", ALARM, "ProtectSystem=strict", "ProtectSystem=strictly", "systemd-analyze"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "tool"), [row[1:] for row in DEFECTS], ids=[row[0] for row in DEFECTS])
def test_each_defect_is_found_by_the_program_whose_file_it_is(name: str, old: str, new: str, tool: str) -> None:
    inventory, _ = example()
    files = changed(render(inventory), name, Change(old, new))
    beside = name.rpartition("/")[0]
    found = check(inventory, {path: file for path, file in files.items() if path.startswith(beside)})
    found = [one for one in found if one.where.startswith(name.partition("/")[0]) and one.code != "not-installed-here"]
    assert {finding.code for finding in found} == {tool}, [str(finding) for finding in found]
    assert all(finding.refuses and "said nothing" not in finding.reason for finding in found)


@pytest.mark.parametrize(
    "changes",
    [[], [NINE], [GROUP], [GROUP, NINE], [*NO_ARBITRATOR]],
    ids=["DRBD 8.4", "DRBD 9", "group", "group on DRBD 9", "no arbitrator"],
)
def test_the_programs_find_nothing_wrong_with_what_is_rendered(changes: list[Change]) -> None:
    inventory, _ = example(*changes)
    assert [str(finding) for finding in check(inventory, render(inventory)) if finding.refuses] == []


@pytest.mark.parametrize("place", ["usr/sbin/nft", "usr/local/sbin/nft", "usr/local/sbin/hostname"])
def test_a_program_among_the_files_is_not_run(place: str, tmp_path: Path) -> None:
    inventory, _ = example()
    program = File(f"#!/bin/sh\ntouch {tmp_path}/run\n", 0o755)
    assert [str(one) for one in check(inventory, render(inventory) | {f"hosta/{place}": program}) if one.refuses] == []
    assert not (tmp_path / "run").exists()


def test_files_of_the_other_dialect_are_refused_for_both_hosts() -> None:
    inventory, _ = example()
    nine, _ = example(NINE)
    found = check(inventory, render(nine))
    assert {finding.where for finding in found if finding.code == "drbdadm"} == {
        "hosta/etc/drbd.d/",
        "hostb/etc/drbd.d/",
    }


def test_an_agent_that_lint_does_not_know_is_asked_for_its_parameters() -> None:
    inventory, _ = example(Change("fence_apc_snmp", "fence_emerson"), Change("fence_apc_snmp", "fence_emerson"))
    files = changed(render(inventory), CIB, Change('name="plug"', 'name="plugg"'))
    found = check(inventory, {CIB: files[CIB]})
    assert [finding.code for finding in found] == ["agent-parameter-unknown"]
    assert 'did you mean "plug"?' in found[0].reason


def test_a_program_that_is_not_installed_here_is_said_and_not_refused() -> None:
    inventory, _ = example()
    found = [
        finding for finding in check(inventory, render(inventory)) if finding.where.endswith("earmark-alarm.service")
    ]
    assert [(finding.code, finding.refuses) for finding in found] in ([], [("not-installed-here", False)])


WITHOUT_DRBDADM = """
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work"
mount -t overlay -o "lowerdir=/usr/sbin,upperdir=$1/upper,workdir=$1/work" none /usr/sbin
rm /usr/sbin/drbdadm
exec "$2" -c "$3"
"""
WHAT_IS_SAID = """
from fakes.cluster_defects import example
from earmark.cluster.check import check, missing
inventory, _ = example()
print(*missing(), *check(inventory, {}), sep="\\n")
"""


def test_what_a_missing_program_would_have_looked_at_is_not_called_well(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", WITHOUT_DRBDADM, "sh", str(tmp_path), sys.executable, WHAT_IS_SAID],
        env={**os.environ, "PYTHONPATH": f"{root / 'milter'}:{root / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "drbdadm: install the Debian package drbd-utils" in done.stdout.splitlines()
    assert "check: not-checked: drbdadm is not here: install the Debian package drbd-utils" in done.stdout.splitlines()


def test_what_a_program_does_not_end_in_time_is_killed_and_said() -> None:
    output = namespaces.run(namespaces.Host("here"), ["sleep", "600"], 0.5)
    assert output == (-1, "")
    assert [finding.reason for finding in said("here", "sleep", output)] == ["did not end in time, and was killed"]


def test_a_program_sees_the_host_and_nothing_of_this_machine_changes() -> None:
    there = namespaces.Host("hosta", ["10.77.0.1"], {"etc/earmark-check/a": ("rendered", 0o600)}, ["/root"])
    script = "hostname; cat /etc/earmark-check/a; ls -A /root; ip -o -4 address show; echo x >/etc/earmark-check/b"
    output = namespaces.run(there, ["sh", "-c", script], 20.0)
    assert output.status == 0
    assert output.text.startswith("hosta\nrendered1: lo")
    assert "10.77.0.1/32" in output.text
    assert len(output.text.splitlines()) == 3, "no other interface"
    assert not Path("/etc/earmark-check").exists()
    assert socket.gethostname() != "hosta"


def test_a_file_below_a_link_that_leads_elsewhere_is_not_written() -> None:
    output = namespaces.run(namespaces.Host("here", (), {"var/run/earmark-check": ("x", 0o600)}), ["true"], 20.0)
    assert output.status != 0
    assert "leads elsewhere" in output.text
    assert not Path("/run/earmark-check").exists()


def descendants(pid: int) -> list[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            number, _, rest = path.read_text().partition(" (")
            parents[int(number)] = int(rest.rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


async def test_nothing_outlives_a_caller_that_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    code = (
        "import sys; from earmark.cluster.namespaces import Host, run;"
        "run(Host('here'), ['sh', '-c', 'echo yes >\"$0\"; sleep 600', sys.argv[1]], 600)"
    )
    caller = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(started), env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    await until(lambda: started.exists() and started.read_text() == "yes\n", 30.0)
    below = descendants(caller.pid)
    assert len(below) >= 3, "unshare, the command, its child"
    caller.kill()
    await caller.wait()
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), 30.0)
