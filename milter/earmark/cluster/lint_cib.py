"""What is wrong with a CIB that crm_verify lets pass: its properties, and values that it reads as something else."""

import re
from collections.abc import Iterator

from earmark.cluster.cib_file import NAME, Cib, found
from earmark.cluster.files import Files, Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.known import known
from earmark.cluster.lint_cib_placement import lint_placement
from earmark.cluster.lint_cib_resources import lint_resources
from earmark.cluster.lint_timers import FEW_ATTEMPTS, LONG_RECHECK
from earmark.cluster.xml_lines import Element, Syntax, read_xml
from earmark.config.problems import did_you_mean, quoted

_TIME = re.compile(r"\s*(\d{1,12})\s*(us|usec|ms|msec|s|sec|m|min|h|hr|)\s*", re.ASCII | re.IGNORECASE)
_UNITS = {"us": 1e-6, "usec": 1e-6, "ms": 1e-3, "msec": 1e-3, "m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}
_ISO_TIME = re.compile(r"P[0-9YMWDTHS]{1,30}", re.ASCII)
_TIMED_META = frozenset({"failure-timeout"})
_TIMED_PROPERTIES = frozenset(
    {"cluster-recheck-interval", "stonith-timeout", "cluster-delay", "dc-deadtime", "priority-fencing-delay",
     "election-timeout", "shutdown-escalation", "join-integration-timeout", "join-finalization-timeout"}
)  # fmt: skip


def seconds(text: str) -> float | None:
    """Return a time as Pacemaker reads it, None where it reads none: it then takes 0 or its default, and goes on."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    return int(match[1]) * _UNITS.get(match[2].lower(), 1.0)


def lint_cib(inventory: Inventory, files: Files) -> Iterator[Finding]:
    """Find what is wrong with cluster/cib.xml."""
    if NAME not in files:
        yield Finding(NAME, "file-missing", "without it Pacemaker runs nothing: render it")
        return
    read = read_xml(files[NAME].text)
    if isinstance(read, Syntax):
        yield Finding(f"{NAME}:{read.line}", "cib-syntax", f"this is not XML: {read.reason}")
        return
    cib = Cib(read)
    yield from _document(inventory, cib)
    yield from _properties(cib)
    yield from _gives_up(cib)
    yield from _times(cib)
    yield from lint_resources(inventory, files, cib)
    yield from lint_placement(inventory, cib)


def _document(inventory: Inventory, cib: Cib) -> Iterator[Finding]:
    if cib.root.get("validate-with") in ("", "none"):
        reason = "without a schema crm_verify looks at next to nothing: set validate-with to pacemaker-3.9"
        yield found(cib.root, "cib-unvalidated", reason)
    names = {node.get("uname"): node for node in cib.root.all("node") if node.get("uname")}
    hosts = {host.name for host in inventory.hosts}
    for name in sorted(names.keys() - hosts):
        yield found(names[name], "cib-node-unknown", f"{quoted(name)} is no host of the inventory")
    for name in sorted(hosts - names.keys()):
        yield found(cib.root, "cib-node-missing", f"{name} is not among the nodes")


def _properties(cib: Cib) -> Iterator[Finding]:
    for name, pair in cib.properties.items():
        if name not in known()["pacemaker"]["properties"]:
            hint = did_you_mean(name, known()["pacemaker"]["properties"])
            reason = f"Pacemaker has no property {quoted(name)}, and passes over it{hint}"
            yield found(pair, "cluster-property-unknown", reason)
    yield from _must_be(
        cib, "stonith-enabled", ("true", "yes", "on", "y", "1"), "stonith-off",
        "without fencing two hosts can run the service on the same disk: set stonith-enabled to true",
    )  # fmt: skip
    yield from _must_be(
        cib, "start-failure-is-fatal", ("false", "no", "off", "n", "0"), "start-failure-fatal",
        "one failed start would bar the host until a person cleans up: set start-failure-is-fatal to false",
    )  # fmt: skip
    yield from _must_be(
        cib, "no-quorum-policy", ("stop", "suicide"), "no-quorum-ignored",
        "a host without quorum must give up the service, for the other one has it: set no-quorum-policy to stop",
    )  # fmt: skip
    for name in ("maintenance-mode", "stop-all-resources"):
        switch = cib.properties.get(name)
        if switch and switch.get("value").lower() in ("true", "yes", "on", "y", "1"):
            yield found(switch, "cluster-suspended", f"with {name} the cluster keeps nothing running: set it to false")


def _must_be(cib: Cib, name: str, values: tuple[str, ...], code: str, reason: str) -> Iterator[Finding]:
    pair = cib.properties.get(name)
    if pair is None or pair.get("value").lower() not in values:
        yield found(pair or cib.root.first("crm_config") or cib.root, code, reason)


def _gives_up(cib: Cib) -> Iterator[Finding]:
    """Fencing that fails is tried stonith-max-attempts times, about once a second, and then at the next recheck."""
    config = cib.root.first("crm_config") or cib.root
    pair = cib.properties.get("stonith-max-attempts")
    attempts = pair.get("value") if pair else "10"
    if not attempts.isdigit() or int(attempts[:9]) < FEW_ATTEMPTS:
        reason = f"after {attempts} attempts, seconds, fencing gives up, and nothing runs: {FEW_ATTEMPTS} or more"
        yield found(pair or config, "fencing-gives-up", reason)
    pair = cib.properties.get("cluster-recheck-interval")
    recheck = seconds(pair.get("value")) if pair else 900
    if recheck is not None and not 0 < recheck <= LONG_RECHECK:
        reason = f"once fencing has given up, nothing happens for {recheck:.0f} s: {LONG_RECHECK} s or less"
        yield found(pair or config, "recheck-long", reason)


def _times(cib: Cib) -> Iterator[Finding]:
    timed: list[tuple[Element, str, str]] = []
    for operation in cib.root.all("op"):
        timed += [(operation, key, operation.get(key)) for key in ("interval", "timeout", "start-delay")]
    for name in _TIMED_PROPERTIES & cib.properties.keys():
        timed.append((cib.properties[name], name, cib.properties[name].get("value")))
    for pair in cib.root.all("nvpair"):
        if pair.get("name") in _TIMED_META:
            timed.append((pair, pair.get("name"), pair.get("value")))
    for element, name, text in timed:
        if text and seconds(text) is None and not _ISO_TIME.fullmatch(text):
            reason = f"{quoted(text)} is no time, and Pacemaker takes 0 or its default for {name}: write 15s"
            yield found(element, "interval-bad", reason)
