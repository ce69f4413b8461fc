"""What the real programs say of one machine's files, seen as from that machine."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from earmark.cluster.files import File, Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.namespaces import Host, Output, run
from earmark.config.problems import one_line

_DEADLINE = 30.0
"""Seconds for one program. The slowest takes one."""
_DRIVER = {"8.4": "8.4.11", "9": "9.2.0"}
"""The version of the kernel module by which drbdadm chooses its dialect, where no module is loaded."""
_SAYS_ENOUGH = 12
"""Lines of one program that become findings."""

_READ = (
    "etc/corosync/", "etc/drbd.d/", "etc/lvm/", "etc/nftables.conf", "etc/pacemaker/", "etc/systemd/",
    "usr/local/lib/cluster/", "usr/local/sbin/",
)  # fmt: skip
"""What the programs read. What else stands in a directory of files is not laid over this machine: a program or library
in it would be run, as root."""

Own = Mapping[str, File]
"""A machine's files by path from its root."""


def check_machine(inventory: Inventory, name: str, own: Own, present: frozenset[str]) -> Iterator[Finding]:
    """Yield what the programs that are present find wrong with one machine's files."""
    addresses = [
        str(link.address) for host in inventory.hosts if host.name == name for link in (host.backplane, host.service)
    ]
    files = {path: (file.text, file.mode) for path, file in own.items() if path.startswith(_READ)}
    for tool, look in _LOOKS.items():
        if tool in present:
            yield from look(inventory, own, Host(name, addresses, files))


def said(where: str, tool: str, output: Output, *, refuses: bool = True) -> Iterator[Finding]:
    """Yield a finding for each line that a program said, and one where it said nothing."""
    lines = [one_line(line) for line in output.text.splitlines() if line.strip()]
    if output.status < 0:
        lines = ["did not end in time, and was killed"]
    for line in lines[:_SAYS_ENOUGH] or [f"ended with status {output.status}, and said nothing"]:
        yield Finding(where, tool, line, refuses)


def _corosync(_: Inventory, own: Own, host: Host) -> Iterator[Finding]:
    path = "etc/corosync/corosync.conf"
    if path not in own:
        return
    made = {"etc/corosync/authkey": ("0" * 256, 0o400), "var/log/corosync/placeholder": ("", 0o600)}
    output = run(_with(host, made, hidden=["/etc/corosync"]), ["corosync", "-t"], _DEADLINE)
    if output.status:
        yield from said(path, "corosync", output)


def _drbdadm(inventory: Inventory, own: Own, host: Host) -> Iterator[Finding]:
    if not any(path.startswith("etc/drbd.d/") for path in own):
        return
    secret = inventory.storage.secret_file.lstrip("/")
    made = {secret: ('common { net { shared-secret "stands-in"; } }\n', 0o600)}
    there = _with(host, made, hidden=["/etc/drbd.d"])
    environment = {"DRBD_DRIVER_VERSION_OVERRIDE": _DRIVER[inventory.storage.drbd]}
    for words in (["drbdadm", "dump", "all"], ["drbdadm", "--dry-run", "up", "all"]):
        output = run(there, words, _DEADLINE, environment)
        if output.status:
            yield from said("etc/drbd.d/", "drbdadm", output)
            return


def _domain(_: Inventory, own: Own, host: Host) -> Iterator[Finding]:
    for path, file in own.items():
        if path.endswith(".xml") and "<domain" in file.text:
            output = run(host, ["virt-xml-validate", f"/{path}", "domain"], _DEADLINE)
            if output.status:
                yield from said(path, "virt-xml-validate", output)


def _nft(_: Inventory, own: Own, host: Host) -> Iterator[Finding]:
    path = "etc/nftables.conf"
    if path in own:
        output = run(host, ["nft", "--check", "--file", f"/{path}"], _DEADLINE)
        if output.status:
            yield from said(path, "nft", output)


def _lvm(_: Inventory, own: Own, host: Host) -> Iterator[Finding]:
    paths = [path for path in own if path.startswith("etc/lvm/")]
    if paths:
        output = run(host, ["lvmconfig", "--validate"], _DEADLINE, {"LVM_SUPPRESS_FD_WARNINGS": "1"})
        if output.status:
            yield from said(paths[0], "lvmconfig", output)


def _systemd(_: Inventory, own: Own, host: Host) -> Iterator[Finding]:
    units = _units(own)
    if not units:
        return
    words = ["systemd-analyze", "verify", "--man=no", "--generators=no", *sorted(units)]
    output = run(host, words, _DEADLINE, {"SYSTEMD_LOG_TARGET": "console", "SYSTEMD_COLORS": "0"})
    if output.text.strip() or output.status:
        for finding in said("etc/systemd/system/", "systemd-analyze", output):
            yield _placed(own, finding)


_NOT_HERE = re.compile(
    r"Unit \S{1,200} not found|Command /(?!usr/local/)\S{1,400} is not executable: No such file", re.ASCII
)
"""What is not installed here need not be wrong on that machine. What stands below /usr/local is ours to bring."""


def _units(own: Own) -> set[str]:
    """Return the units that a machine's files define or change."""
    found = set()
    for path in own:
        rest = path.removeprefix("etc/systemd/system/")
        if rest != path:
            first = rest.partition("/")[0]
            found.add(first.removesuffix(".d"))
    return found


def _placed(own: Own, finding: Finding) -> Finding:
    """Return a message of systemd's with the file that it begins with, where that is one of the machine's."""
    first, _, rest = finding.reason.partition(": ")
    path, _, line = first.partition(":")
    path = path.lstrip("/") if path.startswith("/") else f"etc/systemd/system/{path}"
    where, reason = finding.where, finding.reason
    if path in own:
        where, reason = f"{path}:{line}" if line.isdigit() else path, rest
    if _NOT_HERE.search(reason):
        return Finding(where, "not-installed-here", f"{reason}: not looked at on this machine", refuses=False)
    return Finding(where, finding.code, reason)


def _with(host: Host, made: Mapping[str, tuple[str, int]], hidden: Sequence[str]) -> Host:
    return Host(host.name, host.addresses, {**host.files, **made}, hidden)


_LOOKS: Mapping[str, Callable[[Inventory, Own, Host], Iterator[Finding]]] = {
    "corosync": _corosync,
    "drbdadm": _drbdadm,
    "virt-xml-validate": _domain,
    "nft": _nft,
    "lvmconfig": _lvm,
    "systemd-analyze": _systemd,
}
TOOLS = {
    "corosync": "corosync",
    "drbdadm": "drbd-utils",
    "virt-xml-validate": "libvirt-clients",
    "nft": "nftables",
    "lvmconfig": "lvm2",
    "systemd-analyze": "systemd",
}
"""The programs, and the Debian package of each."""
