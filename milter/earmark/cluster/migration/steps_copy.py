"""The steps that bring the files over: live, then with the mail stopped, and what is changed in them."""

from collections.abc import Iterator
from functools import partial

from earmark.cluster.migration import edits
from earmark.cluster.migration.actions import (
    WEEK,
    Action,
    Await,
    Command,
    Demand,
    Edit,
    Link,
    Note,
    Remove,
    Step,
    Undo,
    Where,
)
from earmark.cluster.migration.facts import Facts, version
from earmark.cluster.migration.layout import Layout
from earmark.cluster.migration.request import Request
from earmark.cluster.migration.ssh import rsync_source
from earmark.cluster.migration.steps_disk import file_system

_NEEDED_AT_BOOT = ("console", "null", "zero", "tty", "random", "urandom")
"""Nodes below /dev that old systems want before anything makes them."""
_VANISHED = 24
"""rsync's exit status where a file went while it was copied: as usual on a running system."""
_PROCESSES = {
    "postfix": "smtpd|cleanup|qmgr|smtp|lmtp",
    "exim": "exim4|exim",
}


def excludes(request: Request, facts: Facts) -> tuple[str, ...]:
    """Return rsync's words for what is not copied, and so not deleted in the copy either."""
    swap_files = [
        fields[0]
        for fields in map(str.split, facts.fstab.splitlines())
        if fields[2:3] == ["swap"] and not fields[0].startswith(("#", "/dev/")) and fields[0].startswith("/")
    ]
    return (
        *(f"--include=/dev/{name}" for name in _NEEDED_AT_BOOT),
        *(f"--exclude=/{top}/*" for top in ("proc", "sys", "dev", "run")),
        "--exclude=/lost+found",
        *(("--exclude=/boot", "--exclude=/lib/modules", "--exclude=/usr/lib/modules") if request.on_skeleton else ()),
        *(f"--exclude={_literal(path)}/*" for path in facts.left_out),
        *(f"--exclude={_literal(path)}" for path in swap_files),
    )


def _literal(path: str) -> str:
    """Return a pattern of rsync that means this path and no other."""
    return "".join(f"\\{letter}" if letter in "*?[\\" else letter for letter in path)


def _copy(request: Request, facts: Facts, disk: Layout, *more: str) -> tuple[Action, ...]:
    kept = "-aHS" if facts.rsync < (3,) else "-aHAXS"
    words = ("rsync", kept, "--numeric-ids", "--info=progress2", "--no-inc-recursive", *more)
    place = rsync_source(request.source.at)
    copy = Command(
        (*words, *excludes(request, facts), *place, f"{disk.mount}/"),
        seconds=WEEK,
        statuses=(0, _VANISHED),
        shows_progress=True,
    )
    ours = Command(("findmnt", "--noheadings", "--mountpoint", f"{disk.mount}/dev"), statuses=(1,))
    return Demand(ours, f"{disk.mount}/dev is this host's own, and would be written to: umount it"), copy


def copy_steps(request: Request, facts: Facts, disk: Layout) -> Iterator[Step]:
    """Yield the copy that is made while the source goes on."""
    yield Step(
        "first-copy",
        "while the source goes on; the longest part, and without an outage",
        _copy(request, facts, disk),
        advice="it goes on with what is missing; where files cannot be read, root is needed there",
    )


def outage_steps(request: Request, facts: Facts, disk: Layout) -> Iterator[Step]:
    """Yield what is between the last message there and a whole copy here."""
    where: Where = "source" if request.by_ssh else "here"
    if request.by_ssh:
        yield from _stopping(request, facts)
    if request.source.log and facts.log:
        log = f"{request.root}{request.source.log}"
        yield Step(
            "log-mark",
            "where the log of the source ends",
            (
                Note("log-size", Command(("stat", "--format=%s", log), where)),
                Note("log-last", Command(("tail", "-n", "1", log), where)),
            ),
            outage=request.by_ssh,
        )
    yield Step(
        "final-copy",
        "what has changed since, and what is gone",
        _copy(request, facts, disk, "--delete"),
        outage=request.by_ssh,
    )
    if request.by_ssh and can_be_held(facts):
        yield _holding(request, facts)


def stopped(request: Request) -> tuple[str, ...]:
    """Return the source's services in the order in which they stop: the MTA, then the filter and the others."""
    return ("exim4" if request.source.mta == "exim" else "postfix", *request.source.services)


def _service(facts: Facts, name: str, verb: str) -> Command:
    words = ("systemctl", verb, name) if facts.systemd else (f"/etc/init.d/{name}", verb)
    return Command(words, "source", seconds=300)


