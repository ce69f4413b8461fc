"""Ansible's role `storage` on machines that have disks. It takes minutes: `./dev cluster --vm -k role`."""

import pytest

from cluster_lab.machines.lab import Lab
from cluster_lab.machines.pair import disks_of_both
from cluster_lab.machines.played import play
from cluster_lab.machines.storage import IN_STEP, ROOT, Storage, example, host_files
from earmark.cluster.files import write_files
from earmark.cluster.render import render

pytestmark = pytest.mark.vm
_PLAYBOOK = """\
- hosts: cluster_hosts
  gather_facts: false
  roles: [storage]
"""


def test_the_role_makes_the_storage_of_both_hosts_and_changes_nothing_the_second_time(lab: Lab) -> None:
    top = lab.top / "play"
    write_files(render(example()), top / "rendered")
    (top / "storage.yml").write_text(_PLAYBOOK)
    inventory = top / "rendered" / "cluster" / "ansible.yml"
    text = inventory.read_text()
    assert "earmark_disk: " in text
    inventory.write_text(text.replace("earmark_disk: ", "earmark_disk: 1  # "))
    with lab.timed("role storage: boot two hosts, the first time"):
        hosts = [lab.host(name, disks, host_files(name)) for name, disks in disks_of_both(lab, 1200).items()]
        for host in hosts:
            host.wait_ready()
            Storage(host).make_partitions()
            Storage(host).raise_backplane()
        first = play(top / "storage.yml", ROOT / "deploy/ansible/roles", inventory, hosts, within=1500)
        assert not first.status, first.output
        assert {task.split(" [")[0].removeprefix("storage : ") for task in first.changed} >= {
            "Mirror",
            "Volume group",
            "Volume",
            "Metadata of the replication",
            "New and empty volumes are the same",
        }
        Storage(hosts[0]).wait_connected(IN_STEP)
    with lab.timed("role storage: the second time"):
        second = play(top / "storage.yml", ROOT / "deploy/ansible/roles", inventory, hosts, within=1500)
    assert not second.status, second.output
    assert second.changed == []
