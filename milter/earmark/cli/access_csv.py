"""The allow and deny lists as CSV (RFC 4180), one entry a line, with a header line that names the columns."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from earmark.cli import access_entry
from earmark.config.problems import ConfigError, Problem, did_you_mean, quoted
from earmark.core.access import Entry, Verb

COLUMNS = ("verb", "kind", "subject", "scope", "expires", "unauthenticated", "note", "author", "created")
"""Only `subject` must be there; what is left out or empty has the default that `add` gives it."""

BYTES_AT_MOST = 64 * 1024 * 1024
PROBLEMS_AT_MOST = 100
"""Who has the wrong file sees so from these; lines after them are not read."""

_FIELD = re.compile(r'"((?:[^"]|"")*)"|([^",]*)')


class Defaults(NamedTuple):
    """What holds for entries that do not say otherwise."""

    verb: Verb
    """The only one that is taken: a list of denials is not imported as one of permissions."""
    author: str
    now: datetime


class _FieldError(Exception):
    """A line is not CSV; the column says where."""

    def __init__(self, column: int) -> None:
        self.column = column
        super().__init__("a quote is out of place")


def export_text(entries: Iterable[Entry]) -> str:
    """Return the entries as CSV, which `read_csv` reads as the same entries."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        proof = "true" if entry.unauthenticated else "false"
        writer.writerow({**entry._asdict(), "expires": access_entry.time_text(entry.expires), "unauthenticated": proof})
    return text.getvalue()


def read_csv(raw: bytes, file: str, defaults: Defaults) -> list[Entry]:
    """Read entries. Raises ConfigError with all that is wrong, each with its line and column."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file, where, 1, "line", "not UTF-8")]) from None
    problems: list[Problem] = []
    entries: list[Entry] = []
    lines = ((number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), start=1))
    filled = ((number, line) for number, line in lines if line.strip())
    first, header = next(filled, (1, ""))
    columns = _header(file, first, header, problems)
    seen: dict[tuple[object, ...], int] = {}
    for number, line in filled if columns else ():
        entry = _entry(_Line(file, number, problems), line, columns, defaults)
        if entry is not None and seen.setdefault(entry[:4], number) != number:
            problems.append(Problem(file, number, 1, "line", f"the same entry as in line {seen[entry[:4]]}"))
        elif entry is not None:
            entries.append(entry)
        if len(problems) >= PROBLEMS_AT_MOST:
            problems += _unread(file, [number for number, _ in filled])
    if problems:
        raise ConfigError(problems)
    return entries


def _unread(file: str, numbers: list[int]) -> list[Problem]:
    """Return what to say of the lines that are left; nothing where none is."""
    left = f"this line and {len(numbers) - 1} more were not read: too much is wrong before"
    return [Problem(file, numbers[0], 1, "line", left)] if numbers else []


def _fields(line: str) -> Iterator[tuple[int, str]]:
    """Yield each field with its column, from 1. Raises _FieldError."""
    at = 0
    while True:
        found = _FIELD.match(line, at)
        assert found is not None  # noqa: S101 - the second alternative matches everywhere
        quoted_text, plain = found.groups()
        yield at + 1, plain if quoted_text is None else quoted_text.replace('""', '"')
        at = found.end()
        if at == len(line):
            return
        if line[at] != ",":
            raise _FieldError(at + 1)
        at += 1


def _header(file: str, number: int, line: str, problems: list[Problem]) -> list[str]:
    """Return the names of the columns, [] where they cannot be used."""
    names: list[str] = []
    before = len(problems)
    try:
        fields = list(_fields(line)) if line else []
    except _FieldError as error:
        problems.append(Problem(file, number, error.column, "line", str(error)))
        return []
    for column, text in fields:
        name = text.strip().lower()
        if name not in COLUMNS:
            reason = f"no such column{did_you_mean(name, COLUMNS) or '; there are ' + ', '.join(COLUMNS)}"
            problems.append(Problem(file, number, column, quoted(name), reason))
        elif name in names:
            problems.append(Problem(file, number, column, name, "a column that was there before"))
        names.append(name)
    if len(problems) == before and "subject" not in names:
        problems.append(Problem(file, number, 1, "subject", "missing: the first line must name the columns"))
    return names if len(problems) == before else []


class _Line(NamedTuple):
    """Where a line stands, and where its problems go."""

    file: str
    number: int
    problems: list[Problem]

    def problem(self, column: int, key: str, reason: object) -> None:
        self.problems.append(Problem(self.file, self.number, column, key, str(reason)))


def _entry(place: _Line, line: str, columns: list[str], defaults: Defaults) -> Entry | None:
    """Return the entry in a line; None where there is something wrong with it, which has been said."""
    before = len(place.problems)
    try:
        fields = list(_fields(line))
    except _FieldError as error:
        place.problem(error.column, "line", error)
        return None
    if len(fields) != len(columns):
        place.problem(1, "line", f"has {len(fields)} fields, and the header {len(columns)}")
        return None
    written = {name: (column, text.strip()) for name, (column, text) in zip(columns, fields, strict=True)}
    read: dict[str, Any] = {}
    for name, reader in _readers(written, defaults).items():
        column, text = written.get(name, (1, ""))
        try:
            read[name] = reader(text)
        except ValueError as error:
            place.problem(column, name, error)
    if len(place.problems) > before:
        return None
    kind, subject = read.pop("subject")
    return Entry(kind=kind, subject=subject, **read)


def _readers(written: Mapping[str, tuple[int, str]], defaults: Defaults) -> dict[str, Callable[[str], Any]]:
    kind = written.get("kind", (1, ""))[1]
    return {
        "verb": lambda text: _verb(text, defaults.verb),
        "subject": lambda text: access_entry.subject(text, kind),
        "scope": access_entry.scope,
        "expires": lambda text: access_entry.expiry(text, defaults.now),
        "unauthenticated": access_entry.flag,
        "note": access_entry.line,
        "author": lambda text: access_entry.author(text or defaults.author),
        "created": lambda text: access_entry.time_text(
            access_entry.expiry(text, defaults.now) or defaults.now.timestamp()
        ),
    }


def _verb(text: str, wanted: Verb) -> Verb:
    if text not in ("", wanted):
        raise ValueError(f"{quoted(text)}, and this imports what is to {wanted}")
    return wanted
