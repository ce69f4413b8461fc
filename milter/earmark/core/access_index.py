"""The entries of the allow and deny lists, found by what they are about."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from earmark.core.access import EVERYBODY, Entry, Kind, Verb, precedence
from earmark.core.evidence import Entries

_NAME_AT_MOST = 255


class AccessIndex:
    """Entries as tables in memory, looked into by key and never searched through."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """`entries` as for `add`."""
        self._rows: dict[str, tuple[_Row, ...]] = {}
        """By scope and subject; at most one for each verb."""
        self._scopes: set[str] = set()
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}
        """The prefix lengths that occur, by address family."""
        self._reverse: dict[tuple[str, Verb], Entry] = {}
        """For each scope and verb the entry for a reverse name that holds longest."""
        for entry in entries:
            self.add(entry)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def add(self, entry: Entry) -> None:
        """Take an entry in; no two have the same verb, subject and scope. Raises ValueError for no network."""
        key = f"{entry.scope} {self._place(entry)}"
        self._rows[key] = (*self._rows.get(key, ()), _row(entry))
        self._scopes.add(entry.scope)
        if entry.kind is Kind.REVERSE:
            other = self._reverse.get((entry.scope, entry.verb), entry)
            self._reverse[entry.scope, entry.verb] = min(other, entry, key=_brevity)

    def _place(self, entry: Entry) -> str:
        if entry.kind is not Kind.CLIENT:
            return f"{entry.kind} {entry.subject}"
        network = ip_network(entry.subject)
        self._lengths[network.version].add(network.prefixlen)
        return _place_of_network(network.version, int(network.network_address), network.prefixlen)

    def find(self, question: Entries) -> list[Entry]:
        """Return the entries that this question is about, in the order of precedence.

        Where it names no reverse name, the entry for one that holds longest stands for all of its scope and verb.
        """
        scopes = [scope for scope in _scopes(question.recipient) if scope in self._scopes]
        if not scopes:
            return []
        places = tuple(self._places(question))
        rows = (row for scope in scopes for place in places for row in self._rows.get(f"{scope} {place}", ()))
        found = [Entry(Verb(verb), Kind(kind), *rest) for verb, kind, *rest in rows]
        if not question.name:
            found += [self._reverse[scope, verb] for scope in scopes for verb in Verb if (scope, verb) in self._reverse]
        return sorted(found, key=precedence)

    def _places(self, question: Entries) -> Iterator[str]:
        """Yield all places where an entry for this question could stand."""
        if question.client and (self._lengths[4] or self._lengths[6]):
            address = ip_address(question.client)
            for length in self._lengths[address.version]:
                yield _place_of_network(address.version, int(address), length)
        yield from (f"{Kind.REVERSE} {pattern}" for pattern in _patterns(question.name))
        yield from (f"{Kind.HELO} {pattern}" for pattern in _patterns(question.helo))
        local, _, domain = question.sender.rpartition("@")
        if domain:
            yield f"{Kind.SENDER} {local.lower()}@{domain}"
            yield from (f"{Kind.DOMAIN} {pattern}" for pattern in _patterns(domain))


_Row = tuple[Any, ...]


def _row(entry: Entry) -> _Row:
    """Return the entry as a plain tuple of texts and numbers, which the garbage collector leaves alone."""
    verb, kind, *rest = entry
    return (verb.value, kind.value, *rest)


def _brevity(entry: Entry) -> tuple[bool, int, str]:
    """Return what to sort entries by, the one that holds longest first."""
    return entry.expires > 0, -entry.expires, entry.subject


def _place_of_network(version: int, number: int, length: int) -> str:
    return f"{Kind.CLIENT} {version} {length} {number >> ((32 if version == 4 else 128) - length)}"


def _scopes(recipient: str) -> Iterator[str]:
    """Yield the scopes that hold for a recipient. What holds for bob@ holds for bob+detail@ (RFC 5233)."""
    local, _, domain = recipient.rpartition("@")
    if domain:
        local = local.lower()
        yield from dict.fromkeys((f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}"))
        yield domain
    yield EVERYBODY


def _patterns(name: str) -> Iterator[str]:
    """Yield the name and, for each domain that it is below, the pattern for all names below that."""
    if not name or len(name) > _NAME_AT_MOST:
        return
    yield name
    above = name.partition(".")[2]
    while above:
        yield f"*.{above}"
        above = above.partition(".")[2]
