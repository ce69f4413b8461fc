"""What does not fit together in an inventory: addresses, links and ping targets."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from earmark.cluster.files import Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.lint_inventory import At


class _Used(NamedTuple):
    address: IPv4Address
    whose: str
    where: str
    network: IPv4Network | None
    """That it must be in."""


def lint_addresses(inventory: Inventory, at: At) -> Iterator[Finding]:
    """Find what is wrong with the networks, and with what stands in them."""
    used = [*_used(inventory, at)]
    yield from _networks(inventory, at)
    yield from _twice(used)
    for one in used:
        yield from _outside(one)
    yield from _pings(inventory, at)
    yield from _macs(inventory, at)
    yield from _bridges(inventory, at)


def _used(inventory: Inventory, at: At) -> Iterator[_Used]:
    yield _Used(inventory.gateway, "the gateway", at("gateway"), inventory.service)
    for number, host in enumerate(inventory.hosts):
        here = "hosts", number
        yield _Used(
            host.backplane.address, f"{host.name}'s backplane", at(*here, "backplane", "address"), inventory.backplane
        )
        yield _Used(host.service.address, f"{host.name}'s bridge", at(*here, "service", "address"), inventory.service)
    if inventory.arbitrator:
        yield _Used(inventory.arbitrator.address, "the arbitrator", at("arbitrator", "address"), None)
    if inventory.guest:
        yield _Used(inventory.guest.address, "the guest", at("guest", "address"), inventory.service)
    if inventory.group:
        yield _Used(inventory.group.address, "the service", at("group", "address"), inventory.service)


def _networks(inventory: Inventory, at: At) -> Iterator[Finding]:
    if inventory.backplane.overlaps(inventory.service):
        yield Finding(
            at("backplane"),
            "single-link",
            "backplane and service network overlap: it takes two links that fail by themselves, so two networks",
        )
    for number, host in enumerate(inventory.hosts):
        if host.backplane.interface in (host.service.interface, host.service.bridge):
            yield Finding(
                at("hosts", number, "backplane", "interface"),
                "single-link",
                f"both links of {host.name} are {host.backplane.interface}: give the backplane an interface of its own",
            )
    if inventory.arbitrator and inventory.arbitrator.address in inventory.backplane:
        yield Finding(
            at("arbitrator", "address"),
            "arbitrator-on-backplane",
            "the backplane is between the hosts alone, and its loss must not cost the arbitrator: use another network",
        )


def _twice(used: list[_Used]) -> Iterator[Finding]:
    first: dict[IPv4Address, str] = {}
    for address, whose, where, _ in used:
        if address in first:
            yield Finding(where, "address-twice", f"{address} is {whose} and {first[address]}: give each its own")
        first.setdefault(address, whose)


def _outside(one: _Used) -> Iterator[Finding]:
    if one.network is None:
        return
    if one.address not in one.network:
        yield Finding(one.where, "address-outside", f"{one.whose} is {one.address}, which is not in {one.network}")
    elif one.network.prefixlen < 31 and one.address in (one.network.network_address, one.network.broadcast_address):
        yield Finding(one.where, "address-reserved", f"{one.address} is no host's: it stands for all of {one.network}")


def _pings(inventory: Inventory, at: At) -> Iterator[Finding]:
    ours = {host.backplane.address: host.name for host in inventory.hosts}
    ours |= {host.service.address: host.name for host in inventory.hosts}
    service = inventory.guest or inventory.group
    if service:
        ours[service.address] = "the service"
    for number, address in enumerate(inventory.ping):
        where = at("ping", number)
        if address in ours:
            yield Finding(
                where, "ping-ourselves", f"{address} is {ours[address]}, and says nothing about the network: ask others"
            )
        elif address not in inventory.service:
            reason = f"{address} is not in {inventory.service}: routers behind the gateway would move the service"
            yield Finding(where, "ping-outside", reason, refuses=False)
        if address in inventory.ping[:number]:
            yield Finding(where, "ping-twice", f"{address} stands here twice, and would count twice")
    if len(inventory.ping) == 1:
        reason = "with one target its own maintenance moves the service: name a second one"
        yield Finding(at("ping"), "ping-single", reason, refuses=False)


def _macs(inventory: Inventory, at: At) -> Iterator[Finding]:
    used = [
        (host.service.mac, f"{host.name}'s bridge", at("hosts", number, "service", "mac"))
        for number, host in enumerate(inventory.hosts)
    ]
    if inventory.guest:
        used.append((inventory.guest.mac, "the guest", at("guest", "mac")))
    first: dict[str, str] = {}
    for mac, whose, where in used:
        if mac in first:
            reason = f"{mac} is {whose} and {first[mac]}: answers would reach either, so give each its own"
            yield Finding(where, "mac-twice", reason)
        first.setdefault(mac, whose)
        if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00" or mac.startswith("fe:"):
            reason = f"{mac} is no machine's: begin it with 02 (multicast, zero and libvirt's own fe are not to be had)"
            yield Finding(where, "mac-unusable", reason)


def _bridges(inventory: Inventory, at: At) -> Iterator[Finding]:
    if not inventory.guest:
        return
    for host in inventory.hosts:
        if host.service.bridge != inventory.guest.bridge:
            yield Finding(
                at("guest", "bridge"),
                "bridge-unknown",
                f"{host.name}'s bridge is {host.service.bridge}: the guest would not start there. Name both alike",
            )
