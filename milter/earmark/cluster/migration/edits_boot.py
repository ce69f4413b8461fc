"""What changes in the copied files about booting: text in, text out, and the same when done twice."""

import re

from earmark.cluster.migration.edits import lines_of

_OLD_CONSOLE = re.compile(r"\b(?:console|xencons)=[^\s\"']+\s*")
_CONSOLES = "console=tty0 console=ttyS0,115200"
_SETTING = re.compile(r"\s*(GRUB_[A-Z_]+)=(.*)")


def default_grub(text: str) -> str:
    """Return /etc/default/grub with menu and kernel on the first serial line, and no menu entries of this host."""
    wanted = {
        "GRUB_TERMINAL": '"console serial"',
        "GRUB_SERIAL_COMMAND": '"serial --unit=0 --speed=115200"',
        "GRUB_DISABLE_OS_PROBER": "true",
        "GRUB_CMDLINE_LINUX": f'"{_CONSOLES}"',
    }
    lines = []
    for line in lines_of(text):
        found = _SETTING.fullmatch(line)
        if found and found[1] == "GRUB_CMDLINE_LINUX":
            wanted[found[1]] = _with_consoles(found[2])
        if found and found[1] in wanted:
            continue
        if found and found[1] == "GRUB_CMDLINE_LINUX_DEFAULT":
            lines.append(f"{found[1]}={_OLD_CONSOLE.sub('', found[2]).replace(' ' + chr(34), chr(34))}")
            continue
        lines.append(line)
    return "".join(f"{line}\n" for line in [*lines, *(f"{name}={value}" for name, value in wanted.items())])


def _with_consoles(written: str) -> str:
    others = _OLD_CONSOLE.sub("", written.strip().strip("\"'")).strip()
    return f'"{others} {_CONSOLES}"' if others else f'"{_CONSOLES}"'


def initramfs_modules(text: str) -> str:
    """Return the list of modules that every initramfs has, with those of the guest's disk and network."""
    lines = lines_of(text)
    lines += [name for name in ("virtio_pci", "virtio_blk", "virtio_net") if name not in lines]
    return "".join(f"{line}\n" for line in lines)


def initramfs_most(text: str) -> str:
    """Return initramfs.conf with MODULES=most: "dep" would look at this host's disks."""
    return re.sub(r"^MODULES=(?!most$).*$", "MODULES=most", text, flags=re.MULTILINE)


def resume(_: str, *, swap: str) -> str:
    """Return where to resume from: the old machine's swap would be waited for at each boot."""
    return f"RESUME={swap}\n"


def device_map(_: str, *, device: str) -> str:
    """Return GRUB's map while it is installed from here: the guest's first disk is this device."""
    return f"(hd0) {device}\n"
