"""What does not fit together in an inventory: how a host's power is cut."""

from collections.abc import Iterator

from earmark.cluster.files import Finding
from earmark.cluster.inventory import Fencing, Host, Inventory
from earmark.cluster.known import agents, fence_agents, known
from earmark.cluster.lint_inventory import At
from earmark.config.problems import did_you_mean

_SECRETS = frozenset({"password", "passwd", "snmp_priv_passwd", "community"})
_KEYS = frozenset({"identity_file", "password_script", "snmp_priv_passwd_script"})
_GIVEN = frozenset({"password_script", "pcmk_host_list"})
"""Parameters that rendering adds."""


def lint_fencing(inventory: Inventory, at: At) -> Iterator[Finding]:
    """Find what is wrong with the fencing devices."""
    for number, host in enumerate(inventory.hosts):
        where = at("hosts", number, "fencing") if host.fencing else at("hosts", number, "name")
        yield from _levels(host, where)
        for level, device in enumerate(host.fencing):
            yield from _device(device, lambda *keys, at=at, n=number, lv=level: at("hosts", n, "fencing", lv, *keys))
            yield from _shared(inventory, host, device, at("hosts", number, "fencing", level, "parameters"))


def _levels(host: Host, where: str) -> Iterator[Finding]:
    if not host.fencing:
        reason = f"nothing can cut {host.name}'s power, so nothing may take over from it: add [[hosts.fencing]]"
        yield Finding(where, "fencing-missing", reason)
        return
    boards = known()["fencing"]["on_board"]
    if all(device.agent in boards for device in host.fencing):
        yield Finding(
            where,
            "fencing-shares-power",
            f"{host.name}'s board dies with its power supply, and fail-over then waits for a person: add a switched "
            "socket as the second level",
            refuses=False,
        )
    elif len(host.fencing) < 2:
        reason = f"{host.name} has one level: where that device is away, fail-over waits for a person. Add a second"
        yield Finding(where, "fencing-one-level", reason, refuses=False)
    points = [_point(device) for device in host.fencing]
    if len(set(points)) < len(points):
        reason = f"two levels of {host.name} are the same device: the second fails where the first does"
        yield Finding(where, "fencing-same-device", reason)


def _point(device: Fencing) -> tuple[str, str]:
    """Return what tells one thing that cuts power from another: where it listens, and which outlet."""
    outlet = device.parameters.get("plug", "") or device.parameters.get("port", "")
    address = device.parameters.get("ip", "") or device.parameters.get("ipaddr", "")
    return address or device.parameters.get("devices", ""), outlet


def _device(device: Fencing, at: At) -> Iterator[Finding]:
    where = at("agent")
    if device.agent not in fence_agents():
        hint = did_you_mean(device.agent, fence_agents())
        yield Finding(where, "agent-unknown", f"Debian has no {device.agent}{hint}")
    elif device.agent in known()["fencing"]["not_power"]:
        yield Finding(where, "fencing-not-power", f"{device.agent} cuts no power: use the host's board or its socket")
    for name in sorted(_SECRETS & device.parameters.keys()):
        yield Finding(
            at("parameters", name), "secret-inline", f"{name} stands here for all to read: name a password_file instead"
        )
    if "username" in device.parameters and not device.password_file and not _KEYS & device.parameters.keys():
        yield Finding(where, "fencing-no-password", "there is a user and no password_file: the device will refuse")
    if device.agent.startswith("fence_ipmilan") and device.parameters.get("method") != "onoff":
        reason = 'fence_ipmilan may report success before the power is off: set method = "onoff"'
        yield Finding(where, "fencing-cycle", reason, refuses=False)
    yield from _parameters(device, at)


def _parameters(device: Fencing, at: At) -> Iterator[Finding]:
    agent = agents().get(f"stonith:{device.agent}")
    if agent is None:
        return
    for name in device.parameters:
        if name not in agent.parameters:
            hint = did_you_mean(name, agent.parameters)
            reason = f"{device.agent} has no parameter {name}{hint}"
            yield Finding(at("parameters", name), "agent-parameter-unknown", reason)
    for name in sorted(agent.required - device.parameters.keys() - _GIVEN):
        yield Finding(at("parameters"), "agent-parameter-missing", f"{device.agent} needs the parameter {name}")


def _shared(inventory: Inventory, host: Host, device: Fencing, where: str) -> Iterator[Finding]:
    address, outlet = _point(device)
    if not address:
        return
    peer = inventory.peer(host.name) if len({one.name for one in inventory.hosts}) > 1 else host
    if peer is not host and any(_point(other) == (address, outlet) for other in peer.fencing):
        what = f"outlet {outlet} of {address}" if outlet else address
        reason = f"{what} is {peer.name}'s too: fencing one would cut the other"
        yield Finding(where, "fencing-wrong-host", reason)
    ours = {str(link.address) for one in inventory.hosts for link in (one.backplane, one.service)}
    if address in ours:
        reason = f"{address} is a host's own address: what is fenced cannot be asked to do it"
        yield Finding(where, "fencing-through-host", reason)
