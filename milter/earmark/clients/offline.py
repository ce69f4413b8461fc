"""DNS answers from text, for `explain --dns FILE`, the demonstration and tests."""

import re
import time

from earmark.clients.dns import Done
from earmark.clients.dns.codec import Record, record_from_text, record_text
from earmark.core.evidence import Fact, Status
from earmark.wire.dnsxl import RTYPES, question, read_question

STATUSES = frozenset({"NXDOMAIN", "SERVFAIL", "TIMEOUT"})
TTL = 300
_TYPES = frozenset({*RTYPES, "CNAME"})
_CHAIN_AT_MOST = 8
_BEFORE_COMMENT = re.compile(r'(?:[^"#;]|"(?:[^"\\]|\\.)*")*')

Owned = tuple[str, Record]


class ZoneFile:
    """A table of answers with the interface of the resolver (`clients.dns.Lookups`).

    Each line is `NAME TYPE RDATA` in zone-file form, or `NAME STATUS` with NXDOMAIN, SERVFAIL or TIMEOUT. All names are
    absolute, with or without a final dot. A name beginning with `*.` stands for every absent name below it (`*.` alone:
    for every absent name at all), for that type, or with a status for all types. A name that is there without the type
    is NODATA; all else is NXDOMAIN. What follows `#` or `;` is a comment.
    """

    def __init__(self, name: str = "zone text") -> None:
        self.name = name
        self._records: dict[str, dict[str, list[Record]]] = {}
        self._statuses: dict[str, str] = {}

    @classmethod
    def parse(cls, text: str, name: str = "FILE") -> "ZoneFile":
        """Read the text. Raises ValueError that names the first line that cannot be read."""
        zone = cls(name)
        for number, line in enumerate(text.splitlines(), 1):
            try:
                zone._add(_words(line))
            except ValueError as error:
                raise ValueError(f"{name}:{number}: {error}") from error
        return zone

    def _add(self, words: list[str]) -> None:
        if not words:
            return
        owner = _key(words[0])
        kind = words[1].upper() if len(words) > 1 else ""
        if kind in STATUSES and len(words) == 2:
            self._statuses[owner] = kind
        elif kind in _TYPES and len(words) == 3:
            record = record_from_text(kind, words[2].strip())
            self._records.setdefault(owner, {}).setdefault(kind, []).append(record)
        else:
            expected = " ".join([*sorted(_TYPES), *sorted(STATUSES)])
            raise ValueError(f"expected NAME TYPE RDATA or NAME STATUS with one of {expected}")

    def find(self, name: str, rtype: str) -> tuple[str, list[Owned]]:
        """Return the status ("NOERROR" or one of STATUSES) and the records, each with its owner, aliases in front."""
        owner, chain = _key(name), list[Owned]()
        for _ in range(_CHAIN_AT_MOST):
            status, records = self._find_at(owner, rtype)
            chain += [(owner, record) for record in records]
            if status != "CNAME":
                return status, chain
            owner = _key(record_text(records[0]))
        return "SERVFAIL", []

    def _find_at(self, owner: str, rtype: str) -> tuple[str, list[Record]]:
        if owner in self._records or owner in self._statuses:
            found = self._look(owner, rtype)
            return found or ("NOERROR", [])
        rest = owner
        while rest:
            rest = rest.partition(".")[2]
            found = self._look(f"*.{rest}", rtype)
            if found:
                return found
        return "NXDOMAIN", []

    def _look(self, key: str, rtype: str) -> tuple[str, list[Record]] | None:
        records = self._records.get(key, {})
        if rtype in records:
            return "NOERROR", records[rtype]
        if "CNAME" in records:
            return "CNAME", records["CNAME"][:1]
        return (self._statuses[key], []) if key in self._statuses else None

    def lookup(self, name: str, rtype: str, done: Done, *, give_up: float = 5.0) -> None:  # noqa: ARG002 - answers at once
        """Answer at once; see `clients.dns.Lookups.lookup`."""
        done(self._fact(name, rtype))

    def lookup_question(self, asked: bytes, done: Done, *, give_up: float = 5.0) -> None:
        """Answer at once."""
        self.lookup(*read_question(asked), done, give_up=give_up)

    async def get(self, name: str, rtype: str, *, give_up: float = 5.0) -> Fact:  # noqa: ARG002 - answers at once
        """Answer at once."""
        return self._fact(name, rtype)

    def _fact(self, name: str, rtype: str) -> Fact:
        try:
            question(name.lower(), rtype)
        except ValueError:
            return Fact(Status.NONE, (), TTL, time.time(), self.name, "not a domain name")
        status, chain = self.find(name, rtype)
        data = tuple(record_text(record) for _, record in chain if record.rdtype == RTYPES[rtype])
        if status in {"SERVFAIL", "TIMEOUT"}:
            why = "timeout" if status == "TIMEOUT" else status
            return Fact(Status.TEMPERROR, (), TTL, time.time(), self.name, why)
        if data:
            return Fact(Status.PASS, data, TTL, time.time(), self.name)
        return Fact(Status.NONE, (), TTL, time.time(), self.name, "NODATA" if status == "NOERROR" else status)


def _words(line: str) -> list[str]:
    """Return name, type or status, and data of a line, without its comment."""
    found = _BEFORE_COMMENT.match(line)
    end = found.end() if found else 0
    if line[end : end + 1] == '"':
        raise ValueError("a quote that does not end")
    return line[:end].split(None, 2)


def _key(name: str) -> str:
    """Return the form in which names are compared. `*.` stays as it is: it stands for every name below the root."""
    return name.lower() if name == "*." else name.lower().removesuffix(".")
