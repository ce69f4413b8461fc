"""One TOML file as read: its values, and the line and column of each.

tomllib says what the values are. spanned_toml, a fork of the parser that became tomllib, says where they stand.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import spanned_toml

from earmark.config.problems import Problem, whole_file
from earmark.core.policy import Place

LARGEST = 1_000_000
"""Bytes of one file. Ten thousand domains are a quarter of this."""

Path = tuple[str | int, ...]
"""The way to a value: keys, and positions in lists."""


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file that could be parsed. Numbers with a point are Decimal, so that 8.00 is 8.00."""

    name: str
    values: dict[str, Any]
    offsets: Mapping[Path, int]
    line_starts: tuple[int, ...]

    def position(self, path: Path) -> tuple[int, int]:
        """Return line and column, from 1, of the key at `path`, or of the nearest table around it."""
        while path and path not in self.offsets:
            path = path[:-1]
        offset = self.offsets.get(path, 0)
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def place(self, path: Path) -> Place:
        """Return file and line of the key at `path`."""
        return Place(self.name, self.position(path)[0])

    def problem(self, path: Path, reason: str) -> Problem:
        """Return a problem with the value at `path`."""
        return Problem(self.name, *self.position(path), dotted(path) or "file", reason)


def dotted(path: Path) -> str:
    """Return a path as people write it: `listings.zones[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def parse(name: str, content: bytes) -> Document | Problem:
    """Read one file. What is not TOML in UTF-8, or is too large, is a Problem."""
    if len(content) > LARGEST:
        return whole_file(name, f"larger than {LARGEST} bytes")
    if content.startswith(b"\xef\xbb\xbf"):
        return whole_file(name, "begins with a byte order mark; save it as UTF-8 without one")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(content[: error.start].decode("utf-8"))
        return Problem(name, line, column, "syntax", f"byte 0x{content[error.start]:02x} is not UTF-8")
    text = text.replace("\r\n", "\n")
    try:
        values = tomllib.loads(text, parse_float=Decimal)
        offsets = dict(_offsets(spanned_toml.loads(text), ()))
    except (ValueError, ArithmeticError) as error:  # also numbers too long for Python
        return _syntax_problem(name, text, str(error))
    except RecursionError:
        return whole_file(name, "tables or lists are nested too deeply")
    starts = (0, *(match.end() for match in re.finditer("\n", text)))
    return Document(name, values, offsets, starts)


def _position(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _offsets(spanned: Any, path: Path) -> Iterator[tuple[Path, int]]:  # noqa: ANN401 - the parser's own wrapper
    """Yield where each key and each entry of a list begins; an entry of [[...]] begins with its first key."""
    value = spanned.inner()
    if isinstance(value, dict):
        for key, inner in value.items():
            here = (*path, key.inner())
            yield here, key.span().start
            yield from _offsets(inner, here)
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            here = (*path, number)
            inside = list(_offsets(entry, here))
            start = entry.span().start or min((offset for _, offset in inside), default=0)
            if start:
                yield here, start
            yield from inside


_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def _syntax_problem(name: str, text: str, message: str) -> Problem:
    where = _WHERE.search(message)
    reason = message[: where.start()] if where else message
    if where and where[1]:
        line, column = int(where[1]), int(where[2])
    else:
        line, column = _position(text.rstrip("\n"))
    if reason.startswith(("Cannot overwrite", "Cannot declare", "Duplicate inline")):
        return _duplicate(name, text.split("\n")[:line])
    return Problem(name, line, column, "syntax", reason[:1].lower() + reason[1:])


def _duplicate(name: str, lines: list[str]) -> Problem:
    """Return the problem of a key or section that stands twice; the second time it is on the last of the lines."""
    last = lines[-1]
    column = len(last) - len(last.lstrip()) + 1
    header = _section(last)
    if header:
        return Problem(name, len(lines), column, header, "this section stands here a second time")
    section = next(filter(None, map(_section, reversed(lines))), "")
    key = last.partition("=")[0].strip()
    dotted_key = f"{section}.{key}" if section else key
    return Problem(name, len(lines), column, dotted_key, "this key stands here a second time")


def _section(line: str) -> str:
    found = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
    return found[1] if found else ""
