"""A CIB as read: its properties, resources and constraints, each with its line."""

from collections.abc import Iterator
from dataclasses import dataclass

from earmark.cluster.files import Finding
from earmark.cluster.xml_lines import Element

NAME = "cluster/cib.xml"


@dataclass(frozen=True, slots=True)
class Resource:
    """A primitive, with what it has from the group and the clone around it and from the defaults."""

    id: str
    agent: str
    """Such as "ocf:linbit:drbd"."""
    element: Element
    parameters: dict[str, Element]
    """nvpairs by name."""
    meta: dict[str, Element]
    around: tuple[Element, ...]
    """Clone and group, the outermost first."""

    @property
    def names(self) -> set[str]:
        """The ids by which a constraint can mean it."""
        return {self.id, *(element.get("id") for element in self.around)}

    def value(self, name: str) -> str:
        """Return a parameter, "" where it is not set."""
        return self.parameters[name].get("value") if name in self.parameters else ""

    def is_set(self, name: str) -> bool:
        """Whether a meta attribute is true, in any of Pacemaker's words."""
        return name in self.meta and self.meta[name].get("value").lower() in ("true", "yes", "on", "y", "1")

    def operations(self, name: str) -> list[Element]:
        """Return its operations of that name."""
        return [element for element in self.element.all("op") if element.get("name") == name]


class Cib:
    """A CIB."""

    def __init__(self, root: Element) -> None:
        self.root = root
        config = root.first("crm_config")
        self.properties = _nvpairs(config) if config else {}
        self.resources = list(_resources(root, _nvpairs(root.first("rsc_defaults"))))

    def of_agent(self, *agents: str) -> list[Resource]:
        """Return the resources with one of the agents."""
        return [resource for resource in self.resources if resource.agent in agents]

    @property
    def service(self) -> Resource | None:
        """What the cluster is for: the guest, or the first member of the group that has the address."""
        guests = self.of_agent("ocf:heartbeat:VirtualDomain")
        if guests:
            return guests[0]
        addresses = self.of_agent("ocf:heartbeat:IPaddr2")
        group = addresses[0].around[-1] if addresses and addresses[0].around else None
        members = [resource for resource in self.resources if group is not None and group in resource.around]
        return next(iter(members or addresses), None)


def found(element: Element, code: str, reason: str, *, refuses: bool = True) -> Finding:
    """Return a finding at an element's line."""
    return Finding(f"{NAME}:{element.line}", code, reason, refuses)


def _nvpairs(element: Element | None) -> dict[str, Element]:
    return {pair.get("name"): pair for pair in element.all("nvpair")} if element else {}


def _resources(root: Element, defaults: dict[str, Element]) -> Iterator[Resource]:
    top = root.first("resources")
    if top is not None:
        yield from _below(top, (), defaults)


def _below(element: Element, around: tuple[Element, ...], meta: dict[str, Element]) -> Iterator[Resource]:
    for child in element.children:
        own = {name: pair for block in child.only("meta_attributes") for name, pair in _nvpairs(block).items()}
        if child.tag == "primitive":
            words = [child.get("class"), child.get("provider"), child.get("type")]
            parameters = {
                name: pair for block in child.only("instance_attributes") for name, pair in _nvpairs(block).items()
            }
            yield Resource(child.get("id"), ":".join(filter(None, words)), child, parameters, {**meta, **own}, around)
        elif child.tag in ("group", "clone", "master", "bundle"):
            yield from _below(child, (*around, child), {**meta, **own})
