"""What is wrong with the constraints and fencing levels of a CIB."""

from collections.abc import Iterator

from earmark.cluster.cib_file import Cib, Resource, found
from earmark.cluster.files import Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.xml_lines import Element

_PROMOTED = ("Promoted", "Master")
_DRBD_SCORE = 10_000
"""The promotion score that ocf:linbit:drbd gives a disk that is up to date."""
_INFINITY = 1_000_000


def lint_placement(inventory: Inventory, cib: Cib) -> Iterator[Finding]:
    """Find what is wrong with where things may run, and with who cuts whose power."""
    for location in cib.root.all("rsc_location"):
        yield from _promotion(cib, location)
    yield from _together(cib)
    yield from _fails_back(cib)
    for host in inventory.hosts:
        yield from _fencing(cib, host.name)


def score(text: str) -> int | None:
    """Return a score as Pacemaker reads it, None where it is none."""
    sign = -1 if text.startswith("-") else 1
    number = text.lstrip("+-")
    if number.upper() == "INFINITY":
        return sign * _INFINITY
    return sign * min(int(number[:9]), _INFINITY) if number.isascii() and number.isdigit() else None


def _storage(cib: Cib) -> Resource | None:
    return next((resource for resource in cib.resources if resource.is_set("promotable")), None)


def _promotion(cib: Cib, location: Element) -> Iterator[Finding]:
    """Look at what a location constraint makes of the promoted role."""
    storage, service = _storage(cib), cib.service
    whose = location.get("rsc")
    of_storage = storage is not None and whose in storage.names
    rules = list(location.only("rule"))
    for one in rules or [location]:
        promoted = (one.get("role") or location.get("role")) in _PROMOTED
        points = score(one.get("score"))
        if promoted and (one.get("score-attribute") or (points is not None and points > 0)):
            reason = (
                "points for the promoted role let Pacemaker promote a disk that is outdated: prefer a host for the "
            )
            reason += "guest, not for the disk"
            yield found(one, "promoted-score-positive", reason)
    whole = of_storage or (service is not None and whose in service.names)
    for rule in rules:
        points = score(rule.get("score"))
        if (
            whole
            and points is not None
            and points <= -_DRBD_SCORE
            and any(map(_asks_for_network, rule.all("expression")))
        ):
            reason = (
                f"{rule.get('score')} stops the service on both hosts when only the gateway is lost: set -5000, which "
            )
            reason += f"is less than the disk's {_DRBD_SCORE}"
            yield found(rule, "ping-rule-infinite", reason)


def _asks_for_network(expression: Element) -> bool:
    return expression.get("attribute") in ("pingd", "ping")


def _together(cib: Cib) -> Iterator[Finding]:
    """Hold that the service is where the disk is primary, and starts after it is."""
    storage, service = _storage(cib), cib.service
    if storage is None or service is None:
        return
    where = cib.root.first("constraints") or cib.root
    if not any(
        one.get("rsc") in service.names
        and one.get("with-rsc") in storage.names
        and one.get("with-rsc-role") in _PROMOTED
        and score(one.get("score")) == _INFINITY
        for one in cib.root.all("rsc_colocation")
    ):
        reason = (
            "the service could be started where the disk is not primary: colocate it with the promoted role, INFINITY"
        )
        yield found(where, "colocation-missing", reason)
    if not any(
        one.get("first") in storage.names
        and one.get("first-action") == "promote"
        and one.get("then") in service.names
        and one.get("kind") in ("", "Mandatory")
        for one in cib.root.all("rsc_order")
    ):
        reason = "the service could be started before the disk is primary: order promote before start, Mandatory"
        yield found(where, "order-missing", reason)


def _fails_back(cib: Cib) -> Iterator[Finding]:
    service = cib.service
    if service is None:
        return
    pair = service.meta.get("resource-stickiness")
    stays = score(pair.get("value")) if pair else 0
    for location in cib.root.all("rsc_location"):
        points = score(location.get("score"))
        if location.get("rsc") in service.names and points is not None and stays and points >= stays:
            reason = (
                f"{points} points against a stickiness of {stays}: the service moves back as soon as the host is up, "
            )
            reason += "with an outage for nothing"
            yield found(location, "fails-back", reason, refuses=False)


def _fencing(cib: Cib, host: str) -> Iterator[Finding]:
    devices = {resource.id: resource for resource in cib.resources if resource.agent.startswith("stonith:")}
    levels = [level for level in cib.root.all("fencing-level") if level.get("target") == host]
    where = cib.root.first("fencing-topology") or cib.root
    named = [device for level in levels for device in level.get("devices").replace(" ", "").split(",")]
    reaching = {
        name for name, device in devices.items() if host in device.value("pcmk_host_list").replace(",", " ").split()
    }
    if not reaching:
        yield found(where, "fencing-missing", f"no device has {host} in its pcmk_host_list: it cannot be fenced")
    elif len({level.get("index") for level in levels}) < 2:
        reason = f"{host} has fewer than two fencing levels: where one device is away, fail-over waits for a person"
        yield found(where, "fencing-one-level", reason, refuses=False)
    for level in levels:
        for device in level.get("devices").replace(" ", "").split(","):
            if device not in devices:
                yield found(level, "fencing-device-unknown", f"there is no device {device}: this level would fail")
            elif device not in reaching:
                reason = f"{device} is for {devices[device].value('pcmk_host_list') or 'nobody'}, not for {host}"
                yield found(level, "fencing-wrong-host", reason)
    for device in sorted(reaching & devices.keys()):
        if levels and device not in named:
            yield found(
                devices[device].element, "fencing-device-unused", f"no level of {host} names {device}", refuses=False
            )
        if not any(
            one.get("rsc") == device and one.get("node") == host and score(one.get("score")) == -_INFINITY
            for one in cib.root.all("rsc_location")
        ):
            reason = f"{device} may run on {host}, which cannot watch its own power: forbid it there, -INFINITY"
            yield found(devices[device].element, "fencing-on-target", reason, refuses=False)
