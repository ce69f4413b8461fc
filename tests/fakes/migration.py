"""A migration's world as literals: what a source answers, and two machines whose commands do what theirs would."""

from collections.abc import Callable, Mapping
from pathlib import Path

from earmark.cluster.migration.actions import Command, Edit, Link, Remove
from earmark.cluster.migration.facts import Answer, Facts, read_facts
from earmark.cluster.migration.journal import Event, State, state_of
from earmark.cluster.migration.request import Request, read_request

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "cluster" / "migration.example.toml"
GIB = 1 << 30


def example(**changes: str) -> Request:
    """Return the example's migration; each change is a line of it, by the name that it begins with."""
    lines = EXAMPLE.read_text().splitlines()
    for name, line in changes.items():
        place = next(number for number, old in enumerate(lines) if old.startswith(f"{name} ="))
        lines[place] = line
    return read_request("migration.toml", "\n".join(lines).encode())


def _modules(release: str, *names: str) -> str:
    return "".join(f"/lib/modules/{release}/kernel/drivers/{name}.ko\n" for name in names)


VIRTIO = ("virtio_pci", "virtio_blk", "virtio_net", "dm-mod", "ext4")
WHEEZY: Mapping[str, str] = {
    "answers": "/etc\n",
    "release": "7.11\n",
    "packages": "".join(
        f"{name} i386 {version} install ok installed\n"
        for name, version in (
            ("acpid", "1:2.0.16-1"),
            ("dpkg", "1.16.18"),
            ("e2fsprogs", "1.42.5-1.1"),
            ("grub-pc", "1.99-27+deb7u3"),
            ("grub-pc-bin", "1.99-27+deb7u3"),
            ("initramfs-tools", "0.109.1"),
            ("iputils-arping", "3:20101006-1"),
            ("lvm2", "2.02.95-8"),
        )
    )
    + "mdadm i386 3.2.5-5 deinstall ok config-files\n",
    "boot": "config-3.2.0-4-686-pae\ngrub\ninitrd.img-3.2.0-4-686-pae\nvmlinuz-3.2.0-4-686-pae\n",
    "modules": _modules("3.2.0-4-686-pae", *VIRTIO, "ext3"),
    "builtin": "",
    "fstab": "/dev/xvda2 / ext3 errors=remount-ro 0 1\n/dev/xvda1 none swap sw 0 0\n",
    "inittab": "/etc/inittab\n",
    "interfaces": "auto lo eth0\niface lo inet loopback\niface eth0 inet static\n\taddress 192.0.2.25\n",
    "rules": "70-persistent-net.rules\nREADME\n",
    "services": "/etc/init.d:\npostfix\nspamassassin\nclamav-daemon\n",
    "log": "/var/log/mail.log\n",
    "mounts": "rootfs / rootfs rw 0 0\n/dev/xvda2 / ext3 rw 0 0\n/dev/xvdb1 /var ext3 rw 0 0\nproc /proc proc rw 0 0\n"
    "tmpfs /run/lock tmpfs rw 0 0\nnfs.example.net:/x /srv/old\\040mail nfs rw 0 0\n",
    "used": "Filesystem 1024-blocks Used Available Capacity Mounted on\nrootfs 9000000 4194304 1 50% /\n"
    "/dev/xvdb1 9000000 8388608 1 50% /var\nnfs.example.net:/x 9 9 9 50% /srv/old mail\n",
    "inodes": "Filesystem Inodes IUsed IFree IUse% Mounted on\nrootfs 600000 100000 1 1% /\n"
    "/dev/xvdb1 600000 50000 1 1% /var\n",
    "rsync": "rsync  version 3.0.9  protocol version 30\n",
    "machine": "x86_64\n",
    "ia32": "/proc/sys/abi/vsyscall32\n",
    "tools": "".join(
        f"/sbin/{name}\n"
        for name in [
            "blkid",
            "blockdev",
            "chroot",
            "debootstrap",
            "drbdadm",
            "findmnt",
            "kpartx",
            "lvcreate",
            "mkfs.ext3",
            "mkfs.ext4",
            "mkswap",
            "mount",
            "ping",
            "pvcreate",
            "rsync",
            "sfdisk",
            "ssh",
            "udevadm",
            "umount",
            "vgchange",
            "vgcreate",
            "vgscan",
            "virsh",
        ]
    ),
    "free": f" {200 * GIB}\n",
    "domain": "<domain><mac address='52:54:00:c0:02:25'/><source dev='/dev/drbd0'/></domain>\n",
}
"""A Debian 7 under Xen, 32-bit, with /var on a disk of its own. "device" and "volume" are not there yet."""


def answers(**changes: str | None) -> dict[str, Answer]:
    """Return what is answered; None is a probe that failed."""
    return {
        name: Answer(1, "", "no") if text is None else Answer(0, text) for name, text in {**WHEEZY, **changes}.items()
    }


def facts(request: Request, **changes: str | None) -> Facts:
    """Return what a source is known as."""
    return read_facts(request, answers(**changes))


