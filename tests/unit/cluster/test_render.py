import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from earmark.cluster.files import File, read_files, write_files
from earmark.cluster.inventory import Inventory, load_inventory, read_inventory
from earmark.cluster.render import render

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[2] / "deploy" / "cluster" / "inventory.example.toml"
INVENTORIES = {"guest": EXAMPLE, "group": HERE / "group.toml"}


def rendered(inventory: Path) -> dict[str, File]:
    return render(load_inventory(inventory)[0])


def of_machines(files: dict[str, File]) -> dict[str, File]:
    """What concerns no machine (CIB, runbooks) has its own tests."""
    return {name: file for name, file in files.items() if not name.startswith("cluster/")}


def changed(good: str, bad: str) -> Inventory:
    text = EXAMPLE.read_text()
    assert good in text
    return read_inventory("inventory.toml", text.replace(good, bad, 1).encode())[0]


@pytest.mark.parametrize("name", INVENTORIES)
def test_what_is_rendered_is_what_was_read_and_approved(name: str) -> None:
    files = of_machines(rendered(INVENTORIES[name]))
    approved = HERE / "rendered" / name
    if os.environ.get("EARMARK_UPDATE"):
        for path in read_files(approved):
            (approved / path).unlink()
        write_files(files, approved)
    assert {path: file.text for path, file in read_files(approved).items()} == {
        path: file.text for path, file in files.items()
    }


def test_the_same_inventory_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    trees = []
    for seed in ("1", "2"):
        tree = tmp_path / seed
        words = [sys.executable, "-m", "earmark", "cluster", "render", str(EXAMPLE), "--to", str(tree)]
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed})
        trees.append(read_files(tree))
    assert trees[0] == trees[1]


@pytest.mark.parametrize("name", INVENTORIES)
def test_each_file_says_first_what_it_is_and_where_it_comes_from(name: str) -> None:
    for path, file in of_machines(rendered(INVENTORIES[name])).items():
        if path.endswith("guest_probe.py"):
            continue
        head = file.text.removeprefix("#!/usr/sbin/nft -f\n").removeprefix("#!/bin/sh\n")
        assert head.startswith(("# ", "<!-- ")), path
        assert "Rendered by `earmark cluster render`: change the inventory, not this file." in head[:600], path
        assert file.text.endswith("\n"), path
        assert not re.search(r"[ \t]\n|\n\n\n", file.text), path


def test_the_hosts_have_the_same_cluster_disk_and_guest() -> None:
    files = rendered(EXAMPLE)
    for path in (
        "etc/corosync/corosync.conf",
        "etc/drbd.d/earmark.res",
        "etc/drbd.d/global_common.conf",
        "etc/pacemaker/mail.xml",
        "usr/local/sbin/earmark-guest-probe",
    ):
        assert files[f"hosta/{path}"] == files[f"hostb/{path}"]


def test_each_host_has_its_own_addresses_and_lets_in_its_peer_alone() -> None:
    files = rendered(EXAMPLE)
    assert "MACAddress=02:00:c0:00:02:12\n" in files["hostb/etc/systemd/network/10-br0.netdev"].text
    assert "Address=192.0.2.12/24\n" in files["hostb/etc/systemd/network/10-br0.network"].text
    assert "Address=10.77.0.2/24\n" in files["hostb/etc/systemd/network/20-eno2.network"].text
    firewall = files["hostb/etc/nftables.conf"].text
    assert 'iifname "eno2" ip saddr 10.77.0.1 tcp dport 7788 accept' in firewall
    assert "10.77.0.2" not in firewall


def test_the_hosts_lvm_looks_at_the_mirror_and_at_nothing_else() -> None:
    text = rendered(EXAMPLE)["hosta/etc/lvm/lvmlocal.conf"].text
    assert 'global_filter = [ "a|^/dev/md1$|", "r|.*|" ]' in text
    assert "use_devicesfile = 0" in text


OF_84 = ("crm-fence-peer.sh", "after-resync-target")
OF_9 = ("crm-fence-peer.9.sh", "unfence-peer", "auto-promote", "quorum off", "node-id")


