"""The cluster information base (CIB): what Pacemaker runs where, and when it fences (docs/cluster-policy.md)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from earmark.cluster.inventory import Fencing, Group, Guest, Host, Inventory
from earmark.cluster.templates import fill

SERVICE = "service"
"""Id of what moves between the hosts: the guest, or the group."""
STORAGE = "storage"
"""Id of the replicated disk; its promotable clone is STORAGE_CLONE."""
STORAGE_CLONE = "storage-clone"
DRBD_DEVICE = "/dev/drbd0"
"""The one replicated disk. Its DRBD resource has the cluster's name."""
GUEST_PROBE = "/usr/local/sbin/earmark-guest-probe"
"""On the hosts: exits with 0 while the guest's SMTP server answers."""
FILTER_UNIT = "earmark.service"
PER_TARGET = 1000
"""What one ping target that answers adds to the attribute `pingd`."""


def guest_definition(guest: Guest) -> str:
    """Return where the hosts keep the guest's libvirt definition. Not below /etc/libvirt, whose daemon would own it."""
    return f"/etc/pacemaker/{guest.name}.xml"


class Agent(NamedTuple):
    """A resource agent with its parameters."""

    name: str
    """Such as "ocf:linbit:drbd", "systemd:postfix" or "stonith:fence_ipmilan"."""
    parameters: Mapping[str, str]

    @property
    def identity(self) -> dict[str, str]:
        """The attributes of a primitive that name the agent."""
        standard, *provider, kind = self.name.split(":")
        return {"class": standard, **dict.fromkeys(["provider"] if provider else [], *provider), "type": kind}


@dataclass(frozen=True)
class Agents:
    """Stand-ins for what only real hosts have, so that a laboratory runs the constraints that production runs."""

    stand_ins: Mapping[str, Agent] = field(default_factory=dict)
    """By the id of the resource whose agent they replace."""
    alerts: bool = True
    dc_deadtime: int | None = None
    """Seconds to wait for other hosts at start; None for Pacemaker's own 20."""


PRODUCTION = Agents()


def render_cib(inventory: Inventory, agents: Agents = PRODUCTION) -> str:
    """Return the whole CIB, for `cibadmin --replace --scope configuration` or as the first cib.xml of a host.

    Raises KeyError for a stand-in of a resource that this inventory does not have.
    """
    production = resource_agents(inventory)
    for unknown in agents.stand_ins.keys() - production.keys():
        raise KeyError(unknown)
    return fill(
        "cib.xml",
        inventory=inventory,
        agents={**production, **agents.stand_ins},
        devices={host.name: [device_id(host, level) for level in _levels(host)] for host in inventory.hosts},
        units={unit_id(unit): _unit_meta(inventory, unit) for unit in inventory.group.units} if inventory.group else {},
        properties=_properties(inventory, agents),
        per_target=PER_TARGET,
        alerts=agents.alerts,
    )


def resource_agents(inventory: Inventory) -> dict[str, Agent]:
    """Return the agent of each primitive resource, by its id."""
    targets = " ".join(str(target) for target in inventory.ping)
    found = {
        "ping": Agent(
            "ocf:pacemaker:ping",
            {
                "host_list": targets,
                "multiplier": str(PER_TARGET),
                "dampen": f"{inventory.timers.ping_dampen}s",
                "attempts": "3",
                "timeout": "2",
            },
        ),
        STORAGE: Agent("ocf:linbit:drbd", {"drbd_resource": inventory.name}),
    }
    if inventory.guest:
        found[SERVICE] = _guest_agent(inventory.guest)
    if inventory.group:
        found |= _group_agents(inventory, inventory.group)
    for host in inventory.hosts:
        for level in _levels(host):
            found[device_id(host, level)] = _fence_agent(inventory, host, host.fencing[level - 1])
    return found


def unit_id(unit: str) -> str:
    """Return the id of a systemd unit's resource: its name, without what an XML id may not have."""
    return re.sub(r"[@:]", "_", unit)


def device_id(host: Host, level: int) -> str:
    """Return the id of the fencing device that is asked in that turn, from 1, to cut the host's power."""
    return f"fence-{host.name}-{level}"


def _levels(host: Host) -> range:
    return range(1, len(host.fencing) + 1)


def _guest_agent(guest: Guest) -> Agent:
    return Agent(
        "ocf:heartbeat:VirtualDomain",
        {
            "config": guest_definition(guest),
            "hypervisor": "qemu:///system",
            "monitor_scripts": GUEST_PROBE,
            "force_stop": "false",
            "autoset_utilization_cpu": "false",
            "autoset_utilization_hv_memory": "false",
            "autoset_utilization_host_memory": "false",
        },
    )


def _group_agents(inventory: Inventory, group: Group) -> dict[str, Agent]:
    address = {"ip": str(group.address), "cidr_netmask": str(inventory.service.prefixlen)}
    bridges = {host.service.bridge for host in inventory.hosts}
    if len(bridges) == 1:  # else the agent finds the interface by the route
        address["nic"] = bridges.pop()
    return {
        "filesystem": Agent(
            "ocf:heartbeat:Filesystem", {"device": DRBD_DEVICE, "directory": group.mount, "fstype": "ext4"}
        ),
        "address": Agent("ocf:heartbeat:IPaddr2", address),
        **{unit_id(unit): Agent(f"systemd:{unit.removesuffix('.service')}", {}) for unit in group.units},
    }


def _fence_agent(inventory: Inventory, host: Host, device: Fencing) -> Agent:
    parameters = {**device.parameters, "pcmk_host_list": host.name, "pcmk_host_check": "static-list"}
    if device.password_file:
        parameters["password_script"] = device.password_file
    if not inventory.arbitrator and inventory.prefer == host.name:
        parameters["pcmk_delay_base"] = f"{_HEAD_START}s"
    return Agent(f"stonith:{device.agent}", parameters)


_HEAD_START = 2
"""Seconds that the preferred host has over the other where both shoot at once and neither runs the service."""


def _properties(inventory: Inventory, agents: Agents) -> dict[str, str]:
    timers = inventory.timers
    found = {
        "cluster-name": inventory.name,
        "stonith-enabled": "true",
        "stonith-action": "reboot",
        "stonith-timeout": f"{timers.fencing}s",
        "stonith-max-attempts": str(timers.fencing_attempts),
        "concurrent-fencing": "true",
        "no-quorum-policy": "stop",
        "start-failure-is-fatal": "false",
        "cluster-recheck-interval": f"{timers.recheck}s",
    }
    if not inventory.arbitrator:  # with one, a single side has quorum and shoots: a delay would only cost time
        found["priority-fencing-delay"] = f"{2 * _HEAD_START + 1}s"
    if agents.dc_deadtime is not None:
        found["dc-deadtime"] = f"{agents.dc_deadtime}s"
    return found


def _unit_meta(inventory: Inventory, unit: str) -> dict[str, str]:
    """Return meta attributes: a failing filter is started again where it is, unless it may move the service."""
    stays = unit == FILTER_UNIT and inventory.filter_failure == "alarm"
    return {"migration-threshold": "INFINITY"} if stays else {}
