"""What Pacemaker's own programs say of a CIB, and the agents of what it wants to set."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from earmark.cluster.check_host import said
from earmark.cluster.cib_file import NAME, Cib, Resource, found
from earmark.cluster.files import Files, Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.known import agents
from earmark.cluster.namespaces import Host, run
from earmark.cluster.xml_lines import Element, read_xml
from earmark.config.problems import did_you_mean, quoted

_DEADLINE = 30.0
_VERIFY = ("crm_verify", "--verbose", "--verbose", "--xml-file")
"""Said once, it keeps to itself that it takes 0 for an interval that it cannot read."""


def check_cib(inventory: Inventory, files: Files) -> Iterator[Finding]:
    """Yield what is wrong with cluster/cib.xml."""
    file = files.get(NAME)
    read = read_xml(file.text) if file else None
    if file is None or not isinstance(read, Element):
        yield Finding(NAME, "crm_verify", "there is no such file, or it is not XML")
        return
    text = with_hosts_up(file.text, [host.name for host in inventory.hosts])
    there = Host(inventory.hosts[0].name, (), {"etc/checked-cib.xml": (text, 0o644)})
    output = run(there, [*_VERIFY, "/etc/checked-cib.xml"], _DEADLINE)
    if output.status or output.text.strip():
        yield from said(NAME, "crm_verify", output)
    for resource in Cib(read).resources:
        if resource.agent not in agents() and resource.agent.startswith("stonith:fence_"):
            yield from _agent(resource)


def with_hosts_up(text: str, hosts: list[str]) -> str:
    """Return a CIB with quorum and all hosts in it: crm_verify judges a fresh one as that of a cluster that is down.

    Raises xml.etree.ElementTree.ParseError.
    """
    root = ET.fromstring(text)  # noqa: S314 - one with a document type has been refused before
    root.set("have-quorum", "1")
    root.set("dc-uuid", "1")
    for status in root.findall("status"):
        root.remove(status)
    status = ET.SubElement(root, "status")
    ids = {node.get("uname"): node.get("id") for node in root.iter("node")}
    for host in hosts:
        up = {"in_ccm": "true", "crmd": "online", "join": "member", "expected": "member"}
        ET.SubElement(status, "node_state", {"id": ids.get(host) or host, "uname": host, **up})
    return ET.tostring(root, encoding="unicode")


def _agent(resource: Resource) -> Iterator[Finding]:
    """Ask a fence agent that lint does not know for its parameters."""
    name = resource.agent.removeprefix("stonith:")
    try:
        output = run(Host("here"), [name, "-o", "metadata"], _DEADLINE)
        root = ET.fromstring(output.text)  # noqa: S314 - the text of a program of Debian's
    except ET.ParseError:
        yield found(resource.element, "not-checked", f"{name} does not give its metadata here: install fence-agents")
        return
    parameters = {element.get("name", "") for element in root.iter("parameter")}
    for parameter, pair in resource.parameters.items():
        if parameter not in parameters and not parameter.startswith("pcmk_"):
            reason = f"{name} has no parameter {quoted(parameter)}{did_you_mean(parameter, parameters)}"
            yield found(pair, "agent-parameter-unknown", reason)
