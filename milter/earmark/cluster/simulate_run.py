"""A cluster as Pacemaker's scheduler sees it, moved on by crm_simulate.

crm_simulate runs the scheduler over a CIB with a status, and can pretend to carry out what the scheduler decides. It
knows no promotion scores and no ping results of its own: whoever simulates says them.
"""

import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

_DEADLINE = 30.0
"""Seconds for one run, which takes a twentieth of one."""


class SimulationError(Exception):
    """crm_simulate is missing, or has refused the CIB."""


class Action(NamedTuple):
    """What was done, or is to be done, to a resource on a host."""

    resource: str
    operation: str
    host: str


@dataclass(frozen=True, slots=True)
class Transition:
    """What the scheduler wants, and what of it was carried out."""

    done: Sequence[Action]
    """On resources; what is only waited for or blocked is not among them."""
    fenced: Sequence[str]
    places: Sequence[tuple[str, str, str]]
    """Resource, host and role, such as ("storage", "hosta", "Promoted"), afterwards."""
    unclean: Sequence[str]
    """Hosts that are to be fenced, afterwards."""
    free: Sequence[Action]
    """What may be done without waiting for any fencing."""

    @property
    def nothing(self) -> bool:
        """Whether the scheduler has found nothing that it could do."""
        return not self.done and not self.fenced


@dataclass(slots=True)
class Cluster:
    """A CIB with its status. Every method that moves it on replaces the CIB."""

    cib: ET.Element
    failing: list[str] = field(default_factory=list)
    """Operations that fail when they are tried: RESOURCE_OPERATION_MILLISECONDS@HOST=CODE."""

    def inject(self, *options: str) -> Transition:
        """Let something happen, and say what the scheduler would do, without doing it."""
        return self._run("--run", *options)

    def carry_out(self, *options: str) -> Transition:
        """Let something happen, and do what the scheduler wants then, up to the first operation that fails."""
        return self._run("--simulate", *options, *(f"--op-fail={operation}" for operation in self.failing))

    def _run(self, *options: str) -> Transition:
        with TemporaryDirectory(prefix="earmark-simulate-") as directory:
            before, after, graph = (Path(directory, name) for name in ("before.xml", "after.xml", "graph.xml"))
            ET.ElementTree(self.cib).write(before)
            command = ["crm_simulate", "--output-as=xml", f"--xml-file={before}", f"--save-output={after}"]
            command += [f"--save-graph={graph}", "-VVV", *options]
            said, logged = _output(command)
            self.cib = _parse(after.read_text(encoding="utf-8"))
            for resource, host in _EXPIRED.findall(logged):
                self._forget(resource, host)
            return _transition(_parse(said), _parse(graph.read_text(encoding="utf-8")))

    def _forget(self, resource: str, host: str) -> None:
        """Clear a fail count, which the scheduler asks for and crm_simulate leaves to the controller.

        Only where it has expired: it also asks for those that it has injected itself, since they have no digest.
        """
        state = self._state(host)
        for attributes in state.findall("transient_attributes/instance_attributes"):
            for found in attributes.findall("nvpair"):
                if found.get("name", "").startswith((f"fail-count-{resource}#", f"last-failure-{resource}#")):
                    attributes.remove(found)
        for history in state.iter("lrm_resource"):
            for found in history.findall(f"lrm_rsc_op[@id='{resource}_last_failure_0']"):
                history.remove(found)

    def set_attribute(self, host: str, name: str, value: str | None) -> None:
        """Set a transient attribute of a host that is up; None removes it."""
        state = self._state(host)
        identity = f"status-{state.get('id')}"
        transient = _child(state, "transient_attributes", state.get("id") or "")
        _set(_child(transient, "instance_attributes", identity), identity, name, value)

    def _state(self, host: str) -> ET.Element:
        return next(found for found in self.cib.iter("node_state") if found.get("uname") == host)

    def set_standby(self, host: str, *, standby: bool) -> None:
        """Relieve a host of its resources, or not."""
        node = next(found for found in self.cib.iter("node") if found.get("uname") == host)
        identity = f"nodes-{node.get('id')}"
        _set(_child(node, "instance_attributes", identity), identity, "standby", "on" if standby else None)

    def set_handlers_constraint(self, resource: str, clone: str, host: str) -> None:
        """Forbid to promote any host but this one, in the words of crm-fence-peer(.9).sh; "" takes that back."""
        identity = f"drbd-fence-by-handler-{resource}"
        constraints = next(self.cib.iter("constraints"))
        for old in constraints.findall(f"rsc_location[@id='{identity}-{clone}']"):
            constraints.remove(old)
        if not host:
            return
        location = ET.SubElement(constraints, "rsc_location", {"rsc": clone, "id": f"{identity}-{clone}"})
        words = {"role": "Master", "score": "-INFINITY", "id": f"{identity}-rule-{clone}"}
        words_of_it = {"attribute": "#uname", "operation": "ne", "value": host, "id": f"{identity}-expr-{clone}"}
        ET.SubElement(ET.SubElement(location, "rule", words), "expression", words_of_it)

    def set_quorum(self, *, quorum: bool) -> None:
        """Say whether the hosts that are up have quorum. (crm_simulate's own option is not heard by itself.)"""
        self.cib.set("have-quorum", str(int(quorum)))

    def age(self, seconds: int) -> None:
        """Let that much time pass since all that has happened so far."""
        for found in self.cib.iter():
            name = "value" if found.get("name", "").startswith("last-failure-") else "last-rc-change"
            if found.get(name, "").isdecimal():
                found.set(name, str(int(found.get(name, "0")) - seconds))

    def interval(self, resource: str, role: str = "") -> int:
        """Return milliseconds between two monitors of a resource. Raises LookupError where it has none."""
        for primitive in self.cib.iter("primitive"):
            if primitive.get("id") == resource:
                for found in primitive.iter("op"):
                    if found.get("name") == "monitor" and found.get("role", "") == role:
                        return int((found.get("interval") or "0s").removesuffix("s")) * 1000
        raise LookupError(f"{resource}: no such resource, or none that is monitored")

    def cluster_option(self, name: str) -> str:
        """Return a cluster property, "" where it is not set."""
        found = self.cib.find(f"configuration/crm_config//nvpair[@name='{name}']")
        return "" if found is None else found.get("value", "")

    def fencing_levels(self, host: str, by: Iterable[str]) -> int:
        """Return how many fencing levels of a host can be used by one of the hosts `by`."""
        count = 0
        for level in self.cib.findall(f"configuration/fencing-topology/fencing-level[@target='{host}']"):
            devices = (level.get("devices") or "").split(",")
            count += any(all(not self._banned(device, other) for device in devices) for other in by)
        return count

    def _banned(self, resource: str, host: str) -> bool:
        found = self.cib.findall(f"configuration/constraints/rsc_location[@rsc='{resource}'][@node='{host}']")
        return any(constraint.get("score") == "-INFINITY" for constraint in found)


