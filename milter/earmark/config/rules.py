"""rules/*.toml: the DNS lists that are known, live and dead, and the rules for generic-looking host names."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from earmark.config.document import Document, Path
from earmark.config.problems import Problem, did_you_mean, quoted
from earmark.config.schema import CodeTable, DeadTable, ErrorTable, NameTable, RulesFile, Table, ZoneTable, validate
from earmark.core.mail import domain_key
from earmark.core.names import NameRule
from earmark.core.policy import Place
from earmark.core.zones import Code, ErrorCode, Zone, ZoneKind

_LONGEST_ZONE = 253 - 64  # room for the 32 labels of a reversed IPv6 address (RFC 5782 section 2.4)
_LONGEST_OF_NAMES = 253 - 128  # room for a registrable domain of two labels of any length
_KEY = 64  # and for a key, which is one label
_LOOPBACK = 0x7F000000  # 127.0.0.0/8, where all answers stand (RFC 5782 section 2.1)
_FIRST_OCTET = 0xFF000000
ADDRESSES = ("connection", "received")
NAMES = ("sender", "helo", "reverse")
"""What a list may be asked about, in the words of `ask`: a list of addresses, and one of names."""
_SUBJECTS = {
    ("connection",): "the connecting client",
    ("received",): "hops of the Received chain",
    NAMES: "names of sender, HELO and client",
}

Entry = TypeVar("Entry", bound=Table)


class DeadList(NamedTuple):
    """A list that no longer answers, or answers everything."""

    since: str
    why: str


@dataclass(slots=True)
class Rules:
    """What all files in rules/ say together."""

    sound: bool = True
    """Whether every file could be parsed: if not, nothing is said about names that are not found."""
    zones: dict[str, Zone] = field(default_factory=dict)
    dead: dict[str, DeadList] = field(default_factory=dict)
    names: dict[str, NameRule] = field(default_factory=dict)
    kinds: dict[str, ZoneKind] = field(default_factory=dict)
    """By symbol: what kind of zone it belongs to."""
    places: dict[str, Place] = field(default_factory=dict)
    """By "zones.SYMBOL": where that code-book entry stands."""
    claimed: dict[tuple[str, str], Place] = field(default_factory=dict)
    """Where each name of a kind ("zone", "dead", "name", "symbol") stood first."""
    broken: set[str] = field(default_factory=set)
    """Names and symbols of entries that are there but wrong: they are not unknown."""
    problems: list[Problem] = field(default_factory=list)

    def zone_problem(self, name: str, asked_about: tuple[str, ...]) -> str:
        """Return why a policy cannot name this list in a section that asks about these; "" where it can."""
        key = domain_key(name)
        if key in self.dead:
            return f"{quoted(name)} is dead since {self.dead[key].since}: {self.dead[key].why}"
        zone = self.zones.get(key)
        if zone is None:
            fitting = [known.name for known in self.zones.values() if _may_ask(known, asked_about)]
            return self._unknown("list", name, fitting)
        return "" if _may_ask(zone, asked_about) else _not_asked(zone, asked_about)

    def name_problem(self, name: str) -> str:
        """Return why a policy cannot name this name rule; "" where it can."""
        return "" if name in self.names else self._unknown("name rule", name, self.names)

    def weight_problem(self, symbol: str, weight: int) -> str:
        """Return why a policy cannot give this symbol this weight; "" where it can."""
        kind = self.kinds.get(symbol)
        if kind is None:
            return self._unknown("symbol", symbol, self.kinds)
        return _sign_problem(kind, weight)

    def _unknown(self, what: str, name: str, known: Iterable[str]) -> str:
        if not self.sound or domain_key(name) in self.broken or name in self.broken:
            return ""
        return f"unknown {what} {quoted(name)}{did_you_mean(name, known)}"


def _may_ask(zone: Zone, asked_about: tuple[str, ...]) -> bool:
    return any(getattr(zone, subject) for subject in asked_about)


def _not_asked(zone: Zone, asked_about: tuple[str, ...]) -> str:
    hint = ""
    if zone.names != (asked_about == NAMES):
        hint = "; a list of names belongs in [domain_listings]" if zone.names else "; it is a list of addresses"
    return f"{quoted(zone.name)} must not be asked about {_SUBJECTS[asked_about]} (`ask` in rules/ says so){hint}"


def _sign_problem(kind: ZoneKind, weight: int) -> str:
    if kind is ZoneKind.BLOCK and weight < 0:
        return "the weight of a block list must not be negative"
    if kind is ZoneKind.ALLOW and weight > 0:
        return "the weight of an allow list must not be positive"
    return ""


def compile_rules(documents: Iterable[Document], *, sound: bool) -> Rules:
    """Put all rule files together. `sound` is False where some file could not be parsed."""
    rules = Rules(sound)
    documents = list(documents)
    for document in documents:
        file, problems = validate(document, RulesFile)
        rules.problems += problems
        rules.sound = rules.sound and file is not None
        for path, dead in _entries(rules, document, "dead", DeadTable):
            rules.problems += _add_dead(rules, document, path, dead)
    for document in documents:
        for path, zone in _entries(rules, document, "zone", ZoneTable):
            rules.problems += _add_zone(rules, document, path, zone)
        for path, name in _entries(rules, document, "name", NameTable):
            rules.problems += _add_name(rules, document, path, name)
    return rules


def _entries(rules: Rules, document: Document, table: str, shape: type[Entry]) -> Iterator[tuple[Path, Entry]]:
    raw_entries = document.values.get(table)
    for number, raw in enumerate(raw_entries if isinstance(raw_entries, list) else ()):
        if not isinstance(raw, dict):
            continue
        entry, problems = validate(document, shape, (table, number))
        rules.problems += problems
        if entry is None:
            rules.broken.update(_names_in(raw))
        else:
            yield (table, number), entry


def _names_in(raw: Mapping[str, Any]) -> Iterator[str]:
    yield from (value for key, value in raw.items() if key in ("name", "symbol") and isinstance(value, str))
    codes = raw.get("code")
    for code in codes if isinstance(codes, list) else ():
        if isinstance(code, Mapping):
            yield from _names_in(code)


def _add_dead(rules: Rules, document: Document, path: Path, dead: DeadTable) -> Iterator[Problem]:
    yield from _claim(rules, document, (*path, "name"), "dead", dead.name)
    rules.dead[dead.name] = DeadList(dead.since, dead.why)


def _add_name(rules: Rules, document: Document, path: Path, name: NameTable) -> Iterator[Problem]:
    yield from _claim(rules, document, (*path, "name"), "name", name.name)
    if not (name.words or name.address):
        yield document.problem(path, "matches nothing: it has neither words nor address = true")
    rules.names[name.name] = NameRule(name.name, frozenset(name.words), name.address, frozenset(name.unless))


def _add_zone(rules: Rules, document: Document, path: Path, table: ZoneTable) -> Iterator[Problem]:
    name = (*path, "name")
    yield from _claim(rules, document, name, "zone", table.name)
    if table.name in rules.dead:
        yield document.problem(name, f"{table.name} is dead since {rules.dead[table.name].since}")
    longest = (_LONGEST_OF_NAMES if _lists_names(table) else _LONGEST_ZONE) - (_KEY if table.key_file else 0)
    if len(table.name) > longest:
        yield document.problem(name, f"longer than {longest} characters: no room for what is asked before it")
    yield from _subject_problems(document, path, table)
    for number, code in enumerate(table.code):
        here = (*path, "code", number)
        reason = _sign_problem(table.kind, code.score)
        if reason:
            yield document.problem((*here, "score"), reason)
        yield from _scope_problems(document, here, code, names=_lists_names(table))
        yield from _answer_problems(document, here, code, code.mask)
        yield from _claim(rules, document, (*here, "symbol"), "symbol", code.symbol)
        rules.places[f"zones.{code.symbol}"] = document.place((*here, "symbol"))
        rules.kinds[code.symbol] = table.kind
    for number, error in enumerate(table.error):
        yield from _answer_problems(document, (*path, "error", number), error)
    rules.zones[table.name] = _zone(table)


def _lists_names(table: ZoneTable) -> bool:
    """Return whether it is a list of names; a list of both does not exist, and one that nobody asks lists addresses."""
    return bool(table.ask) and table.ask[0] in NAMES


def _subject_problems(document: Document, path: Path, table: ZoneTable) -> Iterator[Problem]:
    """Find a list that is asked about addresses and names, and a list of names that says something of addresses."""
    names = _lists_names(table)
    for number, subject in enumerate(table.ask):
        if (subject in NAMES) != names:
            others = ", ".join(NAMES if names else ADDRESSES)
            yield document.problem((*path, "ask", number), f"{quoted(subject)} does not go with {others}")
    for family in {"ipv4", "ipv6"} & table.model_fields_set if names else ():
        yield document.problem((*path, family), "a list of names is never asked about an address")


def _scope_problems(document: Document, path: Path, code: CodeTable, *, names: bool) -> Iterator[Problem]:
    if names != (code.scope == "domain"):
        reason = 'the scope of a code in a list of names is "domain"' if names else "a list of addresses has no domains"
        yield document.problem((*path, "scope"), reason)
    if names and code.deep:
        yield document.problem((*path, "deep"), "no hop is ever asked about in a list of names")


def _claim(rules: Rules, document: Document, path: Path, kind: str, name: str) -> Iterator[Problem]:
    if (kind, name) in rules.claimed:
        yield document.problem(path, f"{name} stands at {rules.claimed[kind, name]} too")
    rules.claimed.setdefault((kind, name), document.place(path))


def _answer_problems(
    document: Document, path: Path, entry: CodeTable | ErrorTable, mask: int = 0xFFFFFFFF
) -> Iterator[Problem]:
    if (entry.code is None) == (not entry.range):
        yield document.problem(path, "needs one of `code` and `range`, and not both")
        return
    key = (*path, "range" if entry.range else "code")
    low, high = _bounds(entry)
    if low > high:
        yield document.problem(key, "the range ends before it begins")
    elif (low | high) & ~mask:
        yield document.problem(key, "never matches: it has bits that the mask takes away")
    elif mask & _FIRST_OCTET and {low & _FIRST_OCTET, high & _FIRST_OCTET} != {_LOOPBACK}:
        yield document.problem(key, "outside 127.0.0.0/8, where all answers of a list stand (RFC 5782 section 2.1)")


def _bounds(entry: CodeTable | ErrorTable) -> tuple[int, int]:
    if entry.code is not None:
        return entry.code, entry.code
    return (entry.range[0], entry.range[1]) if entry.range else (0, 0)


def _zone(table: ZoneTable) -> Zone:
    names = _lists_names(table)
    return Zone(
        name=table.name,
        owner=table.owner,
        kind=table.kind,
        codes=tuple(_code(code) for code in table.code),
        errors=tuple(ErrorCode(*_bounds(error), error.meaning) for error in table.error),
        connection="connection" in table.ask,
        received="received" in table.ask,
        ipv4=table.ipv4 and not names,
        ipv6=table.ipv6 and not names,
        timeout=table.timeout,
        terms=table.terms,
        review=table.review,
        names=names,
        sender="sender" in table.ask,
        helo="helo" in table.ask,
        reverse="reverse" in table.ask,
        listed_canary="listed" in table.canaries,
        unlisted_canary="unlisted" in table.canaries,
        budget=table.budget,
        key_file=table.key_file,
    )


def _code(table: CodeTable) -> Code:
    """Return an entry of the code book. A mask never hides the first octet: what is outside 127/8 is no listing."""
    low, high = _bounds(table)
    if not table.mask & _FIRST_OCTET:
        low, high = low | _LOOPBACK, high | _LOOPBACK
    mask = table.mask | _FIRST_OCTET
    return Code(table.symbol, low, high, mask, table.score, table.meaning, table.scope, table.deep)
