"""What crm_mon(8) says of the cluster, as one host sees it."""

import xml.etree.ElementTree as ET
from typing import NamedTuple


class Status(NamedTuple):
    """A host's view. Only one with quorum and a coordinator speaks for the cluster."""

    quorate: bool
    coordinator: str
    """ "" for none: the hosts are still finding each other."""
    online: frozenset[str]
    places: dict[str, list[tuple[str, str]]]
    """Of each resource, each instance's host and role."""
    failures: int

    @property
    def speaks(self) -> bool:
        return self.quorate and bool(self.coordinator)

    def at(self, resource: str, role: str = "Started") -> list[str]:
        """Return the hosts where a resource is in that role."""
        return [host for host, found in self.places.get(resource, []) if found == role]


def read_status(text: str) -> Status:
    """Read the output of `crm_mon --one-shot --output-as=xml`."""
    root = ET.fromstring(text)  # noqa: S314 - Pacemaker's own
    coordinator = root.find("./summary/current_dc")
    quorate = coordinator is not None and coordinator.get("with_quorum") == "true"
    nodes = root.findall("./nodes/node")
    online = {node.get("name", "") for node in nodes if node.get("online") == "true" and node.get("unclean") == "false"}
    places: dict[str, list[tuple[str, str]]] = {}
    for resource in root.iter("resource"):
        if resource.get("failed") == "false" and resource.get("blocked") == "false":
            found = [(node.get("name", ""), resource.get("role", "")) for node in resource.findall("node")]
            places.setdefault(resource.get("id", ""), []).extend(found)
    name = "" if coordinator is None else coordinator.get("name", "")
    return Status(quorate, name, frozenset(online), places, len(root.findall("./failures/failure")))
