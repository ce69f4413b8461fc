"""What does not fit together in an inventory: who there is, and what each has to carry."""

from collections import Counter
from collections.abc import Callable, Iterator

from earmark.cluster.files import Finding
from earmark.cluster.inventory import MOST_GUEST_DISK, Host, Inventory
from earmark.cluster.known import known

_TAKEN = frozenset({"all", "arbitrator", "cluster", "group", "guest", "here", "localhost", "ungrouped"})
"""Directories of rendered files, machines of the runbooks, and groups of Ansible."""

At = Callable[..., str]
"""The place of a setting, file:line:column, by the keys that lead to it."""

HOST_MEMORY = 1024
"""MiB that a host needs for itself: Debian, corosync, Pacemaker, libvirt, and QEMU beside what its guest sees."""
LEAST_GUEST_DISK = 5
"""GiB that a new guest needs: a Debian and its next versions, a tenth more, and a GiB of swap."""


def lint_machines(inventory: Inventory, at: At) -> Iterator[Finding]:
    """Find what is wrong with the machines and with what they carry."""
    yield from _service(inventory, at)
    yield from _names(inventory, at)
    yield from _guest_disk(inventory, at("guest", "disk"))
    for number, host in enumerate(inventory.hosts):
        yield from _memory(inventory, host, at("hosts", number, "memory"))
        yield from _disks(inventory, host, at("hosts", number, "disks"))
        for index, unit in enumerate(host.extra_services):
            yield from _unit(inventory, unit, at("hosts", number, "extra_services", index))


def _service(inventory: Inventory, at: At) -> Iterator[Finding]:
    if (inventory.guest is None) == (inventory.group is None):
        both = "both [guest] and [group]" if inventory.guest else "neither [guest] nor [group]"
        yield Finding(at("name"), "service-not-one", f"there is {both}: say what is to be kept running, once")
    if inventory.prefer and inventory.prefer not in {host.name for host in inventory.hosts}:
        yield Finding(at("prefer"), "prefer-unknown", f"{inventory.prefer} is no host: name one of them, or none")
    if inventory.arbitrator is None and "no_arbitrator" not in inventory.accept:
        yield Finding(
            at("name"),
            "no-arbitrator",
            "two hosts alone cannot tell a dead peer from a cut cable, and fence each other: add an [arbitrator], or "
            'say accept = ["no_arbitrator"]',
        )


def _names(inventory: Inventory, at: At) -> Iterator[Finding]:
    named = [(host.name, at("hosts", number, "name")) for number, host in enumerate(inventory.hosts)]
    if inventory.arbitrator:
        named.append((inventory.arbitrator.name, at("arbitrator", "name")))
    if inventory.guest:
        named.append((inventory.guest.name, at("guest", "name")))
    count = Counter(name for name, _ in named)
    seen: set[str] = set()
    for name, where in named:
        if count[name] > 1 and name in seen:
            yield Finding(where, "name-twice", f"another machine is called {name} too: each needs a name of its own")
        if name in _TAKEN:
            yield Finding(where, "name-taken", f"{name} means something else in files and runbooks: take another name")
        seen.add(name)
    if inventory.name == "all":
        yield Finding(at("name"), "name-taken", "to drbdadm, all means every resource: take another name")


def _memory(inventory: Inventory, host: Host, where: str) -> Iterator[Finding]:
    service = inventory.guest or inventory.group
    if service and service.memory + HOST_MEMORY > host.memory:
        yield Finding(
            where,
            "memory-too-small",
            f"{host.name} has {host.memory} MiB and could not hold the service alone: {service.memory} MiB, and "
            f"{HOST_MEMORY} MiB for itself",
        )


def _guest_disk(inventory: Inventory, where: str) -> Iterator[Finding]:
    disk = inventory.guest.disk if inventory.guest else LEAST_GUEST_DISK
    if disk > MOST_GUEST_DISK:
        reason = (
            f"{disk} GiB: a guest has a BIOS and an MS-DOS partition table, which ends at 2 TiB. Take "
            f"{MOST_GUEST_DISK} or less"
        )
        yield Finding(where, "guest-disk-too-large", reason)
    if disk < LEAST_GUEST_DISK:
        reason = (
            f"{disk} GiB do not hold a Debian, its swap and its next versions: a new guest would not be built. Take "
            f"{LEAST_GUEST_DISK} or more"
        )
        yield Finding(where, "guest-disk-too-small", reason, refuses=False)


def _disks(inventory: Inventory, host: Host, where: str) -> Iterator[Finding]:
    drives = Counter(_drive(disk) for disk in host.disks)
    if len(set(host.disks)) < len(host.disks):
        yield Finding(where, "disk-twice", "the same disk stands here twice: a mirror needs two")
    elif max(drives.values()) > 1:
        yield Finding(where, "disk-same-drive", "two partitions of one drive are lost together: use two drives")
    if len(host.disks) == 1:
        yield Finding(where, "disk-single", "one disk is no mirror: its loss takes the host", refuses=False)
    if inventory.storage.raid in host.disks:
        yield Finding(where, "disk-is-raid", f"{inventory.storage.raid} is what the disks become: name its members")


def _drive(device: str) -> str:
    """Return the drive that a partition is of: /dev/sda2 is of /dev/sda, /dev/nvme0n1p2 of /dev/nvme0n1."""
    stem = device.rstrip("0123456789")
    if stem == device or stem.startswith(("/dev/disk/", "/dev/mapper/")):
        return device
    if stem.endswith("p") and stem[-2:-1].isdigit():
        return stem[:-1]
    return device if stem.endswith(tuple("0123456789n")) else stem


def _unit(inventory: Inventory, unit: str, where: str) -> Iterator[Finding]:
    services = known()["services"]
    of_group = inventory.group.units if inventory.group else []
    if unit in services["cluster"] or unit in of_group:
        yield Finding(where, "service-of-cluster", f"{unit} is Pacemaker's to start: systemd must leave it alone")
    elif unit not in services["host"]:
        yield Finding(
            where,
            "service-beyond-list",
            f"a host needs no {unit}: what else it runs can fail, take memory or let somebody in. Run it in the guest, "
            "or elsewhere",
        )