def _stopping(request: Request, facts: Facts) -> Iterator[Step]:
    mta, *others = stopped(request)
    running = Command(("pgrep", "-x", _PROCESSES[request.source.mta]), "source", statuses=(1,))
    yield Step(
        "stop-mta",
        "it takes no more mail; what it has taken, it holds in its queue, which is copied",
        (
            _service(facts, mta, "stop"),
            Await(running, request.source.drain, "deliveries under way have not ended: wait, or end them there"),
        ),
        undo=(_service(facts, mta, "start"),),
        outage=True,
    )
    if others:
        yield Step(
            "stop-services",
            "the filter, and what else writes, when no mail comes to them any more",
            tuple(_service(facts, name, "stop") for name in others),
            undo=tuple(_service(facts, name, "start") for name in reversed(others)),
            outage=True,
        )


def can_be_held(facts: Facts) -> bool:
    """Whether the source knows how to leave a service off when it starts: Debian 6 and newer."""
    return facts.systemd or version(facts.release) >= (6,)


def _holding(request: Request, facts: Facts) -> Step:
    def switched(verb: str) -> tuple[Command, ...]:
        names = stopped(request)
        if facts.systemd:
            return tuple(Command(("systemctl", verb, name), "source") for name in names)
        return tuple(Command(("update-rc.d", name, verb), "source") for name in names)

    undo: tuple[Undo, ...] = switched("enable")
    return Step(
        "hold-source",
        "a source that is started again takes no mail beside the guest; the copy has been made before",
        switched("disable"),
        undo=undo,
        outage=True,
    )


def edit_steps(request: Request, facts: Facts, disk: Layout) -> Iterator[Step]:
    """Yield what the copy must be told about its new machine. The source is not touched."""
    old = request.source.interface
    card = request.guest.interface or old
    root, outage = disk.mount, request.by_ssh
    kind, _ = file_system(facts, own_kernel=request.target.kernel == "source")
    table = partial(edits.fstab, root=disk.root, swap=disk.swap, kind=kind)
    yield Step("fstab", "its disks", (Edit(root, "/etc/fstab", table, create=True),), outage=outage)
    login = serial_login(root)
    waited = Remove(root, "/etc/systemd/system/getty.target.wants/serial-getty@hvc0.service")
    init = (Edit(root, "/etc/inittab", edits.inittab),) if facts.inittab else ()
    yield Step(
        "console",
        "a login on the serial line",
        (*init, *((login, waited) if facts.systemd else ()), Edit(root, "/etc/securetty", edits.securetty)),
        outage=outage,
    )
    yield Step("network", f"its card is {card}", tuple(_card(facts, root, old, card, request.guest.mac)), outage=outage)


def serial_login(root: str) -> Link:
    """Return what has systemd put a login on the first serial line."""
    return Link(
        root,
        "/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service",
        "/lib/systemd/system/serial-getty@.service",
    )


def _card(facts: Facts, root: str, old: str, card: str, mac: str) -> Iterator[Edit]:
    rules = [name for name in facts.rules if name.endswith("persistent-net.rules")]
    for name in rules or ([] if facts.systemd else ["70-persistent-net.rules"]):
        change = partial(edits.net_rules, interface=card, old=old, mac=mac)
        yield Edit(root, f"/etc/udev/rules.d/{name}", change, create=True)
    if facts.systemd:
        link = partial(edits.net_link, interface=card, mac=mac)
        yield Edit(root, "/etc/systemd/network/10-earmark.link", link, create=True)
    yield Edit(root, "/etc/network/interfaces", partial(edits.interfaces, interface=card, old=old))
    yield Edit(root, "/etc/sysctl.d/60-earmark-arp.conf", edits.announcing, create=True)


def closing_steps(request: Request, disk: Layout) -> Iterator[Step]:
    """Yield what shuts the disk here, so that the guest alone has it."""
    outage = request.by_ssh
    deactivate = ("vgchange", "--quiet", *disk.opened, "--activate", "n", disk.group)
    for name, about, words in (
        ("unmount", "with all that is mounted in it", ("umount", "--recursive", disk.mount)),
        ("deactivate", "LVM lets go of it", deactivate),
        ("unmap", "and so does the partition table", ("kpartx", "-d", "-p", "p", disk.device)),
    ):
        yield Step(
            name,
            about,
            (Command(words),),
            outage=outage,
            advice=f"who holds it: fuser -m {disk.mount}; dmsetup ls --tree",
        )
