"""What is wrong with DRBD's files that drbdadm lets pass."""

from collections.abc import Iterator

from earmark.cluster.drbd_conf import Statement, Syntax, read_drbd
from earmark.cluster.drbd_files import DrbdFiles, Placed
from earmark.cluster.files import Files, Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.lint_drbd_dialect import lint_dialect
from earmark.cluster.lint_timers import peer_death_seconds, takeover_seconds
from earmark.config.problems import quoted

DIRECTORY = "etc/drbd.d"
_AL_EXTENTS = range(67, 65535)
_KEEPING = {
    "after-sb-0pri": {"disconnect", "discard-zero-changes"},
    "after-sb-1pri": {"disconnect", "consensus"},
    "after-sb-2pri": {"disconnect"},
}
"""Answers to a split brain that throw away nothing that one side has written."""


def lint_drbd(inventory: Inventory, files: Files) -> Iterator[Finding]:
    """Find what is wrong with each host's files, and where they differ."""
    texts: dict[str, dict[str, str]] = {}
    for host in inventory.hosts:
        start = f"{host.name}/{DIRECTORY}/"
        texts[host.name] = {
            name.removeprefix(start): file.text for name, file in files.items() if name.startswith(start)
        }
        if any(name.endswith(".res") for name in texts[host.name]):
            yield from _host(inventory, {f"{start}{name}": text for name, text in texts[host.name].items()})
        else:
            yield Finding(start, "file-missing", "without a resource here this host has no replicated disk: render it")
    one, other = (texts[host.name] for host in (inventory.hosts[0], inventory.hosts[-1]))
    for name in sorted(one.keys() & other.keys()):
        if one[name] != other[name]:
            where = f"{inventory.hosts[-1].name}/{DIRECTORY}/{name}"
            reason = f"it is not the same as on {inventory.hosts[0].name}: render both again"
            yield Finding(where, "drbd-differs", reason)


def _host(inventory: Inventory, texts: dict[str, str]) -> Iterator[Finding]:
    read: dict[str, Statement] = {}
    for name, text in texts.items():
        one = read_drbd(text)
        if isinstance(one, Syntax):
            reason = f"{one.reason}; drbdadm may pass over that, and over what follows it"
            yield Finding(f"{name}:{one.line}", "drbd-syntax", reason)
        else:
            read[name] = one
    drbd = DrbdFiles(read)
    if not drbd.resources:
        return  # what is there to say has been said: a file that cannot be read
    yield from _run_on(drbd)
    yield from _peers(inventory, drbd)
    yield from lint_dialect(inventory, drbd)
    yield from _fencing(inventory, drbd)
    yield from _data(drbd)
    yield from _disk(drbd)
    yield from _secrets(drbd)
    yield from _timers(inventory, drbd)


def _run_on(drbd: DrbdFiles) -> Iterator[Finding]:
    for section in ("disk", "net", "options", "handlers"):
        for around in drbd.all(section):
            for statement in around.statement.block:
                if len(statement.words) > 2:
                    reason = f"`{' '.join(statement.words[:3])}` is one statement: a semicolon is missing"
                    yield Placed(around.file, statement).finding("drbd-syntax", reason)


def _peers(inventory: Inventory, drbd: DrbdFiles) -> Iterator[Finding]:
    hosts = {host.name: host for host in inventory.hosts}
    found = {peer.value for peer in drbd.all("on")}
    for missing in sorted(hosts.keys() - found):
        yield drbd.resources[0].finding(
            "drbd-host-missing", f"{missing} has no `on` section, and so no replicated disk"
        )
    for peer in drbd.all("on"):
        host = hosts.get(peer.value)
        if host is None:
            reason = f"{quoted(peer.value)} is no host of the inventory: DRBD compares it with `uname -n`"
            yield peer.finding("drbd-host-unknown", reason)
            continue
        wanted = f"{host.backplane.address}:{inventory.storage.port}"
        if not any(address.words[-1] == wanted for address in peer.statement.within("address")):
            reason = f"the address of {host.name} must be {wanted}, on the backplane: render it again"
            yield peer.finding("drbd-address", reason)


