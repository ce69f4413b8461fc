"""What the answers to the probes mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from earmark.cluster.migration.request import Request

DISK_TYPES = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "reiserfs", "xfs"})
"""File systems on disks of the source: they move. All others that are mounted are left out."""

NEW_GUEST = 3 << 30
"""Bytes: room for a Debian with a kernel, the programs of a mail server and their next versions."""

Version = tuple[int, ...]


_KEY = re.compile(r"^[^#\n]*\b[a-z0-9@.-]{4,60} AAAA", re.MULTILINE)
"""A line of sshd's authorized_keys: options, kind and, in base64, a key, which begins with the length of its kind."""


class Answer(NamedTuple):
    """How a probe ended, and what it printed. 255 is ssh's own failure."""

    status: int
    output: str
    errors: str = ""
    """What it printed on standard error."""


class Kernel(NamedTuple):
    """A kernel of the source that has its modules."""

    release: str
    modules: frozenset[str]
    """Of those that matter, what it has, in files or built in."""

    @property
    def is_xen(self) -> bool:
        """Whether it runs under Xen alone."""
        return "xen" in self.release

    @property
    def version(self) -> Version:
        """Return its numbers."""
        return version(self.release)


class Package(NamedTuple):
    """An installed package of the source."""

    architecture: str
    version: Version


@dataclass(frozen=True, slots=True)
class Facts:
    """The source and this host, as far as the plan depends on them."""

    reached: bool
    why_not: str
    release: str
    packages: Mapping[str, Package]
    kernels: tuple[Kernel, ...]
    """The newest first, as boot loaders choose."""
    merged: bool
    """Whether /lib is a link to usr/lib."""
    fstab: str
    inittab: bool
    interfaces: str
    rules: tuple[str, ...]
    services: frozenset[str]
    log: bool
    left_out: tuple[str, ...]
    """Mount points of what is not on a disk of the source, below / and outside of what is never copied."""
    used: int
    """Bytes."""
    inodes: int
    rsync: Version
    """The source's; () where it has none."""
    machine: str
    ia32: bool
    """Whether this host runs 32-bit programs."""
    tools: frozenset[str]
    device: int | None
    """Bytes; None where it is not there yet."""
    volume: int | None
    """Bytes of the logical volume; None where it is not there yet."""
    free: int | None
    """Bytes that the volume group has left; None where there is no such group."""
    domain: str
    """The text of the libvirt domain."""
    keys: bool = False
    """Of a new guest: whether there is a public key to log in with."""
    files: bool = False
    """Of a new guest: whether what is laid over its root is there."""

    @property
    def systemd(self) -> bool:
        """Whether the source's init is systemd."""
        return "systemd-sysv" in self.packages

    @property
    def architecture(self) -> str:
        """The source's userland, in Debian's word; "" where dpkg does not say."""
        return self.packages["dpkg"].architecture if "dpkg" in self.packages else ""

    def newer(self, package: str, than: Version) -> bool:
        """Whether a package of the source is installed in this version or a newer one."""
        return package in self.packages and self.packages[package].version >= than


def version(text: str) -> Version:
    """Return the numbers that a version begins with, without the epoch: 1:2.06-13 is (2, 6)."""
    numbers = re.match(r"(?:[0-9]{1,5}:)?([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})", text)
    return tuple(map(int, numbers[1].split("."))) if numbers else ()


def read_facts(request: Request, answers: Mapping[str, Answer]) -> Facts:
    """Return what the answers say. What was not answered counts as not there."""

    def text(name: str) -> str:
        answer = answers.get(name, Answer(1, ""))
        return answer.output if answer.status == 0 else ""

    def some(name: str) -> str:
        return answers[name].output if name in answers else ""

    mounts = _mounts(text("mounts"))
    first = answers.get("answers", Answer(0 if request.is_new else 1, "", "not asked"))
    return Facts(
        reached=first.status == 0,
        why_not="" if first.status == 0 else first.errors.strip(),
        release=text("release").strip(),
        packages=_packages(some("packages")),
        kernels=_kernels(text("boot"), some("modules"), some("builtin")),
        merged=bool(text("merged")),
        fstab=text("fstab"),
        inittab=bool(text("inittab")),
        interfaces=text("interfaces"),
        rules=tuple(text("rules").split()),
        services=frozenset(word.removesuffix(".service") for word in some("services").split()),
        log=bool(text("log")),
        left_out=_left_out(mounts),
        used=NEW_GUEST if request.is_new else _sum(text("used"), mounts, request.by_ssh) * 1024,
        inodes=_sum(text("inodes"), mounts, request.by_ssh),
        rsync=_rsync(text("rsync")) if request.by_ssh else (3, 1),
        machine=text("machine").strip(),
        ia32=bool(text("ia32")),
        tools=frozenset(line.rpartition("/")[2] for line in some("tools").split()),
        device=_number(text("device")),
        volume=_number(text("volume")),
        free=_number(text("free")),
        domain=text("domain"),
        keys=bool(_KEY.search(text("keys"))),
        files=bool(text("files")),
    )


def _number(text: str) -> int | None:
    word = text.strip()
    return int(word) if re.fullmatch(r"[0-9]{1,18}", word, re.ASCII) else None


def _packages(text: str) -> dict[str, Package]:
    lines = (line.split() for line in text.splitlines())
    return {
        words[0]: Package(words[1], version(words[2]))
        for words in lines
        if len(words) == 6 and words[3:] == ["install", "ok", "installed"]
    }


def _kernels(boot: str, modules: str, builtin: str) -> tuple[Kernel, ...]:
    present: dict[str, set[str]] = {}
    for release, name in re.findall(r"/lib/modules/+([^/\s]+)/\S*?([^/\s]+)\.ko", f"{modules}\n{builtin}"):
        present.setdefault(release, set()).add(name)
    images = [word.removeprefix("vmlinuz-") for word in boot.split() if word.startswith("vmlinuz-")]
    found = [Kernel(release, frozenset(present.get(release, ()))) for release in images]
    return tuple(sorted(found, key=lambda kernel: (kernel.version, kernel.release), reverse=True))


def _mounts(text: str) -> dict[str, str]:
    """Return the type at each mount point; what was mounted last there counts."""
    lines = (line.split() for line in text.splitlines())
    return {_unescaped(words[1]): words[2] for words in lines if len(words) >= 3}


def _unescaped(path: str) -> str:
    """Return a path of /proc/mounts, which writes blanks in octal."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), path)


def _left_out(mounts: Mapping[str, str]) -> tuple[str, ...]:
    never = ("/proc", "/sys", "/dev", "/run")
    return tuple(
        sorted(
            path
            for path, kind in mounts.items()
            if path != "/" and kind not in DISK_TYPES and not any(f"{path}/".startswith(f"{top}/") for top in never)
        )
    )


def _sum(text: str, mounts: Mapping[str, str], by_ssh: bool) -> int:  # noqa: FBT001 - what the text is
    """Return the sum of what `df -P` says is used on disks, each device once; or what `du -s` says."""
    if not by_ssh:
        return _number((text.split() or [""])[0]) or 0
    lines = (line.split(None, 5) for line in text.splitlines()[1:])
    used = {words[0]: words[2] for words in lines if len(words) == 6 and mounts.get(words[5]) in DISK_TYPES}
    return sum(_number(number) or 0 for number in used.values())


def _rsync(text: str) -> Version:
    found = re.search(r"\bversion v?([0-9.]{1,20})", text)
    return version(found[1]) if found else ()
