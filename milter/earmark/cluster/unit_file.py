"""systemd's files as read (systemd.syntax(7)): sections, keys, values, and the line of each. Keys may stand twice."""

from collections.abc import Sequence
from typing import NamedTuple


class Entry(NamedTuple):
    """A key with its value."""

    section: str
    key: str
    value: str
    line: int


def read_unit(text: str) -> list[Entry]:
    """Return all entries of a file. What is none is left out: systemd says what it thinks of it."""
    section = ""
    entries = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            entries.append(Entry(section, key.strip(), value.strip(), number))
    return entries


def values(entries: Sequence[Entry], section: str, key: str) -> list[Entry]:
    """Return the entries of a section that have this key."""
    return [entry for entry in entries if (entry.section, entry.key) == (section, key)]
