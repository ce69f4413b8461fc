"""What changes in the copied files about disks, console and network: text in, text out; twice is as once."""

import re

_MARK = "# before the move: "
"""Stands before a line that is switched off."""
_XEN_CONSOLES = re.compile(r"\b(?:hvc0|xvc0)\b")
_MADE_ON = re.compile(r"/dev/|UUID=|LABEL=|PARTUUID=|PARTLABEL=")
_ADDRESS = re.compile(r'(ATTRS?\{address\}==")[^"]*(")')


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, which end at LF and nowhere else."""
    return text.removesuffix("\n").split("\n") if text else []


def fstab(text: str, *, root: str, swap: str, kind: str) -> str:
    """Return a file system table whose root and swap are these, and which names no other disk of the old machine.

    What lay on several file systems lies on one now. Lines with `noauto`, and what is on no disk, stay as they are.
    """
    lines: list[str] = []
    for line in lines_of(text):
        new = _mounted(line, root, swap, kind)
        again = new.startswith(f"{swap} ") and any(other.startswith(f"{swap} ") for other in lines)
        lines.append(_MARK + line if again else new)
    if not any(line.startswith(f"{root} ") for line in lines):
        lines.insert(0, f"{root} / {kind} errors=remount-ro 0 1")
    if not any(line.startswith(f"{swap} ") for line in lines):
        lines.append(f"{swap} none swap sw 0 0")
    return "".join(f"{line}\n" for line in lines)


def _mounted(line: str, root: str, swap: str, kind: str) -> str:
    fields = line.split()
    if len(fields) < 4 or fields[0].startswith("#"):
        return line
    device, point, of, options, *_ = fields
    if point == "/":
        kept = options if of.startswith("ext") else "errors=remount-ro"
        return f"{root} / {kind} {kept} 0 1"
    if of == "swap":
        return f"{swap} none swap {options} 0 0"
    if "noauto" in options.split(",") or "bind" in options.split(","):
        return line
    return _MARK + line if _MADE_ON.match(device) else line


def inittab(text: str) -> str:
    """Return an inittab with a login on the first serial line, and none on Xen's consoles."""
    lines = [
        _MARK + line if not line.startswith("#") and _XEN_CONSOLES.search(line) else line for line in lines_of(text)
    ]
    if not any("ttyS0" in line and not line.startswith("#") for line in lines):
        lines.append("T0:2345:respawn:/sbin/getty -L ttyS0 115200 vt100")
    return "".join(f"{line}\n" for line in lines)


def securetty(text: str) -> str:
    """Return the list of lines on which root may log in, with the first serial line."""
    return text if "ttyS0" in text.split() else f"{text.rstrip(chr(10))}\nttyS0\n".lstrip("\n")


def net_rules(text: str, *, interface: str, old: str, mac: str) -> str:
    """Return udev's rules for the names of network cards, in the words of their release: `mac` is `interface`.

    `old` is what the source called that card. Rules for other cards are switched off: the guest has one.
    """
    lines = [_named(line, interface, old, mac) for line in lines_of(text)]
    if not any(mac in line and not line.startswith("#") for line in lines):
        lines.append(f'SUBSYSTEM=="net", ACTION=="add", ATTR{{address}}=="{mac}", NAME="{interface}"')
    return "".join(f"{line}\n" for line in lines)


def _named(line: str, interface: str, old: str, mac: str) -> str:
    name = re.search(r'\bNAME="([^"]*)"', line)
    if line.startswith("#") or not name or not _ADDRESS.search(line) or mac in line:
        return line
    if name[1] != old:
        return _MARK + line
    return _ADDRESS.sub(rf"\g<1>{mac}\g<2>", line).replace(f'NAME="{old}"', f'NAME="{interface}"')


def net_link(_: str, *, interface: str, mac: str) -> str:
    """Return the file for systemd's udev that names the guest's card."""
    return f"[Match]\nMACAddress={mac}\n\n[Link]\nName={interface}\n"


def interfaces(text: str, *, interface: str, old: str) -> str:
    """Return ifupdown's configuration: the card has its new name, and nobody sets the old one's address."""
    word = re.compile(rf"(?<![\w.-]){re.escape(old)}(?![\w-])")
    lines = [
        _MARK + line.lstrip() if line.split()[:1] == ["hwaddress"] else word.sub(interface, line)
        for line in lines_of(text)
    ]
    return "".join(f"{line}\n" for line in lines)


def announcing(_: str) -> str:
    """Return settings by which the kernel tells its neighbours where it is when its card comes up (arp_notify)."""
    return "net.ipv4.conf.all.arp_notify = 1\nnet.ipv4.conf.default.arp_notify = 1\n"
