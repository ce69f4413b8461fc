"""What stands against a migration, before anything is touched: facts in, findings out."""

from collections.abc import Iterator

from earmark.cluster.files import Finding
from earmark.cluster.migration.actions import Command, Plan
from earmark.cluster.migration.facts import Facts, Kernel
from earmark.cluster.migration.probes import TOOLS
from earmark.cluster.migration.request import Request
from earmark.cluster.migration.steps_copy import can_be_held

_MEBIBYTE = 1 << 20
_GIBIBYTE = 1 << 30
_INODE_RATIO = 16_384
"""Bytes of an ext4 file system for each inode, as mke2fs divides it."""


def preflight(request: Request, facts: Facts, plan: Plan) -> list[Finding]:
    """Return all that is wrong or doubtful. What `refuses` must be mended before the first step."""
    if not facts.reached:
        return [Finding("source", "source-unreachable", f"{request.source.at}: {facts.why_not or 'no answer'}")]
    moved = (_architecture, _kernel, _boot_loader, _room, _services, _files, _guest, _packages)
    checks = (_beginning, _room, _guest) if request.is_new else moved
    return [
        *_here(facts),
        *(finding for check in checks for finding in check(request, facts)),
        *_tools(facts, plan),
    ]


def boots(kernel: Kernel) -> bool:
    """Whether a kernel finds its disk and network in the guest."""
    return not kernel.is_xen and not missing(kernel)


def missing(kernel: Kernel) -> list[str]:
    """Return the modules that a kernel would need and has not."""
    needed = {"virtio_pci", "virtio_blk", "virtio_net", "dm-mod"} - kernel.modules
    if not kernel.modules & {"ext3", "ext4"}:
        needed.add("ext4")
    return sorted(needed)


def _here(facts: Facts) -> Iterator[Finding]:
    if facts.machine != "x86_64":
        yield Finding("here", "architecture-here", f"this host is {facts.machine or 'unknown'}, not x86_64")


def _beginning(request: Request, facts: Facts) -> Iterator[Finding]:
    source = request.source
    if not facts.keys:
        yield Finding("here", "no-key", f"{source.authorized_keys} has no public key: nobody could log in")
    if source.files and not facts.files:
        yield Finding("here", "no-files", f"{source.files}/etc is not there: earmark cluster render writes it")


def _architecture(request: Request, facts: Facts) -> Iterator[Finding]:
    match facts.architecture:
        case "amd64":
            pass
        case "i386":
            if not facts.ia32:
                yield Finding(
                    "here",
                    "no-32-bit-here",
                    "the source's programs are 32-bit, and this host's kernel runs none (ia32_emulation=0, or built "
                    "without): they build the initramfs and the boot loader here",
                )
            yield Finding(
                "source",
                "userland-32-bit",
                "32-bit programs run in the guest as before; more than 3 GiB of memory needs a -pae or -amd64 kernel",
                refuses=False,
            )
        case "" if request.target.kernel == "source":
            yield Finding("source", "no-dpkg", "dpkg says nothing of its packages: Debian 4 or newer is understood")
        case "":
            yield Finding("source", "no-dpkg", "dpkg says nothing of its packages", refuses=False)
        case other:
            yield Finding("source", "architecture", f"{other} cannot run in a guest here")


def _kernel(request: Request, facts: Facts) -> Iterator[Finding]:
    if request.target.kernel == "outside" and "<kernel>" not in facts.domain and request.guest.domain:
        yield Finding("guest", "no-kernel-outside", f"{request.guest.domain} names no <kernel>, and the disk has none")
    if request.target.kernel != "source":
        return
    if not any(map(boots, facts.kernels)):
        seen = "; ".join(
            f"{kernel.release}: " + ("runs under Xen alone" if kernel.is_xen else "lacks " + " ".join(missing(kernel)))
            for kernel in facts.kernels
        )
        image = {"i386": "linux-image-686-pae"}.get(facts.architecture, "linux-image-amd64")
        yield Finding(
            "source",
            "no-kernel",
            f"no kernel in /boot would find its disk in the guest ({seen or 'there is none'}); before the move: "
            f'apt-get install {image} there, or [target] kernel = "debootstrap"',
        )
    elif not boots(facts.kernels[0]):
        yield Finding(
            "source",
            "newest-kernel",
            f"{facts.kernels[0].release} would be booted, being the newest, and cannot be: remove its package there",
        )
    for package in ("lvm2", "initramfs-tools"):
        if package not in facts.packages:
            yield Finding(
                "source", f"no-{package}", f"its initramfs must find a root on LVM: apt-get install {package} there"
            )


def _boot_loader(request: Request, facts: Facts) -> Iterator[Finding]:
    if request.target.kernel != "source":
        if "lvm2" not in facts.packages:
            yield Finding(
                "source", "no-lvm2", "without lvm2 the guest has no swap: apt-get install lvm2", refuses=False
            )
        return
    if not {"grub-pc", "grub-pc-bin"} & facts.packages.keys():
        has = "GRUB legacy cannot read LVM" if {"grub", "grub-legacy"} & facts.packages.keys() else "there is none"
        yield Finding(
            "source",
            "no-grub",
            f"a boot loader for a BIOS and LVM is needed, and {has}: apt-get install grub-pc there (grub-pc-bin beside "
            'grub-efi), or [target] kernel = "debootstrap"',
        )


