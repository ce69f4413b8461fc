"""What is wrong with a host's own files: LVM's filter, the mirror, bridges, the firewall, and what starts at boot."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from earmark.cluster.files import Files, Finding
from earmark.cluster.inventory import Host, Inventory
from earmark.cluster.known import known
from earmark.cluster.unit_file import Entry, read_unit, values

_PORT = re.compile(r"\b(\d{1,5})(?:-(\d{1,5}))?\b", re.ASCII)
_FILTER = re.compile(r"^[ \t]*(?:devices/)?global_filter[ \t]*=[ \t]*(.{0,2000})", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r'\s*,?\s*(?:"(?P<entry>[^"]{1,200})"|#[^\n]*\n|(?P<end>\]))')
_INPUT = re.compile(r"hook\s+input\b[^}\n]{0,200}policy\s+drop", re.ASCII)
_COROSYNC = {5405: "corosync's first link", 5406: "corosync's second link"}
_QNETD = 5403


def lint_host(inventory: Inventory, files: Files) -> Iterator[Finding]:
    """Find what is wrong with the files of each host, and with the arbitrator's firewall."""
    for host in inventory.hosts:
        own = {name.removeprefix(f"{host.name}/"): file.text for name, file in files.items()
               if name.startswith(f"{host.name}/")}  # fmt: skip
        for finding in _host(inventory, host, own):
            yield finding._replace(where=f"{host.name}/{finding.where}")
    arbitrator = inventory.arbitrator
    if arbitrator:
        name = f"{arbitrator.name}/etc/nftables.conf"
        if name in files:
            yield from _firewall(name, files[name].text, {_QNETD: "corosync-qnetd"})


def _host(inventory: Inventory, host: Host, own: dict[str, str]) -> Iterator[Finding]:
    yield from _lvm(inventory, own)
    yield from _raid(inventory, own)
    yield from _bridge(host, own)
    yield from _addresses(inventory, host, own)
    name = "etc/nftables.conf"
    if name in own:
        yield from _firewall(name, own[name], {**_COROSYNC, inventory.storage.port: "DRBD"})
    else:
        yield Finding(name, "file-missing", "without it everybody reaches corosync and DRBD: render it")
    yield from _presets(inventory, host, own)


def _lvm(inventory: Inventory, own: dict[str, str]) -> Iterator[Finding]:
    names = [name for name in ("etc/lvm/lvmlocal.conf", "etc/lvm/lvm.conf") if name in own]
    filters = {name: match for name in names for match in _FILTER.finditer(own[name])}
    if not filters:
        reason = (
            "without a global_filter this host activates what the guest has inside its disk, and cannot let go of it"
        )
        yield Finding(names[0] if names else "etc/lvm/lvmlocal.conf", "lvm-filter-open", f"{reason}: render it")
        return
    name, match = next(iter(filters.items()))
    where = f"{name}:{own[name].count(chr(10), 0, match.start()) + 1}"
    entries = _entries(match[1])
    if not entries or entries[-1] not in ("r|.*|", "r|^.*$|", "r/.*/"):
        yield Finding(where, "lvm-filter-open", 'what no entry names is let in: end the list with "r|.*|"')
    allowed = {f"a|^{inventory.storage.raid}$|", f"a/^{inventory.storage.raid}$/"}
    for entry in entries:
        if entry.startswith("a") and entry not in allowed:
            reason = (
                f"{entry} lets the host look at more than {inventory.storage.raid}, perhaps into the guest's disk: use "
            )
            yield Finding(where, "lvm-filter-open", f'{reason}"a|^{inventory.storage.raid}$|"')
    if entries and not allowed & set(entries):
        reason = f"the host would not find its own volume group: accept {inventory.storage.raid}"
        yield Finding(where, "lvm-filter-closed", reason)


def _entries(text: str) -> list[str]:
    """Return the strings of a list in lvm.conf's syntax; a single string is a list of one."""
    entries: list[str] = []
    position = 1 if text.startswith("[") else 0
    while match := _ENTRY.match(text, position):
        if match["end"]:
            break
        if match["entry"]:
            entries.append(match["entry"])
        if not text.startswith("["):
            break
        position = match.end()
    return entries


def _raid(inventory: Inventory, own: dict[str, str]) -> Iterator[Finding]:
    texts = {name: text for name, text in own.items() if name.startswith("etc/mdadm/")}
    arrays = [line.split()[1] for text in texts.values() for line in text.splitlines() if line.startswith("ARRAY /")]
    if inventory.storage.raid not in arrays:
        reason = f"no ARRAY line for {inventory.storage.raid}: it comes up as /dev/md127, where LVM does not look"
        yield Finding(next(iter(texts), "etc/mdadm/"), "raid-unknown", reason)


