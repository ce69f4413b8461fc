"""What is wrong with a corosync.conf that `corosync -t` lets pass."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from ipaddress import AddressValueError, IPv4Address

from earmark.cluster.corosync_conf import Section, Setting, Syntax, read_corosync
from earmark.cluster.files import Files, Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.known import known
from earmark.cluster.lint_timers import SHORT_TOKEN
from earmark.config.problems import did_you_mean, quoted

PATH = "etc/corosync/corosync.conf"


def lint_corosync(inventory: Inventory, files: Files) -> Iterator[Finding]:
    """Find what is wrong with each host's file, and where they differ."""
    texts = {}
    for host in inventory.hosts:
        name = f"{host.name}/{PATH}"
        if name not in files:
            yield Finding(name, "file-missing", "without it this host is in no cluster: render it")
            continue
        texts[name] = files[name].text
        read = read_corosync(files[name].text)
        if isinstance(read, Syntax):
            yield Finding(f"{name}:{read.line}", "corosync-syntax", f"{read.reason}: corosync would not start")
        else:
            yield from _file(inventory, name, read)
    if len(set(texts.values())) > 1:
        reason = f"it is not the same as {min(texts)}: hosts that read different files do not find together"
        yield Finding(max(texts), "corosync-differs", reason)


def _file(inventory: Inventory, name: str, root: Section) -> Iterator[Finding]:
    yield from _unknown(name, root, "")
    yield from _nodes(inventory, name, root)
    yield from _links(name, root)
    yield from _totem(name, root)
    quorum = root.first("quorum")
    if quorum is None or quorum.value("provider") != "corosync_votequorum":
        where = quorum.get("provider") if quorum else None
        reason = "without `provider: corosync_votequorum` no host ever has quorum, and corosync says nothing"
        yield Finding(_at(name, where, quorum), "quorum-provider", reason)
    if quorum is not None:
        yield from _quorum(inventory, name, quorum)


def _at(name: str, setting: Setting | None, section: Section | None = None) -> str:
    line = setting.line if setting else section.line if section else 0
    return f"{name}:{line}" if line else name


def _unknown(name: str, section: Section, path: str) -> Iterator[Finding]:
    tables = known()["corosync"]
    for setting in section.settings:
        keys = tables.get(path, [])
        if not any(fnmatchcase(setting.key, key) for key in keys):
            where = f"in {path}" if path else "outside of all sections"
            reason = (
                f"{quoted(setting.key)} is no key {where}, and corosync passes over it{did_you_mean(setting.key, keys)}"
            )
            yield Finding(_at(name, setting), "corosync-key-unknown", reason)
    for inner in section.sections:
        here = f"{path}.{inner.name}" if path else inner.name
        if here in tables:
            yield from _unknown(name, inner, here)
        else:
            hint = did_you_mean(here, tables)
            reason = f"{quoted(here)} is no section, and corosync passes over it{hint}"
            yield Finding(_at(name, None, inner), "corosync-section-unknown", reason)


def _nodes(inventory: Inventory, name: str, root: Section) -> Iterator[Finding]:
    hosts = {host.name: host for host in inventory.hosts}
    first: dict[str, str] = {}
    found = set()
    for node in root.within("nodelist.node"):
        called = node.value("name")
        found.add(called)
        if called not in hosts:
            reason = f"{quoted(called)} is no host of the inventory: Pacemaker would not know it by its `uname -n`"
            yield Finding(_at(name, node.get("name"), node), "corosync-node-unknown", reason)
        for setting in node.settings:
            if setting.key.startswith("ring"):
                if setting.value in first:
                    reason = f"{setting.value} is {first[setting.value]} too: give each link an address of its own"
                    yield Finding(_at(name, setting), "address-twice", reason)
                first.setdefault(setting.value, f"{called}'s {setting.key}")
        host = hosts.get(called)
        if host and [_value(node, "ring0_addr"), _value(node, "ring1_addr")] != [
            host.backplane.address,
            host.service.address,
        ]:
            reason = f"the addresses of {called} are not the inventory's, the backplane's first: render it again"
            yield Finding(_at(name, None, node), "corosync-node-address", reason)
    for missing in sorted(hosts.keys() - found):
        yield Finding(name, "corosync-node-missing", f"{missing} is not in the nodelist, and could not join")


