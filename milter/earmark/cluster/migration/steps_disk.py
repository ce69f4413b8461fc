"""The steps that make the guest's disk: volume, resource, partition, volume group, file systems, mount."""

from collections.abc import Iterator

from earmark.cluster.migration.actions import ByHand, Command, Demand, Look, Step
from earmark.cluster.migration.facts import Facts
from earmark.cluster.migration.layout import Layout
from earmark.cluster.migration.request import Request

_STRANGE = "something is on it that this migration did not put there. If it may go: wipefs --all"


def disk_steps(request: Request, facts: Facts, disk: Layout) -> Iterator[Step]:
    """Yield them."""
    if request.target.volume:
        yield _volume(request)
    if request.target.resource:
        yield from _resource(request)
    if request.target.kernel != "installed":
        yield _partition(disk)
    yield _map(disk)
    if request.target.kernel != "installed":
        yield from _volume_group(request, disk)
    yield _activate(disk)
    if request.target.kernel != "installed":
        yield from _file_systems(facts, disk)
    yield _mount(disk)


def _volume(request: Request) -> Step:
    group, _, name = request.target.volume.partition("/")
    size = f"{request.target.size}g"
    return Step(
        "volume",
        "the volume below the guest's disk",
        (Command(("lvcreate", "--yes", "--wipesignatures", "y", "--size", size, "--name", name, group)),),
        Look(Command(("lvs", "--noheadings", "--options", "lv_name", request.target.volume)), (name,)),
        (ByHand(f"lvremove {request.target.volume}"),),
    )


def _resource(request: Request) -> Iterator[Step]:
    name = request.target.resource
    if request.target.volume:
        yield Step(
            "metadata",
            "DRBD's own blocks on it; where it asks whether to overwrite, it gets no answer, and stops",
            (Command(("drbdadm", "create-md", name)),),
            Look(Command(("drbdadm", "show-gi", name))),
            (ByHand(f"drbdadm wipe-md {name}"),),
            advice=f"if what it found on the volume may go: drbdadm create-md --force {name}",
        )
    yield Step(
        "resource",
        "the replicated disk is up",
        (Command(("drbdadm", "up", name)),),
        Look(Command(("drbdadm", "role", name)), ("Primary", "Secondary")),
        (ByHand(f"drbdadm down {name}"),),
        ended_by="never",
    )
    if request.target.volume:
        yield Step(
            "first-data",
            "the empty disk here is the one that counts; the other host's becomes its copy",
            (Command(("drbdadm", "primary", "--force", name)),),
            Look(Command(("drbdadm", "dstate", name)), ("UpToDate",)),
            (ByHand("goes with the metadata"),),
        )
    yield Step(
        "primary",
        "it is written here",
        (Command(("drbdadm", "primary", name)),),
        Look(Command(("drbdadm", "role", name)), ("Primary",)),
        (Command(("drbdadm", "secondary", name)),),
        ended_by="never",
        advice="the other host may have it: drbdadm role there",
    )


def _partition(disk: Layout) -> Step:
    table = f"label: dos\nlabel-id: {disk.label}\n\nstart=2048, type=8e, bootable\n"
    blank = Command(("blkid", "--probe", disk.device), statuses=(2,))
    return Step(
        "partition",
        "one partition for LVM, behind the first mebibyte, which the boot loader needs",
        (Demand(blank, f"{disk.device}: {_STRANGE}"), Command(("sfdisk", "--quiet", disk.device), stdin=table)),
        Look(Command(("sfdisk", "--dump", disk.device)), (f"label-id: {disk.label}",)),
        (ByHand(f"wipefs --all {disk.device}"),),
    )


def _map(disk: Layout) -> Step:
    return Step(
        "map",
        "the partition as a device here",
        (Command(("kpartx", "-a", "-s", "-p", "p", disk.device)), Command(("udevadm", "settle"))),
        Look(Command(("test", "-b", disk.partition))),
        (Command(("kpartx", "-d", "-p", "p", disk.device)),),
        ended_by="unmap",
    )


