"""What is asked before a plan is made. Every question only reads."""

from earmark.cluster.migration.actions import Command, Where
from earmark.cluster.migration.request import Request

PACKAGES = (
    "acpid", "dpkg", "e2fsprogs", "grub", "grub-legacy", "grub-pc", "grub-pc-bin", "initramfs-tools", "iputils-arping",
    "lvm2", "mdadm", "systemd-sysv",
)  # fmt: skip
"""Of the source, those that matter."""
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "dm-mod", "ext3", "ext4")
"""What a kernel needs to find its disk and network in the guest, beside what every kernel has."""
TOOLS = (
    "blkid", "blockdev", "chroot", "debootstrap", "drbdadm", "findmnt", "kpartx", "lvcreate", "mkfs.ext3", "mkfs.ext4",
    "mkswap", "mount", "ping", "pvcreate", "rsync", "sfdisk", "ssh", "udevadm", "umount", "vgchange", "vgcreate",
    "vgscan", "virsh",
)  # fmt: skip
"""Programs here; which of them are needed, the plan says."""


def probes(request: Request) -> dict[str, Command]:
    """Return the questions, by name."""
    if request.is_new:
        return _of_its_beginning(request) | _of_this_host(request)
    return _of_the_source(request) | _of_its_size(request) | _of_this_host(request)


def _asked(on: Where, *words: str) -> Command:
    """Return a command of which any end will do: what is missing says something too."""
    return Command(words, on, seconds=300, statuses=tuple(range(255)))


def _of_the_source(request: Request) -> dict[str, Command]:
    on: Where = "source" if request.by_ssh else "here"
    root = request.root
    named = [word for name in MODULES for word in ("-o", "-name", f"{name}.ko*")][1:]
    built_in = rf"/({'|'.join(MODULES)})\.ko$"
    show = "--showformat=${Package} ${Architecture} ${Version} ${Status}\\n"
    return {
        "answers": _asked(on, "ls", "-d", f"{root}/etc"),
        "release": _asked(on, "cat", f"{root}/etc/debian_version"),
        "packages": _asked(on, "dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", show, *PACKAGES),
        "merged": _asked(on, "readlink", f"{root}/lib"),
        "boot": _asked(on, "ls", f"{root}/boot"),
        "modules": _asked(on, "find", f"{root}/lib/modules/", *named),
        "builtin": _asked(on, "grep", "-r", "-E", "--include=modules.builtin", built_in, f"{root}/lib/modules/"),
        "fstab": _asked(on, "cat", f"{root}/etc/fstab"),
        "inittab": _asked(on, "ls", f"{root}/etc/inittab"),
        "interfaces": _asked(on, "cat", f"{root}/etc/network/interfaces"),
        "rules": _asked(on, "ls", f"{root}/etc/udev/rules.d"),
        "services": _asked(on, "ls", f"{root}/etc/init.d", f"{root}/lib/systemd/system", f"{root}/etc/systemd/system"),
        "log": _asked(on, "ls", f"{root}{request.source.log or '/etc'}"),
    }


def _of_its_beginning(request: Request) -> dict[str, Command]:
    asked = {"keys": _asked("here", "cat", request.source.authorized_keys)}
    if request.source.files:
        asked["files"] = _asked("here", "ls", f"{request.source.files}/etc")
    return asked


def _of_its_size(request: Request) -> dict[str, Command]:
    if not request.by_ssh:
        return {
            "used": _asked("here", "du", "-s", "-k", "-x", request.root),
            "inodes": _asked("here", "du", "-s", "-x", "--inodes", request.root),
        }
    return {
        "mounts": _asked("source", "cat", "/proc/mounts"),
        "used": _asked("source", "df", "-P", "-k"),
        "inodes": _asked("source", "df", "-P", "-i"),
        "rsync": _asked("source", "rsync", "--version"),
    }


def _of_this_host(request: Request) -> dict[str, Command]:
    asked = {
        "machine": _asked("here", "uname", "-m"),
        "ia32": _asked("here", "ls", "/proc/sys/abi/vsyscall32"),
        "tools": _asked("here", "which", *TOOLS),
        "device": _asked("here", "blockdev", "--getsize64", request.target.device),
    }
    if request.target.volume:
        group, _, _ = request.target.volume.partition("/")
        show = ("--noheadings", "--nosuffix", "--units", "b")
        asked["free"] = _asked("here", "vgs", *show, "--options", "vg_free", group)
        asked["volume"] = _asked("here", "lvs", *show, "--options", "lv_size", request.target.volume)
    if request.guest.domain:
        asked["domain"] = _asked("here", "cat", request.guest.domain)
    return asked