def _room(request: Request, facts: Facts) -> Iterator[Finding]:
    size = request.target.size * _GIBIBYTE
    present = facts.volume if request.target.volume else facts.device
    if present is None and not request.target.volume and not request.target.resource:
        yield Finding("here", "no-device", f"{request.target.device} is not there")
    if present is None and request.target.volume:
        if facts.free is None:
            yield Finding("here", "no-volume-group", f"there is no {request.target.volume.partition('/')[0]}")
        elif facts.free < size:
            yield Finding("here", "volume-group-full", f"{_gib(facts.free)} are free, {_gib(size)} are asked for")
    disk = size if present is None else present
    needed = facts.used + facts.used // 10 + request.target.swap * _MEBIBYTE + 64 * _MEBIBYTE
    if not facts.used:
        yield Finding("source", "size-unknown", "it cannot be told how much there is to copy")
    elif disk < needed:
        yield Finding(
            "here",
            "disk-too-small",
            f"{_gib(facts.used)}, a tenth more and swap need {_gib(needed)}; it has {_gib(disk)}",
        )
    if facts.inodes * _INODE_RATIO > disk:
        yield Finding(
            "here",
            "too-many-files",
            f"{facts.inodes} files and directories; the new file system holds {disk // _INODE_RATIO}",
        )


def _gib(number: int) -> str:
    return f"{number / _GIBIBYTE:.1f} GiB"


def _services(request: Request, facts: Facts) -> Iterator[Finding]:
    if not request.by_ssh:
        return
    mta = "exim4" if request.source.mta == "exim" else "postfix"
    for name in (mta, *request.source.services):
        if name not in facts.services:
            yield Finding("source", "no-service", f"there is no service {name} to stop")
    if not facts.rsync:
        yield Finding("source", "no-rsync", "apt-get install rsync there")
    elif facts.rsync < (3,):
        yield Finding("source", "old-rsync", "rsync before 3.0 copies no ACLs and no attributes", refuses=False)
    if not can_be_held(facts):
        yield Finding(
            "source", "not-held", "before Debian 6: started again, it takes mail beside the guest", refuses=False
        )
    if request.source.address is None:
        yield Finding(
            "source", "address-unknown", "[source] address is not set: two machines may have the guest's", refuses=False
        )


def _files(request: Request, facts: Facts) -> Iterator[Finding]:
    if not any(line.split()[1:2] == ["/"] for line in facts.fstab.splitlines() if not line.startswith("#")):
        yield Finding("source", "no-root-in-fstab", "/etc/fstab has no line for /", refuses=False)
    if request.source.log and not facts.log:
        yield Finding(
            "source",
            "no-log",
            f"there is no {request.source.log}: whether it goes on unbroken is not checked",
            refuses=False,
        )
    if facts.interfaces and request.source.interface not in facts.interfaces.split():
        yield Finding(
            "source",
            "interface-unknown",
            f"/etc/network/interfaces says nothing of {request.source.interface}: no network in the guest?",
            refuses=False,
        )
    if request.source.kind == "physical" and "mdadm" in facts.packages:
        yield Finding(
            "source", "mdadm", "the guest will miss its old arrays: empty /etc/mdadm/mdadm.conf", refuses=False
        )
    for path in facts.left_out:
        yield Finding("source", "left-out", f"{path} is not on one of its disks, and is not copied", refuses=False)


def _guest(request: Request, facts: Facts) -> Iterator[Finding]:
    if request.guest.mac.startswith("00:16:3e"):
        yield Finding("guest", "xen-mac", "00:16:3e is Xen's", refuses=False)
    if request.guest.domain:
        if not facts.domain:
            yield Finding("guest", "no-domain", f"{request.guest.domain} cannot be read")
        elif request.guest.mac not in facts.domain.lower():
            yield Finding("guest", "other-mac", f"{request.guest.domain} does not have {request.guest.mac}")
        elif request.target.device not in facts.domain:
            yield Finding("guest", "other-disk", f"{request.guest.domain} does not have {request.target.device}")


def _packages(request: Request, facts: Facts) -> Iterator[Finding]:
    if not facts.systemd and "acpid" not in facts.packages:
        yield Finding(
            "source",
            "no-acpid",
            "without acpid it does not hear a shutdown request: each stop would last until the host is fenced",
            refuses=False,
        )
    if request.guest.at and "iputils-arping" not in facts.packages:
        yield Finding("source", "no-arping", "without iputils-arping neighbours learn late where it is", refuses=False)


def _tools(facts: Facts, plan: Plan) -> Iterator[Finding]:

    called = {action.words[0] for step in plan for action in step.actions if isinstance(action, Command)}
    for name in sorted(called & set(TOOLS) - facts.tools):
        yield Finding("here", "no-tool", f"{name} is not installed here")
