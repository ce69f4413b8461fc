"""Two hosts of the lab with a volume that is replicated, as the rendered files say."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from cluster_lab.machines.host import Host
from cluster_lab.machines.lab import Lab
from cluster_lab.machines.qemu import Disk
from cluster_lab.machines.storage import IN_STEP, Storage, host_files

_DISK = 160
_VOLUME = 100
"""MiB: room for the volume, and for what a runbook makes beside it."""


def disks_of_both(lab: Lab, mebibytes: int = _DISK) -> dict[str, list[Disk]]:
    """Return two new disks for each host."""
    return {name: [lab.disk(f"{name}-{disk}", mebibytes) for disk in ("sda", "sdb")] for name in ("hosta", "hostb")}


def replicated(lab: Lab, disks: Mapping[str, Sequence[Disk]]) -> tuple[Host, Host]:
    """Boot both hosts on new disks and return them with the volume in step, and the first one its primary."""
    first, second = (lab.host(name, halves, host_files(name)) for name, halves in disks.items())
    with ThreadPoolExecutor(2) as executor:
        here, _ = executor.map(_volume, (first, second))
    here.wait_connected("Inconsistent/Inconsistent")
    here.skip_first_copy()
    here.promote()
    here.wait_connected(IN_STEP)
    return first, second


def _volume(host: Host) -> Storage:
    host.wait_ready()
    storage = Storage(host)
    storage.make_mirror()
    storage.make_volume(_VOLUME)
    storage.raise_backplane()
    storage.connect()
    return storage