def _networkd(own: dict[str, str], ending: str) -> Iterator[tuple[str, list[Entry]]]:
    for name, text in own.items():
        if name.startswith("etc/systemd/network/") and name.endswith(ending):
            yield name, read_unit(text)


def _bridge(host: Host, own: dict[str, str]) -> Iterator[Finding]:
    bridges = [
        (name, entries)
        for name, entries in _networkd(own, ".netdev")
        if any(entry.value == "bridge" for entry in values(entries, "NetDev", "Kind"))
    ]
    if not any(
        entry.value == host.service.bridge for _, entries in bridges for entry in values(entries, "NetDev", "Name")
    ):
        yield Finding(
            "etc/systemd/network/", "file-missing", f"nothing makes the bridge {host.service.bridge}: render it"
        )
    for name, entries in bridges:
        macs = values(entries, "NetDev", "MACAddress")
        if not macs:
            reason = "a bridge without an address of its own changes it with its ports, and the network looks away for "
            yield Finding(name, "bridge-without-mac", f"{reason}seconds: set MACAddress={host.service.mac}")
        elif macs[-1].value.lower() != host.service.mac:
            reason = f"the inventory's address is {host.service.mac}: another may be somebody else's"
            yield Finding(f"{name}:{macs[-1].line}", "bridge-mac-differs", reason)


def _addresses(inventory: Inventory, host: Host, own: dict[str, str]) -> Iterator[Finding]:
    set_here = {
        entry.value for _, entries in _networkd(own, ".network") for entry in values(entries, "Network", "Address")
    }
    for address, network in (
        (host.backplane.address, inventory.backplane),
        (host.service.address, inventory.service),
    ):
        if f"{address}/{network.prefixlen}" not in set_here:
            reason = f"no interface has {address}/{network.prefixlen}, so that one link is missing: render it again"
            yield Finding("etc/systemd/network/", "address-not-set", reason)


def _firewall(name: str, text: str, ports: dict[int, str]) -> Iterator[Finding]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    if not _INPUT.search("\n".join(lines)):
        reason = "what no rule names is let in: give the chain of hook input the policy drop"
        yield Finding(name, "firewall-open", reason)
    rules = [line.partition("dport")[2] for line in lines if "dport" in line and "accept" in line]
    ranges = [(int(one[1]), int(one[2] or one[1])) for rule in rules for one in _PORT.finditer(rule)]
    for port, whose in ports.items():
        if not any(first <= port <= last for first, last in ranges):
            yield Finding(name, "firewall-closed", f"no rule lets port {port} in, which is {whose}: render it again")


def _presets(inventory: Inventory, host: Host, own: dict[str, str]) -> Iterator[Finding]:
    services = known()["services"]
    rendered = {name.rpartition("/")[2] for name in own if name.startswith("etc/systemd/system/")}
    needed = {*services["host"], *services["stack"], *rendered, *host.extra_services}
    managed = [*services["cluster"], *(inventory.group.units if inventory.group else [])]
    lines = [
        (f"{name}:{number}", *line.split()[:2])
        for name, text in sorted(own.items())
        if name.startswith("etc/systemd/system-preset/")
        for number, line in enumerate(text.splitlines(), 1)
        if line.startswith(("enable ", "disable "))
    ]
    for where, word, unit in lines:
        if word == "enable" and unit in managed:
            yield Finding(where, "service-of-cluster", f"{unit} is Pacemaker's to start: disable it")
        elif word == "enable" and unit not in needed:
            reason = f"a host needs no {unit}: what else it runs can fail, take memory or let somebody in. Disable it"
            yield Finding(where, "service-beyond-list", reason)
    for unit in managed:
        verdicts = [word for _, word, pattern in lines if fnmatchcase(unit, pattern)]
        if (
            lines
            and verdicts[:1] != ["disable"]
            and unit in (*_AT_BOOT, *(inventory.group.units if inventory.group else []))
        ):
            reason = f"{unit} starts at boot unless it is disabled, and is Pacemaker's to start"
            yield Finding(lines[0][0].partition(":")[0], "service-of-cluster", f"{reason}: disable it")


_AT_BOOT = ("drbd.service",)
"""What Debian's packages enable."""
