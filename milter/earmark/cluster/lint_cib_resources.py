"""What is wrong with the resources of a CIB: agents and their parameters, operations, and meta attributes."""

import re
from collections.abc import Iterator

from earmark.cluster.cib_file import Cib, Resource, found
from earmark.cluster.files import Files, Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.known import agents, fence_agents, known
from earmark.cluster.xml_lines import Element
from earmark.config.problems import did_you_mean, quoted

_SECRETS = frozenset({"password", "passwd", "snmp_priv_passwd", "community"})
_WHOLE_SECONDS = re.compile(r"(\d{1,9}) ?(?:s|sec|)", re.ASCII)
_DRBD = "ocf:linbit:drbd"
_GUEST = "ocf:heartbeat:VirtualDomain"
_DRBD_META = {"promotable": "true", "notify": "true", "clone-max": "2", "promoted-max": "1"}
"""What ocf:linbit:drbd asks for, and its metadata do not say. promoted-max is Pacemaker's default."""


def lint_resources(inventory: Inventory, files: Files, cib: Cib) -> Iterator[Finding]:
    """Find what is wrong with the resources."""
    for resource in cib.resources:
        yield from _agent(resource)
        yield from _meta(resource)
        yield from _monitors(resource)
    for resource in cib.of_agent(_DRBD):
        yield from _drbd(inventory, resource)
    for resource in cib.of_agent(_GUEST):
        yield from _guest(inventory, files, resource)
    yield from _pings(inventory, cib)
    yield from _service(cib)


def _agent(resource: Resource) -> Iterator[Finding]:
    for name in sorted(_SECRETS & resource.parameters.keys()):
        reason = f"{name} stands here for all who may read the CIB: use password_script"
        yield found(resource.parameters[name], "secret-inline", reason)
    standard, _, kind = resource.agent.partition(":")
    if standard == "systemd":
        return
    agent = agents().get(resource.agent)
    if agent is None:
        if standard != "stonith" or kind not in fence_agents():
            names = [*agents(), *(f"stonith:{name}" for name in fence_agents())]
            reason = f"{quoted(resource.agent)} is none that a cluster of ours has{did_you_mean(resource.agent, names)}"
            yield found(resource.element, "agent-unknown", reason)
        return
    for name, pair in resource.parameters.items():
        if name not in agent.parameters:
            hint = did_you_mean(name, agent.parameters)
            reason = f"{resource.agent} has no parameter {quoted(name)}, and passes over it{hint}"
            yield found(pair, "agent-parameter-unknown", reason)
    for name in sorted(agent.required - resource.parameters.keys()):
        yield found(resource.element, "agent-parameter-missing", f"{resource.agent} needs the parameter {name}")


def _meta(resource: Resource) -> Iterator[Finding]:
    names = known()["pacemaker"]["meta_attributes"]
    for name, pair in resource.meta.items():
        if name not in names:
            reason = f"Pacemaker has no meta attribute {quoted(name)}, and passes over it{did_you_mean(name, names)}"
            yield found(pair, "meta-attribute-unknown", reason)
    target = resource.meta.get("target-role")
    if target and target.get("value") not in ("Started", "Promoted", "Master"):
        yield found(target, "cluster-suspended", f"{resource.id} stays {target.get('value')}: remove target-role")
    managed = resource.meta.get("is-managed")
    if managed and not resource.is_set("is-managed"):
        yield found(managed, "cluster-suspended", f"nobody looks after {resource.id}: remove is-managed")


def _monitors(resource: Resource) -> Iterator[Finding]:
    monitors = resource.operations("monitor")
    if not monitors:
        reason = f"nobody would notice that {resource.id} has failed: add an operation monitor"
        yield found(resource.element, "monitor-missing", reason)
    seen: set[str] = set()
    for monitor in monitors:
        if monitor.get("interval") in seen:
            reason = (
                f"two monitors of {resource.id} have one interval, and Pacemaker keeps one of them: make them differ"
            )
            yield found(monitor, "monitor-same-interval", reason)
        seen.add(monitor.get("interval"))
    if resource.is_set("promotable"):
        roles = {monitor.get("role") for monitor in monitors}
        if not roles & {"Promoted", "Master"}:
            reason = f"the promoted {resource.id} is not looked at: add a monitor with role Promoted"
            yield found(resource.element, "monitor-missing", reason)