def _fencing(inventory: Inventory, drbd: DrbdFiles) -> Iterator[Finding]:
    section = "disk" if inventory.storage.drbd == "8.4" else "net"
    policy = drbd.last(section, "fencing")
    if policy is None or policy.value != "resource-and-stonith":
        reason = (
            "a lost peer must hold up writes until it is fenced, or both sides accept mail that one will lose: set "
        )
        reason += f"`fencing resource-and-stonith` in {section}"
        yield (policy or drbd.resources[0]).finding("drbd-fencing-off", reason)
    if drbd.last("handlers", "fence-peer") is None:
        reason = "without a fence-peer handler nobody tells Pacemaker, and writes wait for ever: name crm-fence-peer"
        yield drbd.resources[0].finding("drbd-fencing-off", reason)


def _data(drbd: DrbdFiles) -> Iterator[Finding]:
    protocol = drbd.last("net", "protocol")
    if protocol is None or protocol.value != "C":
        reason = "what was answered 250 must be on both disks before the answer: set `protocol C`"
        yield (protocol or drbd.resources[0]).finding("drbd-protocol", reason)
    for found in drbd.all("net", "allow-two-primaries"):
        if found.value != "no":
            yield found.finding("drbd-two-primaries", "a file system on two hosts at once is lost: remove it")
    for key, keeping in _KEEPING.items():
        for found in drbd.all("net", key):
            if found.value not in keeping:
                reason = f"{key} {found.value} throws away what one side has accepted: disconnect leaves it to a person"
                yield found.finding("drbd-discards", reason)


def _disk(drbd: DrbdFiles) -> Iterator[Finding]:
    for found in drbd.all("disk", "on-io-error"):
        if found.value != "detach":
            reason = (
                f"{quoted(found.value)} does not leave a failed disk for the peer's; drbdadm takes any word: set detach"
            )
            yield found.finding("drbd-io-error", reason)
    for found in drbd.all("disk", "al-extents"):
        if not found.value.isascii() or not found.value.isdigit() or int(found.value[:9]) not in _AL_EXTENTS:
            reason = (
                f"{quoted(found.value)} is none of {_AL_EXTENTS[0]} to {_AL_EXTENTS[-1]}: the disk would not attach"
            )
            yield found.finding("drbd-al-extents", reason)


def _secrets(drbd: DrbdFiles) -> Iterator[Finding]:
    for found in drbd.all("net", "shared-secret"):
        reason = "the secret stands here for all who read this file: keep it in the file that the inventory names"
        yield found.finding("secret-inline", reason)
    if drbd.last("net", "cram-hmac-alg") is None:
        reason = "without cram-hmac-alg whoever reaches the port can pose as the peer: set sha256"
        yield drbd.resources[0].finding("drbd-plain", reason)


def _timers(inventory: Inventory, drbd: DrbdFiles) -> Iterator[Finding]:
    timeout = drbd.number(60, "net", "timeout")
    where = drbd.last("net", "timeout") or drbd.resources[0]
    for key in ("ping-int", "connect-int"):
        seconds = drbd.number(10, "net", key)
        if timeout >= 10 * seconds:
            reason = f"timeout {timeout} is in tenths of a second, and must be less than {key}, {seconds} s"
            yield where.finding("drbd-timeout-long", reason)
    ping = drbd.number(10, "net", "ping-int")
    death = peer_death_seconds(ping, drbd.number(5, "net", "ping-timeout") / 10, timeout / 10)
    takeover = takeover_seconds(inventory.timers.token / 1000)
    if death > takeover:
        reason = (
            f"DRBD knows of a dead peer after {death:.1f} s, the cluster after {takeover:.1f} s: until then the disk"
        )
        reason += " cannot be promoted. Set ping-int 2, timeout 15, ping-timeout 5"
        yield (drbd.last("net", "ping-int") or where).finding("drbd-detection-slow", reason)