class CrashError(Exception):
    """The power went."""


class Memory:
    """A journal that is not on a disk."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @property
    def state(self) -> State:
        """What it says."""
        return state_of(self.events)

    def append(self, event: str, **fields: object) -> None:
        """Add an event."""
        self.events.append({"event": event, **fields})


class Lab:
    """Two machines. What a command needs must be there, and what it makes must not: anything else fails the test."""

    def __init__(self) -> None:
        self.disk: set[str] = set()
        """What outlives a restart of this host."""
        self.memory: set[str] = set()
        """What does not."""
        self.source = {"postfix", "spamassassin", "clamav-daemon", "on", *_ENABLED}
        self.guest: set[str] = set()
        self.queue = "Mail queue is empty\n"
        self.log = ""
        self.ran: list[str] = []
        self.fails: Callable[[str], Answer | None] = lambda _: None
        self.crash_at: tuple[int, bool] | None = None
        """The number of the change, from 0, at which the power goes, and whether it still happens."""
        self.changes = 0
        self._time = 0.0

    def restart(self) -> None:
        """This host comes up again."""
        self.memory.clear()
        self.crash_at = None

    def now(self) -> float:
        """Return a time that goes on by waiting alone."""
        return self._time

    def wait(self, seconds: float) -> None:
        """Let it go on."""
        self._time += seconds

    def run(self, command: Command, hears: Callable[[str], None] | None = None) -> Answer:
        """Do what the command would do."""
        opened = " (opened)" if "--config" in command.words else ""
        words = " ".join(word for word in command.words if not word.startswith(("devices {", "--config"))) + opened
        scripted = self.fails(f"{command.on}: {words}")
        if scripted:
            return scripted
        if command.on == "source" and "on" not in self.source:
            return Answer(255, "", "no route to host")
        self.ran.append(f"{command.on}: {words}")
        if command.on == "guest":
            return self._in_guest(words)
        if command.on == "source":
            return self._in_source(command.words)
        return self._here(words, hears)

    def change(self, action: Edit | Link | Remove) -> str:
        """Change the copy, which must be mounted."""
        assert "mount" in self.memory, action
        self._change(lambda: self.disk.add(f"{type(action).__name__} {action.path}"))
        return ""

    def _change(self, effect: Callable[[], object]) -> Answer:
        number, self.changes = self.changes, self.changes + 1
        if self.crash_at == (number, False):
            raise CrashError
        effect()
        if self.crash_at == (number, True):
            raise CrashError
        return Answer(0, "")

    def _in_guest(self, words: str) -> Answer:
        match words.split():
            case ["postqueue", "-p"]:
                return Answer(0, self.queue)
            case ["tail", *_]:
                return Answer(0, self.log)
            case ["service", "postfix", verb]:
                return self._change(lambda: (self.guest.add if verb == "start" else self.guest.discard)("postfix"))
        return Answer(0, "")

    def _in_source(self, words: tuple[str, ...]) -> Answer:
        match words:
            case (path, "stop" | "start" as verb) if path.startswith("/etc/init.d/"):
                name = path.rpartition("/")[2]
                return self._change(lambda: (self.source.add if verb == "start" else self.source.discard)(name))
            case ("update-rc.d", name, "enable" | "disable" as verb):
                known = f"{name} at boot"
                return self._change(lambda: (self.source.add if verb == "enable" else self.source.discard)(known))
            case ("pgrep", *_):
                return Answer(0 if "postfix" in self.source else 1, "")
            case ("shutdown", *_):
                return self._change(lambda: self.source.discard("on"))
        return Answer(0, {"stat": "100\n", "tail": "Nov 22 12:00:00 mail postfix/master[1]: bye\n"}.get(words[0], ""))

    def _here(self, words: str, hears: Callable[[str], None] | None) -> Answer:
        if words.startswith("rsync"):
            return self._copy(words, hears)
        if words.startswith("drbdadm role") and "up" in self.memory:
            return Answer(0, "Primary/Secondary\n" if "primary" in self.memory else "Secondary/Secondary\n")
        for begins, needs, makes, unmakes in _COMMANDS:
            if words.startswith(begins):
                return self._effect(words, needs, makes, unmakes)
        for begins, shown, output in _LOOKS:
            if words.startswith(begins):
                there = shown in self.disk | self.memory
                return Answer(0, output) if there else Answer(_NOTHING.get(words.split(maxsplit=1)[0], 1), "")
        return Answer(0, "")

    def _copy(self, words: str, hears: Callable[[str], None] | None) -> Answer:
        assert "mount" in self.memory, "copies into what is not the guest's disk"
        assert "enter" not in self.memory, "writes into this host's own /dev"
        assert "on" in self.source
        if hears:
            hears("     32,768 100%  985.48MB/s    0:00:00 (xfr#1, to-chk=0/2)")

        def effect() -> None:
            if "--delete" in words:
                assert "postfix" not in self.source, "the last copy is made while mail comes in"
                self.disk = {thing for thing in self.disk if not thing.startswith(("Edit", "Link", "Remove"))}
            self.disk.add("last copy" if "--delete" in words else "copy")

        return self._change(effect)

    def _effect(self, words: str, needs: tuple[str, ...], makes: str, unmakes: tuple[str, ...]) -> Answer:
        missing = [need for need in needs if need not in self.disk | self.memory]
        if missing:
            return Answer(5, "", f"{words}: there is no {missing[0]}")
        if makes in self.disk:
            raise AssertionError(f"destroys what is there: {words}")

        def effect() -> None:
            for thing in unmakes:
                self.memory.discard(thing)
            if makes:
                (self.memory if makes in _PASSING else self.disk).add(makes)

        return self._change(effect)


_ENABLED = ("postfix at boot", "spamassassin at boot", "clamav-daemon at boot")
_PASSING = {"up", "primary", "mapped", "active", "mount", "enter", "running"}
_COMMANDS: tuple[tuple[str, tuple[str, ...], str, tuple[str, ...]], ...] = (
    ("lvcreate --yes --wipesignatures", (), "volume", ()),
    ("drbdadm create-md", ("volume",), "metadata", ()),
    ("drbdadm up", ("metadata",), "up", ()),
    ("drbdadm primary --force", ("up",), "first data", ()),
    ("drbdadm primary", ("up", "first data"), "primary", ()),
    ("drbdadm secondary", ("up",), "", ("primary",)),
    ("sfdisk --quiet", ("primary",), "partition", ()),
    ("kpartx -a", ("primary", "partition"), "mapped", ()),
    ("kpartx -d", ("primary",), "", ("mapped",)),
    ("pvcreate", ("mapped",), "pv", ()),
    ("vgcreate", ("mapped", "pv"), "vg", ()),
    ("lvcreate --quiet --yes --size", ("mapped", "vg"), "swap", ()),
    ("lvcreate --quiet --yes --extents", ("mapped", "vg"), "root", ()),
    ("vgchange --quiet --activate y", ("mapped", "root"), "active", ()),
    ("vgchange --quiet --activate n", ("mapped",), "", ("active",)),
    ("mkfs", ("active",), "file system", ()),
    ("mkswap", ("active",), "swap space", ()),
    ("mount /dev/mapper", ("active", "file system"), "mount", ()),
    ("umount --recursive", ("mount",), "", ("mount", "enter")),
    ("mount --bind /run", ("mount",), "enter", ()),
    ("umount /run", ("mount",), "", ("enter",)),
    ("env LC_ALL=C DEBIAN_FRONTEND=noninteractive", ("enter",), "", ()),
    ("debootstrap", ("mount",), "", ()),
    ("install", ("mount",), "", ()),
    ("systemctl --root", ("mount",), "", ()),
    ("virsh define", (), "", ()),
    ("virsh undefine", (), "", ()),
    ("virsh start", ("primary",), "running", ()),
    ("virsh shutdown", ("running",), "", ("running",)),
)
"""How a command begins, what it needs, what it makes, and what it ends."""
_LOOKS: tuple[tuple[str, str, str], ...] = (
    ("lvs --noheadings --options lv_name vg_host", "volume", "  earmark\n"),
    ("drbdadm show-gi", "metadata", ""),
    ("drbdadm dstate", "first data", "UpToDate/Inconsistent\n"),
    ("sfdisk --dump", "partition", "label: dos\nlabel-id: 0x5126ac48\n"),
    ("test -b /dev/mapper/drbd0p1", "mapped", ""),
    ("pvs", "pv", "  /dev/mapper/drbd0p1\n"),
    ("vgs --noheadings --options vg_name vg_mail", "vg", "  vg_mail\n"),
    ("lvs --noheadings --options lv_name vg_mail/swap", "swap", "  swap\n"),
    ("lvs --noheadings --options lv_name vg_mail/root", "root", "  root\n"),
    ("test -b /dev/mapper/vg_mail-root", "active", ""),
    (
        "blkid --probe --match-tag UUID --output value /dev/mapper/vg_mail-root",
        "file system",
        "38bd1170-8879-5034-aea0-89a2556d08ce\n",
    ),
    (
        "blkid --probe --match-tag UUID --output value /dev/mapper/vg_mail-swap",
        "swap space",
        "c8baedeb-01eb-552f-b3e5-0e1971c16f17\n",
    ),
    ("blkid --probe /dev/drbd0", "partition", ""),
    ("blkid --probe /dev/mapper/vg_mail-root", "file system", ""),
    ("blkid --probe /dev/mapper/vg_mail-swap", "swap space", ""),
    ("findmnt --noheadings --output SOURCE", "mount", "/dev/mapper/vg_mail-root\n"),
    ("findmnt --noheadings --mountpoint", "enter", "/run\n"),
    ("virsh domstate", "running", "running\n"),
    ("virsh domid", "running", "1\n"),
)
_NOTHING = {"blkid": 2, "vgs": 5, "lvs": 5, "pvs": 5}
"""How a program ends that finds nothing."""