def _volume_group(request: Request, disk: Layout) -> Iterator[Step]:
    within, group = disk.opened, disk.group
    yield Step(
        "physical-volume",
        "the host's LVM filter is opened for this partition alone, in each command by itself",
        (Command(("pvcreate", "--quiet", *within, disk.partition)),),
        Look(Command(("pvs", "--noheadings", "--options", "pv_name", *within, disk.partition)), (disk.partition,)),
        (ByHand("goes with the partition"),),
    )
    yield Step(
        "volume-group",
        "the guest's own volume group",
        (
            Demand(
                Command(("vgs", "--noheadings", "--options", "vg_name", group), statuses=(5,)),
                f"this host has a volume group {group} itself: name the guest's otherwise",
            ),
            Command(("vgcreate", "--quiet", *within, group, disk.partition)),
        ),
        Look(Command(("vgs", "--noheadings", "--options", "vg_name", *within, group)), (group,)),
        (ByHand("goes with the partition"),),
    )
    swap = ("--size", f"{request.target.swap}m")
    for name, size in (("swap", swap), ("root", ("--extents", "100%FREE"))):
        options = ("--quiet", "--yes", *within, *size, "--name", name)
        yield Step(
            f"{name}-volume",
            f"its {name}",
            (Command(("lvcreate", *options, group)),),
            Look(Command(("lvs", "--noheadings", "--options", "lv_name", *within, f"{group}/{name}")), (name,)),
            (ByHand("goes with the partition"),),
        )


def _activate(disk: Layout) -> Step:
    return Step(
        "activate",
        "its volumes as devices here",
        (
            Command(("vgscan", "--quiet", "--mknodes", *disk.opened)),
            Command(("vgchange", "--quiet", *disk.opened, "--activate", "y", disk.group)),
            Command(("udevadm", "settle")),
        ),
        Look(Command(("test", "-b", disk.root))),
        (Command(("vgchange", "--quiet", *disk.opened, "--activate", "n", disk.group)),),
        ended_by="deactivate",
    )


def file_system(facts: Facts, *, own_kernel: bool) -> tuple[str, tuple[str, ...]]:
    """Return the kind of file system that the guest's kernel and its e2fsck both understand, and how to make it so."""
    newest = facts.kernels[0].version if facts.kernels else ()
    if own_kernel and newest and newest < (2, 6, 28):
        return "ext3", ()
    if "e2fsprogs" in facts.packages and not facts.newer("e2fsprogs", (1, 43)):
        return "ext4", ("-O", "^64bit,^metadata_csum,^metadata_csum_seed,^orphan_file")
    return "ext4", ("-O", "^metadata_csum_seed,^orphan_file")


def _file_systems(facts: Facts, disk: Layout) -> Iterator[Step]:
    kind, features = file_system(facts, own_kernel=True)
    options = (*features, "-q", "-U", disk.root_uuid, "-L", "root")
    for name, device, identity, make in (
        ("root", disk.root, disk.root_uuid, (f"mkfs.{kind}", *options, disk.root)),
        ("swap", disk.swap, disk.swap_uuid, ("mkswap", "--uuid", disk.swap_uuid, disk.swap)),
    ):
        yield Step(
            f"{name}-file-system" if name == "root" else "swap-space",
            f"on {device}",
            (
                Demand(Command(("blkid", "--probe", device), statuses=(2,)), f"{device}: {_STRANGE}"),
                Command(make, seconds=1800),
            ),
            Look(Command(("blkid", "--probe", "--match-tag", "UUID", "--output", "value", device)), (identity,)),
            (ByHand("goes with the partition"),),
        )


def _mount(disk: Layout) -> Step:
    return Step(
        "mount",
        "the guest's root, here",
        (Command(("mkdir", "-p", disk.mount)), Command(("mount", disk.root, disk.mount))),
        Look(Command(("findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", disk.mount)), (disk.root,)),
        (Command(("umount", "--recursive", disk.mount)),),
        ended_by="unmount",
    )
