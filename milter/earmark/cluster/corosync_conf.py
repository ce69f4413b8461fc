"""corosync.conf(5) as read: sections, keys, and the line of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_DEEPEST = 8


class Setting(NamedTuple):
    """A key with its value."""

    key: str
    value: str
    line: int


@dataclass(slots=True)
class Section:
    """A section; the file as a whole is one without a name."""

    name: str
    line: int
    settings: list[Setting] = field(default_factory=list)
    sections: list["Section"] = field(default_factory=list)

    def get(self, key: str) -> Setting | None:
        """Return the last setting of that key: corosync lets it win."""
        return next((setting for setting in reversed(self.settings) if setting.key == key), None)

    def value(self, key: str) -> str:
        """Return the key's value, "" where it is not set."""
        setting = self.get(key)
        return setting.value if setting else ""

    def within(self, path: str) -> Iterator["Section"]:
        """Yield the sections at a dotted path below this one, such as "quorum.device"."""
        first, _, rest = path.partition(".")
        for section in self.sections:
            if section.name == first:
                yield from section.within(rest) if rest else (section,)

    def first(self, path: str) -> "Section | None":
        """Return the first section at a dotted path."""
        return next(self.within(path), None)


class Syntax(NamedTuple):
    """Why a file cannot be read."""

    line: int
    reason: str


def read_corosync(text: str) -> Section | Syntax:
    """Read a file."""
    around = [Section("", 0)]
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        if words.endswith("{"):
            opened = Section(words[:-1].strip(), number)
            around[-1].sections.append(opened)
            around.append(opened)
            if len(around) > _DEEPEST:
                return Syntax(number, "sections are nested too deeply")
        elif words == "}":
            if len(around) == 1:
                return Syntax(number, "this brace closes nothing")
            around.pop()
        elif ":" in words:
            key, _, value = words.partition(":")
            around[-1].settings.append(Setting(key.strip(), value.strip(), number))
        else:
            return Syntax(number, "neither `key: value` nor a brace")
    if len(around) > 1:
        return Syntax(around[-1].line, f"the section {around[-1].name} is not closed")
    return around[0]
