"""Ansible's roles on hosts that have disks: what the chroots of the other tests pass by."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from cluster_lab.machines.host import Host
from cluster_lab.machines.lab import Lab
from cluster_lab.machines.login import Login, new_key, play
from cluster_lab.machines.pair import disks_of_both
from cluster_lab.machines.qemu import Disk
from cluster_lab.machines.storage import IN_STEP, ROOT, Storage, example, host_files
from e2e_lab.processes import free_port
from earmark.cluster.files import write_files
from earmark.cluster.render import render

pytestmark = pytest.mark.vm
_PLAYBOOK = """\
- hosts: cluster_hosts
  gather_facts: false
  roles: [storage]
"""
_GIBIBYTE = {"earmark_disk": 1}
"""The smallest volume that the role can make."""
_DISK = 1200
"""MiB of a disk that it fits on."""
_MADE = {
    "Files as rendered",
    "Mirror",
    "Volume group",
    "Volume",
    "Metadata of the replication",
    "Replication is up, until the cluster takes it over",
}
_MADE_ONCE = {"Secret", "New and empty volumes are the same"}
_NAMES = ("hosta", "hostb")
_AT_BOOT = ("etc/modules-load.d/", "usr/lib/drbd/")
"""What the role does not place: kernel modules are the role `host`'s, and Pacemaker is not there."""
_SERVICE = "eth1"


def test_the_role_makes_the_storage_of_both_hosts_and_changes_nothing_the_second_time(lab: Lab) -> None:
    key, rendered = lab.top / "key", lab.top / "rendered"
    new_key(key)
    playbook = _write_play(rendered)
    with lab.timed("role storage: boot two hosts"):
        ports = {name: free_port() for name in _NAMES}
        disks = disks_of_both(lab, _DISK)
        hosts = {name: _host(lab, name, disks[name], port) for name, port in ports.items()}
        with ThreadPoolExecutor(2) as executor:
            list(executor.map(partial(_let_in, key=key), hosts.values()))
        logins = {name: Login(key, port) for name, port in ports.items()}
    with lab.timed("role storage: the first time"):
        first = play(playbook, rendered, logins, _GIBIBYTE)
    assert not first.status, first.output
    assert {f"storage : {task} [{name}]" for task in _MADE for name in hosts} <= set(first.changed)
    assert {f"storage : {task} [hosta]" for task in _MADE_ONCE} <= set(first.changed)
    Storage(hosts["hosta"]).wait_connected(IN_STEP)
    with lab.timed("role storage: the second time"):
        second = play(playbook, rendered, logins, _GIBIBYTE)
    assert not second.status, second.output
    assert second.changed == []


def _write_play(rendered: Path) -> Path:
    """Render, with the patience that a host of the lab needs, and write a playbook with this role alone beside it."""
    own = {f"{name}/{path}": file for name in _NAMES for path, file in host_files(name).items()}
    files = {path: own.get(path, file) for path, file in render(example()).items()}
    write_files(files, rendered)
    (rendered / "roles").symlink_to(ROOT / "deploy" / "ansible" / "roles")
    playbook = rendered / "storage.yml"
    playbook.write_text(_PLAYBOOK)
    return playbook


def _host(lab: Lab, name: str, disks: Sequence[Disk], port: int) -> Host:
    """Start a host with empty disks, whose SSH server is to be reached on a port of 127.0.0.1."""
    files = {path: file for path, file in host_files(name).items() if path.startswith(_AT_BOOT)}
    service = example().host(name).service.address
    network = f"user,id=service,net=192.0.2.0/24,restrict=on,hostfwd=tcp:127.0.0.1:{port}-{service}:22"
    options = ("-netdev", network, "-device", "virtio-net-pci,netdev=service,romfile=")
    return lab.host(name, disks, files, options=options)


def _let_in(host: Host, key: Path) -> None:
    """Make the partitions, raise the network, and start the SSH server."""
    host.wait_ready()
    storage = Storage(host)
    storage.make_partitions()
    storage.raise_backplane()
    address = example().host(host.name).service.address
    host.run("ip", "address", "add", f"{address}/24", "dev", _SERVICE)
    host.run("ip", "link", "set", _SERVICE, "up")
    host.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_text(), 0o600)
    host.run("install", "-d", "/run/sshd")
    host.run("/usr/sbin/sshd")