_EXPIRED = re.compile(r"Clearing failure of (\S+) on (\S+) because it expired")


def _output(command: list[str]) -> tuple[str, str]:
    """Return what a command said, and what it logged meanwhile."""
    try:
        done = subprocess.run(  # noqa: S603 - words of ours, and a file of ours
            command, capture_output=True, text=True, timeout=_DEADLINE, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise SimulationError("crm_simulate is missing: install pacemaker-cli-utils") from None
    except subprocess.TimeoutExpired:
        raise SimulationError(f"crm_simulate has not ended after {_DEADLINE:.0f} s") from None
    if done.returncode:
        raise SimulationError(f"crm_simulate: status {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout, done.stderr


def _parse(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - written by us or by crm_simulate


def _transition(said: ET.Element, graph: ET.Element) -> Transition:
    status = said.find("revised_cluster_status")
    status = said.find("cluster_status") if status is None else status
    status = ET.Element("none") if status is None else status
    done = said.find("transition")
    done = ET.Element("none") if done is None else done
    return Transition(
        done=[
            Action(found.get("resource", "").partition(":")[0], found.get("op", ""), found.get("node", ""))
            for found in done.iter("rsc_action")
        ],
        fenced=[found.get("target", "") for found in done.iter("fencing_action")],
        places=[
            (resource.get("id", ""), node.get("name", ""), resource.get("role", ""))
            for resource in status.iter("resource")
            for node in resource.iterfind("node")
        ],
        unclean=[node.get("name", "") for node in status.iterfind("nodes/node") if node.get("unclean") == "true"],
        free=_without_fencing(graph),
    )


def _without_fencing(graph: ET.Element) -> list[Action]:
    """Return the operations of a transition graph to which no way leads from a fencing."""
    waits = {
        found.get("id", ""): {trigger.get("id", "") for trigger in synapse.iterfind("inputs/trigger/*")}
        for synapse in graph.iter("synapse")
        for found in synapse.iterfind("action_set/*")
    }
    held = {found.get("id", "") for found in graph.iterfind(".//action_set/crm_event[@operation='stonith']")}
    grown = True
    while grown:
        more = {identity for identity, inputs in waits.items() if inputs & held} - held
        held |= more
        grown = bool(more)
    return [
        Action(
            found.get("operation_key", "").partition(f"_{found.get('operation')}_")[0],
            found.get("operation", ""),
            found.get("on_node", ""),
        )
        for found in graph.iterfind(".//action_set/rsc_op")
        if found.get("id", "") not in held
    ]


def _child(parent: ET.Element, tag: str, identity: str) -> ET.Element:
    found = parent.find(tag)
    return ET.SubElement(parent, tag, {"id": identity}) if found is None else found


def _set(attributes: ET.Element, identity: str, name: str, value: str | None) -> None:
    for old in attributes.findall(f"nvpair[@name='{name}']"):
        attributes.remove(old)
    if value is not None:
        ET.SubElement(attributes, "nvpair", {"id": f"{identity}-{name}", "name": name, "value": value})