def test_each_dialect_of_drbd_has_its_own_words_only() -> None:
    old = rendered(EXAMPLE)["hosta/etc/drbd.d/earmark.res"].text
    new = rendered(INVENTORIES["group"])["left/etc/drbd.d/mx.res"].text
    assert all(re.search(rf"\b{word}", old) for word in map(re.escape, OF_84))
    assert not any(word in old for word in OF_9 if word != "unfence-peer")
    assert all(word in new for word in OF_9)
    assert not any(word in new for word in OF_84)
    for text, section in ((old, "disk"), (new, "net")):
        inside = re.search(rf"\n\t{section} {{\n(.*?)\n\t}}", text, re.DOTALL)
        assert inside
        assert "fencing resource-and-stonith;" in inside[1]
        assert text.count("fencing resource-and-stonith;") == 1


def test_no_secret_is_rendered_but_the_place_of_one() -> None:
    files = rendered(EXAMPLE)
    assert 'include "/etc/drbd.d/earmark.secret";' in files["hosta/etc/drbd.d/global_common.conf"].text
    settings = [line for file in files.values() for line in file.text.splitlines() if not line.lstrip().startswith("#")]
    assert not any(re.search(r"shared-secret|passw(or)?d=", line) for line in settings if "fence_" not in line)


def test_without_an_arbitrator_two_nodes_decide_and_nobody_is_asked() -> None:
    files = rendered(INVENTORIES["group"])
    text = files["left/etc/corosync/corosync.conf"].text
    assert "two_node: 1" in text
    assert "device {" not in text
    assert not any("qdevice" in name or "qnetd" in name for name in files)


def test_with_an_arbitrator_votes_go_over_tls_or_not_at_all() -> None:
    files = rendered(EXAMPLE)
    text = files["hosta/etc/corosync/corosync.conf"].text
    assert "tls: required" in text
    assert "two_node:" not in text
    assert "-s required" in files["arbiter/etc/default/corosync-qnetd"].text


def test_the_definition_is_whole_and_the_guest_the_same_machine_on_both_hosts() -> None:
    domain = ET.fromstring(rendered(EXAMPLE)["hosta/etc/pacemaker/mail.xml"].text)  # noqa: S314 - our own file
    assert domain.get("type") == "kvm"
    assert domain.findtext("uuid") == "130391c6-0d00-5868-a005-a462ac62aa04"
    driver = domain.find("devices/disk/driver")
    assert driver is not None
    assert driver.attrib == {"name": "qemu", "type": "raw", "cache": "none", "io": "native"}


def test_the_guest_lets_in_mail_and_mailboxes_only_where_it_has_them() -> None:
    without = rendered(EXAMPLE)["guest/etc/nftables.conf"].text
    assert "tcp dport { 25, 465, 587 } accept" in without
    assert "143" not in without
    files = render(changed('"unbound"]', '"unbound", "dovecot"]'))
    assert "tcp dport { 143, 993 } accept" in files["guest/etc/nftables.conf"].text


def test_the_probe_asks_for_the_filter_only_where_that_may_move_the_guest() -> None:
    probe = "hosta/usr/local/sbin/earmark-guest-probe"
    assert "--takes-mail" not in rendered(EXAMPLE)[probe].text
    moving = render(changed('filter_failure = "alarm"', 'filter_failure = "move"'))
    assert moving[probe].text.endswith("192.0.2.25 --within 25 --takes-mail\n")
    assert moving[probe].mode == 0o755


def test_the_groups_units_start_only_where_the_disk_is_mounted_and_never_at_boot() -> None:
    files = rendered(INVENTORIES["group"])
    for unit in ("unbound.service", "earmark.service", "postfix@-.service"):
        assert "AssertPathIsMountPoint=/srv/earmark\n" in files[f"left/etc/systemd/system/{unit}.d/cluster.conf"].text
        assert f"disable {unit}\n" in files["left/etc/systemd/system-preset/10-cluster.preset"].text