def _drbd(inventory: Inventory, resource: Resource) -> Iterator[Finding]:
    for name, wanted in _DRBD_META.items():
        pair = resource.meta.get(name)
        value = pair.get("value") if pair else {"promoted-max": "1"}.get(name, "")
        if value != wanted:
            yield found(pair or resource.element, "drbd-clone", f"the disk's clone needs {name} = {wanted}")
    if resource.value("drbd_resource") != inventory.name:
        reason = f"the rendered DRBD resource is called {inventory.name}: it would not be found"
        yield found(resource.parameters.get("drbd_resource", resource.element), "drbd-resource-unknown", reason)


def _guest(inventory: Inventory, files: Files, resource: Resource) -> Iterator[Finding]:
    if resource.is_set("allow-migrate"):
        reason = "a disk with one primary cannot be open on two hosts, which live migration takes: set it to false"
        yield found(resource.meta["allow-migrate"], "migration-allowed", reason)
    for name in ("config", "monitor_scripts"):
        for path in resource.value(name).split():
            for host in inventory.hosts:
                if f"{host.name}{path}" not in files:
                    reason = f"{path} is not among {host.name}'s files: the guest would not start there"
                    yield found(resource.parameters[name], "guest-file-missing", reason)
    if "monitor_scripts" not in resource.parameters:
        reason = "a guest that hangs counts as well, for QEMU runs: name a probe in monitor_scripts"
        yield found(resource.element, "guest-unprobed", reason)
    guest = inventory.guest
    if guest is None:
        return
    start, stop = (_timeout(resource, name) for name in ("start", "stop"))
    if start is not None and start[1] < 2 * guest.boot:
        reason = f"a guest that boots in {guest.boot} s may need twice that after a crash: {2 * guest.boot}s or more"
        yield found(start[0], "start-timeout-short", reason)
    if stop is not None and stop[1] <= guest.shutdown:
        reason = f"the guest takes {guest.shutdown} s to shut down, and then its host would be fenced: more than that"
        yield found(stop[0], "stop-timeout-short", reason)


def _timeout(resource: Resource, name: str) -> tuple[Element, int] | None:
    """Return an operation and its time-out in seconds, Pacemaker's 20 where none is set, None where it is no number."""
    operation = next(iter(resource.operations(name)), resource.element)
    match = _WHOLE_SECONDS.fullmatch(operation.get("timeout") or "20s")
    return (operation, int(match[1])) if match else None


def _pings(inventory: Inventory, cib: Cib) -> Iterator[Finding]:
    for resource in cib.of_agent("ocf:pacemaker:ping"):
        wanted = {str(address) for address in inventory.ping}
        if set(resource.value("host_list").split()) != wanted:
            reason = f"the inventory's ping targets are {' '.join(sorted(wanted))}: render it again"
            yield found(resource.parameters.get("host_list", resource.element), "ping-differs", reason)


def _service(cib: Cib) -> Iterator[Finding]:
    service = cib.service
    if service is None:
        root = cib.root.first("resources") or cib.root
        yield found(
            root, "service-missing", "neither a guest nor a group with an address: nothing would be kept running"
        )
        return
    if "failure-timeout" not in service.meta:
        reason = f"a failure of {service.id} is never forgotten, so after some months it moves: set failure-timeout"
        yield found(service.element, "failure-timeout-missing", reason)
    threshold = service.meta.get("migration-threshold")
    if threshold is None or threshold.get("value") in ("0", "INFINITY"):
        reason = f"{service.id} would be restarted for ever where it cannot run: set migration-threshold to 3"
        yield found(threshold or service.element, "migration-threshold-missing", reason)
    stickiness = service.meta.get("resource-stickiness")
    if stickiness is None or stickiness.get("value") == "0":
        reason = "a host that comes back would take the service from one on which it runs: set resource-stickiness"
        yield found(stickiness or service.element, "stickiness-missing", reason)
