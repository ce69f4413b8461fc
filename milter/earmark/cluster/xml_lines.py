"""XML as read: elements with the line of each. No document type and so no entities: nothing here has one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

_LARGEST = 1_000_000
_DEEPEST = 30


class Syntax(NamedTuple):
    """Why a file cannot be read."""

    line: int
    reason: str


@dataclass(slots=True)
class Element:
    """An element. `text` is the character data before its first child."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def get(self, name: str) -> str:
        """Return an attribute, "" where it is not there."""
        return self.attributes.get(name, "")

    def all(self, *tags: str) -> Iterator["Element"]:
        """Yield this element and all below it, those of the tags alone where there are any."""
        if not tags or self.tag in tags:
            yield self
        for child in self.children:
            yield from child.all(*tags)

    def only(self, *tags: str) -> Iterator["Element"]:
        """Yield the children with one of the tags."""
        return (child for child in self.children if child.tag in tags)

    def first(self, *tags: str) -> "Element | None":
        """Return the first element with one of the tags, at any depth."""
        return next(self.all(*tags), None)


class _RefusedError(Exception):
    """What is well-formed and has no place in these files."""


def read_xml(text: str) -> Element | Syntax:
    """Read a file."""
    if len(text) > _LARGEST:
        return Syntax(1, f"larger than {_LARGEST} characters")
    parser = expat.ParserCreate()
    around = [Element("", {}, 0)]

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, parser.CurrentLineNumber)
        around[-1].children.append(element)
        around.append(element)
        if len(around) > _DEEPEST:
            raise _RefusedError("elements are nested too deeply")

    def characters(text: str) -> None:
        if not around[-1].children:
            around[-1].text += text

    def doctype(*_: object) -> None:
        raise _RefusedError("a document type has no place here")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: around.pop()
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        return Syntax(error.lineno, expat.ErrorString(error.code))
    except _RefusedError as error:
        return Syntax(parser.CurrentLineNumber, str(error))
    return around[0].children[0]
