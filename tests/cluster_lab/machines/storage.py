"""A host's storage as the inventory describes it: mirror, volume group, replicated volume, with the rendered files."""

from pathlib import Path

from cluster_lab.machines.host import Host
from cluster_lab.machines.qemu import Disk
from earmark.cluster.files import File
from earmark.cluster.inventory import Inventory, load_inventory
from earmark.cluster.render import render

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deploy" / "cluster" / "inventory.example.toml"
DEVICE = "/dev/drbd0"
IN_STEP = "UpToDate/UpToDate"
"""What DRBD says where both halves are the same."""
_PLACED = ("etc/drbd.d/", "etc/lvm/", "etc/mdadm/", "etc/modules-load.d/")
_SECRET = 'common { net { shared-secret "for this test alone"; } }\n'  # noqa: S105 - of machines that live for minutes
_PARTITIONS = "label: gpt\nsize=8MiB, name=boot\nname=data\n"
_SECTOR = 512
_FENCED = "/run/fenced"
# An emulated processor that waits for its turn does not answer within the half second that is rendered.
_PING = ("ping-timeout 5;", "ping-timeout 50;")
# Pacemaker is not here. What stands for it answers that the peer is known to be off (fence-peer in drbd.conf(5)).
_FENCE_PEER = f'#!/bin/sh\necho "$DRBD_PEER" >>{_FENCED}\nexit 7\n'
_UNFENCE_PEER = "#!/bin/sh\nexit 0\n"


def example() -> Inventory:
    """Return the inventory that ships as an example: the hosts of the lab are those in it."""
    return load_inventory(EXAMPLE)[0]


def host_files(name: str) -> dict[str, File]:
    """Return what a host has when it boots: what is rendered for its storage, and what stands for Pacemaker."""
    inventory = example()
    rendered = {path.removeprefix(f"{name}/"): file for path, file in render(inventory).items()}
    resource = f"etc/drbd.d/{inventory.name}.res"
    assert _PING[0] in rendered[resource].text
    return {path: file for path, file in rendered.items() if path.startswith(_PLACED)} | {
        resource: rendered[resource]._replace(text=rendered[resource].text.replace(*_PING)),
        inventory.storage.secret_file.lstrip("/"): File(_SECRET, 0o600),
        "usr/lib/drbd/crm-fence-peer.sh": File(_FENCE_PEER, 0o755),
        "usr/lib/drbd/crm-unfence-peer.sh": File(_UNFENCE_PEER, 0o755),
    }


class Storage:
    """The storage of one host, whose disks are /dev/sda and /dev/sdb, and which has the files of `host_files`."""

    def __init__(self, host: Host) -> None:
        self.inventory = example()
        self._host = host

    def make_partitions(self) -> None:
        """Make on both disks the partitions that the inventory names."""
        for disk in ("/dev/sda", "/dev/sdb"):
            self._host.run("sfdisk", "--quiet", disk, given=_PARTITIONS)
        self._host.run("udevadm", "settle")

    def make_mirror(self) -> None:
        """Make partitions, mirror and volume group. New disks are zeros, so both halves are the same already."""
        self.make_partitions()
        inventory, run = self.inventory, self._host.run
        disks = inventory.host(self._host.name).disks
        level = ("--level=1", "--bitmap=internal", "--metadata=1.2", "--assume-clean")
        names = (f"--homehost={self._host.name}", f"--name={inventory.name}")
        run("mdadm", "--create", inventory.storage.raid, *level, *names, f"--raid-devices={len(disks)}", *disks)
        run("udevadm", "settle")
        run("vgcreate", "--quiet", inventory.storage.volume_group, inventory.storage.raid)

    def make_volume(self, mebibytes: int) -> None:
        """Make the volume that is replicated, with DRBD's metadata."""
        group, name = self.inventory.storage.volume_group, self.inventory.name
        words = ("lvcreate", "--yes", "--wipesignatures", "n", "--size", f"{mebibytes}M", "--name", name, group)
        self._host.run(*words)
        self._host.run("drbdadm", "create-md", name, given="no\n")

    def raise_backplane(self) -> None:
        """Give the host its end of the backplane."""
        link = self.inventory.host(self._host.name).backplane
        self._host.run("ip", "link", "set", "eth0", "name", link.interface)
        prefix = self.inventory.backplane.prefixlen
        self._host.run("ip", "address", "add", f"{link.address}/{prefix}", "dev", link.interface)
        self._host.run("ip", "link", "set", link.interface, "up")

    def connect(self) -> None:
        """Bring the replication up."""
        self._host.run("drbdadm", "up", self.inventory.name)

    def wait_connected(self, halves: str) -> None:
        """Return when both hosts' halves are so, such as "UpToDate/UpToDate"."""
        self._host.wait_for(halves, "drbdadm", "dstate", self.inventory.name)

    def skip_first_copy(self) -> None:
        """Say on one host that two new volumes are the same."""
        self._host.run("drbdadm", "new-current-uuid", "--clear-bitmap", "minor-0")

    def promote(self) -> None:
        self._host.run("drbdadm", "primary", self.inventory.name)

    def demote(self) -> None:
        self._host.run("drbdadm", "secondary", self.inventory.name)

    def guest_disk(self, half: Disk) -> Disk:
        """Return the replicated disk as a stretch of the first disk: what lies below LVM, RAID1 and partitions."""
        run = self._host.run
        start = run("cat", "/sys/block/sda/sda2/start")
        data = run("cat", "/sys/block/md1/md/dev-sda2/offset")
        name = f"{self.inventory.storage.volume_group}-{self.inventory.name}"
        _, _, kind, _, within = run("dmsetup", "table", name).split()
        assert kind == "linear"
        sectors = sum(int(part) for part in (start, data, within))
        return half._replace(offset=sectors * _SECTOR, size=int(run("blockdev", "--getsize64", DEVICE)))

    def fenced(self) -> list[str]:
        """Return whom DRBD has had fenced from here, in the order of it."""
        status, text = self._host.attempt("cat", _FENCED)
        return [] if status else text.split()

    def address(self) -> str:
        """Return this host's address on the backplane."""
        return str(self.inventory.host(self._host.name).backplane.address)
