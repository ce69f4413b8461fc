"""The steps that make the disk boot, and boot it."""

from collections.abc import Iterator
from functools import partial

from earmark.cluster.migration import edits_boot
from earmark.cluster.migration.actions import Action, Await, ByHand, Command, Edit, Look, Remove, Step, Undo
from earmark.cluster.migration.facts import Facts
from earmark.cluster.migration.layout import Layout
from earmark.cluster.migration.request import Request

_SWITCH = {
    "xen": "xl create (or xm create) in its dom0",
    "kvm": "virsh start on its host",
    "physical": "its power button, or its management board",
}
STAYS = (ByHand("goes with the partition"),)
BOOTS = ("linux-image-amd64", "grub-pc", "lvm2", "initramfs-tools", "udev")
"""What a Debian needs to boot from the guest's disk."""
GRUB_FOR_BIOS = ("--target=i386-pc",)


def _inside(disk: Layout, *words: str, seconds: float = 900, stdin: str = "") -> Command:
    surroundings = ("env", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
    return Command((*surroundings, "chroot", disk.mount, *words), seconds=seconds, stdin=stdin)


def skeleton_steps(request: Request, facts: Facts, disk: Layout) -> Iterator[Step]:
    """Yield what puts a Debian on the disk whose kernel and boot loader stay, and makes it boot while it is whole."""
    same = "--merged-usr" if facts.merged else "--no-merged-usr"
    about = "whose kernel, modules and boot loader stay; all else will be the source's"
    yield from debian_steps(request, disk, about, (f"--include={','.join(BOOTS)}", "--arch=amd64", same))
    yield from booting_steps(disk, GRUB_FOR_BIOS, STAYS)


def debian_steps(request: Request, disk: Layout, about: str, options: tuple[str, ...]) -> Iterator[Step]:
    """Yield what puts a Debian on the mounted disk. debootstrap does not go on where it was broken off: it begins anew.

    Its own directory tells: it is there from its first moment to its last, and never again.
    """
    root, suite = disk.mount, request.target.suite
    yield Step(
        "afresh",
        "nothing is left of a debootstrap that was broken off",
        (
            Command(("umount", f"{root}/proc", f"{root}/sys"), statuses=(0, 1, 32, 64)),
            Command(("find", root, "-xdev", "-mindepth", "1", "-delete"), seconds=1800),
        ),
        Look(Command(("test", "!", "-e", f"{root}/debootstrap"))),
        STAYS,
        ended_by="skeleton",
    )
    yield Step(
        "skeleton",
        f"a {suite} {about}",
        (Command(("debootstrap", *options, suite, root, request.target.mirror), seconds=3600),),
        undo=STAYS,
        advice=f"its own log: {root}/debootstrap/debootstrap.log",
    )


def loader_steps(request: Request, facts: Facts, disk: Layout) -> Iterator[Step]:
    """Yield what makes the source's own kernel boot, with its own programs."""
    knows_targets = facts.newer("grub-pc", (2,)) or facts.newer("grub-pc-bin", (2,))
    yield from booting_steps(disk, GRUB_FOR_BIOS if knows_targets else (), (), outage=request.by_ssh)


def booting_steps(
    disk: Layout, target: tuple[str, ...], undo: tuple[Undo, ...], *, outage: bool = False
) -> Iterator[Step]:
    """Yield what builds initramfs and boot loader with the guest's own programs."""
    root = disk.mount
    yield Step(
        "initramfs-modules",
        "what the kernel needs to find its disk",
        (
            Edit(root, "/etc/initramfs-tools/modules", edits_boot.initramfs_modules, create=True),
            Edit(root, "/etc/initramfs-tools/initramfs.conf", edits_boot.initramfs_most),
            Edit(root, "/etc/initramfs-tools/conf.d/resume", partial(edits_boot.resume, swap=disk.swap), create=True),
            Edit(root, "/etc/default/grub", edits_boot.default_grub, create=True),
        ),
        undo=undo,
        outage=outage,
    )
    points = [f"{root}/{name}" for name in ("dev", "proc", "sys", "run")]
    mounts: list[Action] = [Command(("mkdir", "-p", *points))]
    mounts += [Command(("mount", "--bind", point.removeprefix(root), point)) for point in points]
    unmount = Command(("umount", *reversed(points)), statuses=(0, 32, 64))
    yield Step(
        "enter",
        "this host's devices, as the programs on it need them",
        tuple(mounts),
        Look(Command(("findmnt", "--noheadings", "--mountpoint", f"{root}/run"))),
        (unmount,),
        ended_by="leave",
        outage=outage,
    )
    build = _inside(disk, "update-initramfs", "-u", "-k", "all")
    yield Step("initramfs", "with these modules", (build,), undo=undo, outage=outage)
    questions = "grub-pc grub-pc/install_devices multiselect /dev/vda\n"
    yield Step(
        "boot-loader",
        "on the disk's first blocks; later upgrades of it know the guest's name for the disk",
        (
            Edit(root, "/boot/grub/device.map", partial(edits_boot.device_map, device=disk.device), create=True),
            _inside(disk, "grub-install", *target, "--no-floppy", disk.device),
            _inside(disk, "update-grub"),
            Remove(root, "/boot/grub/device.map"),
            _inside(disk, "debconf-set-selections", stdin=questions),
        ),
        undo=undo,
        outage=outage,
        advice="by hand, after: chroot " + root,
    )
    yield Step(
        "leave",
        "nothing of this host is to be seen below it any more",
        (unmount,),
        Look(Command(("findmnt", "--noheadings", "--mountpoint", f"{root}/dev"), statuses=(1,))),
        outage=outage,
    )


def boot_steps(request: Request, disk: Layout) -> Iterator[Step]:
    """Yield what hands the disk to the guest, and lets it run."""
    guest, name = request.guest, request.name
    if request.takes_over:
        yield _switch_off(request)
    if not guest.domain and not guest.start:
        return
    if guest.domain:
        yield Step(
            "define",
            "libvirt knows the guest",
            (Command(("virsh", "define", guest.domain)),),
            undo=(Command(("virsh", "undefine", name)),),
            outage=request.by_ssh,
        )
    start = tuple(guest.start) or ("virsh", "start", name)
    state = Command(("virsh", "domstate", name))
    stopping: tuple[Undo, ...] = (Command(tuple(guest.stop) or ("virsh", "shutdown", name)),)
    if guest.domain:
        stopping += (
            Await(state._replace(words=("virsh", "domid", name), statuses=(1,)), 300, "the guest has not shut down"),
        )
    yield Step(
        "boot",
        "the guest",
        (Command(start),),
        Look(state, ("running",)) if guest.domain else None,
        stopping,
        ended_by="never",
        outage=request.by_ssh,
        advice=f"its console: virsh console {name}; the disk is {disk.device}",
    )
    if guest.at and not guest.at.startswith("/") and guest.address:
        yield _announce(request)


def _switch_off(request: Request) -> Step:
    by_hand = _SWITCH[request.source.kind]
    return Step(
        "switch-off",
        "the guest gets its address",
        (
            Command(("shutdown", "-h", "now"), "source", statuses=(0, 255)),
            Await(Command(("true",), "source", seconds=30, statuses=(255,)), 300, "the source still answers ssh"),
        ),
        undo=(Await(Command(("true",), "source", seconds=30), 1800, f"switch the source on: {by_hand}"),),
        outage=True,
    )


def _announce(request: Request) -> Step:
    address = str(request.guest.address)
    card = request.guest.interface or request.source.interface
    return Step(
        "announce",
        "neighbours learn at once where the address is now",
        (
            Await(Command(("true",), "guest", seconds=30), request.guest.boot, "ssh does not reach the guest"),
            Command(("arping", "-U", "-c", "3", "-I", card, address), "guest", statuses=(0, 1, 127)),
        ),
        outage=request.by_ssh,
        advice=f"arping -U -I {card} {address} in the guest",
    )