def _value(node: Section, key: str) -> IPv4Address | None:
    try:
        return IPv4Address(node.value(key))
    except AddressValueError:
        return None


def _links(name: str, root: Section) -> Iterator[Finding]:
    for node in root.within("nodelist.node"):
        if len([setting for setting in node.settings if setting.key.startswith("ring")]) < 2:
            reason = (
                "with one link a pulled cable looks like a dead host, and one is fenced: give ring0_addr and ring1_addr"
            )
            yield Finding(_at(name, None, node), "single-link", reason)


def _totem(name: str, root: Section) -> Iterator[Finding]:
    totem = root.first("totem")
    if totem is None:
        return
    for key in ("crypto_cipher", "crypto_hash"):
        if totem.value(key) in ("", "none") and totem.value("secauth") != "on":
            reason = f"without {key} whoever reaches the port can join or forge a host: set aes256 and sha256"
            yield Finding(_at(name, totem.get(key), totem), "corosync-plain", reason)
    for text in filter(None, [totem.value("key")]):
        reason = f"the key itself ({len(text)} characters) stands here: keep it in /etc/corosync/authkey"
        yield Finding(_at(name, totem.get("key")), "secret-inline", reason)
    token = _whole(totem.value("token")) or 3000
    if token < SHORT_TOKEN:
        reason = f"a busy host misses {token} ms and is fenced for it: {SHORT_TOKEN} or more"
        yield Finding(_at(name, totem.get("token")), "token-short", reason, refuses=False)
    for interface in totem.within("interface"):
        patience = _whole(interface.value("knet_ping_timeout"))
        if patience >= token:
            reason = (
                f"a link is given up after {patience} ms, the host itself after {token}: the second link would never "
            )
            reason += "be used. Leave it out (token / 2), or make it smaller"
            yield Finding(_at(name, interface.get("knet_ping_timeout")), "token-below-link", reason)


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _quorum(inventory: Inventory, name: str, quorum: Section) -> Iterator[Finding]:
    device = quorum.first("device")
    two_node = quorum.get("two_node")
    alone = two_node is not None and two_node.value == "1"
    if device and alone:
        reason = "two_node gives a host that is left alone quorum by itself, whatever the arbitrator says: remove it"
        yield Finding(_at(name, two_node), "two-node-with-arbitrator", reason)
    if inventory.arbitrator and device is None:
        reason = "the inventory has an arbitrator, and nobody asks it: add quorum.device, or render it again"
        yield Finding(_at(name, None, quorum), "qdevice-missing", reason)
    if device is None and not alone:
        reason = "without a device and without two_node the loss of one host stops the other: render it again"
        yield Finding(_at(name, None, quorum), "quorum-of-one-missing", reason)
    if device is not None:
        yield from _device(inventory, name, device)


def _device(inventory: Inventory, name: str, device: Section) -> Iterator[Finding]:
    if device.value("model") != "net":
        reason = f"there is no model {quoted(device.value('model'))}: set net"
        yield Finding(_at(name, device.get("model"), device), "qdevice-model", reason)
    net = device.first("net")
    if net is None:
        yield Finding(_at(name, None, device), "qdevice-model", "the section net is missing: nobody would be asked")
        return
    if net.value("algorithm") != "ffsplit":
        reason = f"{quoted(net.value('algorithm'))} does not settle a split of two hosts: set ffsplit"
        yield Finding(_at(name, net.get("algorithm"), net), "qdevice-algorithm", reason)
    if device.value("votes") not in ("", "1"):
        reason = "with ffsplit the arbitrator has one vote; with more it would outvote both hosts"
        yield Finding(_at(name, device.get("votes")), "qdevice-votes", reason)
    if net.value("tls") not in ("on", "required"):
        reason = "without TLS whoever answers on that address decides who has quorum: set tls to required"
        yield Finding(_at(name, net.get("tls"), net), "qdevice-plain", reason)
    if inventory.arbitrator and net.value("host") != str(inventory.arbitrator.address):
        reason = f"the inventory's arbitrator is {inventory.arbitrator.address}: set that, or render it again"
        yield Finding(_at(name, net.get("host"), net), "qdevice-host", reason)
