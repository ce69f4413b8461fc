"""The shape of each kind of file. pydantic finds what is unknown, missing or of the wrong type, all at once."""

import re
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, create_model
from pydantic_core import ErrorDetails

from earmark.config import document, values
from earmark.config.document import Document
from earmark.config.knobs import HEAVIEST, HIGHEST, SECTIONS, Kind, Knob, knobs_of
from earmark.config.problems import Problem, did_you_mean, quoted
from earmark.core.checks import Check
from earmark.core.evidence import NO_POINTS, Points
from earmark.core.policy import AfterData, Mode, OnError
from earmark.core.zones import ZoneKind

Weight = Annotated[Points, PlainValidator(values.points(range(HEAVIEST + 1)))]
SignedWeight = Annotated[Points, PlainValidator(values.points(range(-HEAVIEST, HEAVIEST + 1)))]
Threshold = Annotated[Points, PlainValidator(values.points(range(1, HIGHEST + 1)))]
ModeWord = Annotated[Mode, PlainValidator(values.one_of(Mode))]
HostName = Annotated[str, PlainValidator(values.host_name)]
Pattern = Annotated[str, PlainValidator(values.domain_pattern)]
Address = Annotated[str, PlainValidator(values.address)]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(values.network)]
Symbol = Annotated[str, PlainValidator(values.symbol)]
AnswerCode = Annotated[int, PlainValidator(values.number_of_ipv4)]
Word = Annotated[str, PlainValidator(values.name_word)]
Line = Annotated[str, PlainValidator(values.ascii_line(200))]


class Table(BaseModel):
    """A table in which every key must be known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class MilterTable(Table):
    """[milter]."""

    engine: Literal["native", "libmilter"] = "native"
    listen: list[Annotated[str, PlainValidator(values.listening_socket)]] = Field(
        default=["inet:127.0.0.1:8890"], min_length=1
    )
    socket_mode: Annotated[int, PlainValidator(values.permissions)] = 0o660
    idle: Annotated[float, PlainValidator(values.seconds(10, 86400))] = 7200.0


class PolicyTable(Table):
    """[policy]."""

    listen: list[Annotated[str, PlainValidator(values.listening_socket)]] = []
    idle: Annotated[float, PlainValidator(values.seconds(10, 86400))] = 600.0


class EximTable(Table):
    """[exim]."""

    listen: list[Annotated[str, PlainValidator(values.listening_socket)]] = []
    idle: Annotated[float, PlainValidator(values.seconds(10, 86400))] = 300.0


class DnsTable(Table):
    """[dns]."""

    resolvers: list[Annotated[str, PlainValidator(values.resolver)]] = []


class HistoryTable(Table):
    """[history]."""

    days: Annotated[int, PlainValidator(values.whole(range(1, 3651)))] = 30
    megabytes: Annotated[int, PlainValidator(values.whole(range(1, 1_000_001)))] = 500


class StoreTable(Table):
    """[store]."""

    url: Annotated[str, PlainValidator(values.store_url)] = ""
    password_file: Annotated[str, PlainValidator(values.file_path)] = ""


Endpoint = Annotated[str, PlainValidator(values.endpoint)]


class ClamdTable(Table):
    """[clamd]."""

    endpoints: list[Endpoint] = []
    at_once: Annotated[int, PlainValidator(values.whole(range(1, 1001)))] = 8


class SpamdTable(Table):
    """[spamd]."""

    endpoints: list[Endpoint] = []
    at_once: Annotated[int, PlainValidator(values.whole(range(1, 1001)))] = 4


class QuarantineTable(Table):
    """[quarantine]."""

    submission: Annotated[str, PlainValidator(values.inet_endpoint)] = "inet:127.0.0.1:25"


class LearningTable(Table):
    """[learning]."""

    journal: Annotated[Path, PlainValidator(values.directory)] = Path("/var/lib/earmark-learning")
    per_hour: Annotated[int, PlainValidator(values.whole(range(10_001)))] = 60
    days: Annotated[int, PlainValidator(values.whole(range(1, 3651)))] = 90


class SiteTable(Table):
    """[site]."""

    names: list[HostName] = []
    addresses: list[Address] = []
    networks: list[Network] = []
    relays: list[Network] = []
    domains: list[HostName] = []


class ServerFile(Table):
    """server.toml. What it leaves out has the default given here."""

    schema_: Literal[1] = Field(alias="schema")
    mode: ModeWord = Mode.ENFORCE
    user: Annotated[str, PlainValidator(values.ascii_line(32))] = ""
    state: Annotated[Path, PlainValidator(values.directory)] = Path("/var/lib/earmark")
    shadow: Annotated[str, PlainValidator(values.directory_if_any)] = ""
    workers: Annotated[int, PlainValidator(values.whole(range(257)))] = 0
    budget: Annotated[float, PlainValidator(values.seconds(0.1, 60))] = 6.0
    scan_budget: Annotated[float, PlainValidator(values.seconds(0.1, 250))] = 60.0
    drain: Annotated[float, PlainValidator(values.seconds(0, 3600))] = 30.0
    milter: MilterTable = Field(default_factory=MilterTable)
    policy: PolicyTable = PolicyTable()
    exim: EximTable = EximTable()
    dns: DnsTable = DnsTable()
    history: HistoryTable = HistoryTable()
    store: StoreTable = StoreTable()
    clamd: ClamdTable = ClamdTable()
    spamd: SpamdTable = SpamdTable()
    quarantine: QuarantineTable = QuarantineTable()
    learning: LearningTable = LearningTable()
    site: SiteTable = SiteTable()


class CodeTable(Table):
    """[[zone.code]]: exactly one of `code` and `range`, which rules.py looks after."""

    symbol: Symbol
    code: AnswerCode | None = None
    range: list[AnswerCode] = Field([], min_length=2, max_length=2)
    mask: AnswerCode = 0xFFFFFFFF
    score: SignedWeight
    meaning: Line
    scope: Literal["address", "network", "policy", "domain"]
    deep: bool = False


class ErrorTable(Table):
    """[[zone.error]]: exactly one of `code` and `range`."""

    code: AnswerCode | None = None
    range: list[AnswerCode] = Field([], min_length=2, max_length=2)
    meaning: Line


class ZoneTable(Table):
    """[[zone]]."""

    name: HostName
    owner: Line
    kind: Annotated[ZoneKind, PlainValidator(values.one_of(ZoneKind))]
    ask: list[Literal["connection", "received", "sender", "helo", "reverse"]]
    ipv4: bool = True
    ipv6: bool = False
    canaries: list[Literal["listed", "unlisted"]] = ["listed", "unlisted"]
    budget: Annotated[int, PlainValidator(values.whole(range(1_000_000_001)))] = 0
    key_file: Annotated[str, PlainValidator(values.file_path)] = ""
    timeout: Annotated[float, PlainValidator(values.seconds(0.1, 60))] = 5.0
    terms: str = ""
    review: Annotated[str, PlainValidator(values.day)] = ""
    code: list[CodeTable] = Field(min_length=1)
    error: list[ErrorTable] = []


class DeadTable(Table):
    """[[dead]]."""

    name: HostName
    since: Annotated[str, PlainValidator(values.day)]
    why: Line


class NameTable(Table):
    """[[name]]. `hit` and `miss` are examples, [host, address], which the tests run."""

    name: Symbol
    words: list[Word] = []
    address: bool = False
    unless: list[Word] = []
    hit: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    miss: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []


class RulesFile(Table):
    """Any file in rules/. Its entries are validated one by one, so that a broken one does not hide the others."""

    zone: list[dict[str, Any]] = []
    dead: list[dict[str, Any]] = []
    name: list[dict[str, Any]] = []


class PolicyTestTable(Table):
    """[[test]] of a policy file (docs/policy-tests.md)."""

    about: Line
    client: Address
    helo: str | None = None
    sender: str = Field("", alias="from")
    rcpt: str = ""
    user: str = ""
    received: list[str] = []
    message: str = ""
    dns: list[str] = []
    virus: Line = ""
    spam: Annotated[Points, PlainValidator(values.points(range(-HIGHEST, HIGHEST + 1)))] = NO_POINTS
    action: Literal["accept", "mark", "quarantine", "defer", "reject"]
    findings: list[Symbol] | None = None
    refuse_score: Annotated[Points, PlainValidator(values.points(range(-HIGHEST, HIGHEST + 1)))] | None = None


TOP_LEVEL: dict[str, Any] = {
    "mode": ModeWord,
    "on_error": Annotated[OnError, PlainValidator(values.one_of(OnError))],
    "refuse_at": Threshold,
    "mark_at": Threshold,
    "subject_tag": Annotated[str, PlainValidator(values.ascii_line(60))],
    "help_url": Annotated[str, PlainValidator(values.url)],
    "dmarc": Annotated[AfterData, PlainValidator(values.one_of(AfterData))],
}
"""The settings of a policy file that belong to no check."""


_WRITTEN: dict[Kind, Any] = {
    Kind.WEIGHTS: dict[str, SignedWeight],
    Kind.ZONES: list[str],
    Kind.NAMES: list[str],
    Kind.DOMAINS: list[HostName],
    Kind.LIMIT: Annotated[str, PlainValidator(values.rate)],
    Kind.SPAM_USER: Annotated[str, PlainValidator(values.spam_user)],
}
"""How knobs are written whose kind says it all."""


def _setting(knob: Knob) -> Any:  # noqa: ANN401 - annotations have no type of their own
    match knob.kind:
        case Kind.WEIGHT:
            return Annotated[Points, PlainValidator(values.points(knob.allowed))]
        case Kind.NUMBER:
            return Annotated[int, PlainValidator(values.whole(knob.allowed))]
        case kind if kind in _WRITTEN:
            return _WRITTEN[kind]
    if isinstance(knob.type, type) and issubclass(knob.type, StrEnum):
        return Annotated[knob.type, PlainValidator(values.one_of(knob.type))]
    return knob.type


def _policy_file(name: str, *, complete: bool) -> type[Table]:
    default: Any = ... if complete else None

    def section(check: Check) -> type[Table]:
        knobs: dict[str, Any] = {knob.name: (_setting(knob), default) for knob in knobs_of(check).values()}
        made: type[Table] = create_model(check.name, __base__=Table, **knobs)
        return made

    shape: dict[str, Any] = {key: (kind, default) for key, kind in TOP_LEVEL.items()}
    shape |= {key: (section(check), default) for key, check in SECTIONS.items()}
    shape["test"] = (list[PolicyTestTable], [])
    if not complete:
        shape["domains"] = (Annotated[list[Pattern], Field(min_length=1)], ...)
    made: type[Table] = create_model(name, __base__=Table, **shape)
    return made


DefaultFile = _policy_file("DefaultFile", complete=True)
"""default.toml: every setting must be there."""
DomainFile = _policy_file("DomainFile", complete=False)
"""A file in domains/: `domains`, and any of the settings."""

File = TypeVar("File", bound=Table)


def validate(read: Document, shape: type[File], at: document.Path = ()) -> tuple[File | None, list[Problem]]:
    """Return the values below `at` as `shape` has them, or None and all that is wrong with their form."""
    values_there: Any = read.values
    for part in at:
        values_there = values_there[part]
    try:
        return shape.model_validate(values_there), []
    except ValidationError as error:
        return None, [_problem(read, shape, at, found) for found in error.errors(include_url=False)]


def written(table: BaseModel) -> dict[str, Any]:
    """Return what a file sets, and nothing that it leaves out."""
    return {
        key: written(value) if isinstance(value := getattr(table, key), BaseModel) else value
        for key in type(table).model_fields
        if key in table.model_fields_set
    }


def _problem(read: Document, shape: type[Table], at: document.Path, found: ErrorDetails) -> Problem:
    path: document.Path = found["loc"]
    context = found.get("ctx", {})
    match found["type"]:
        case "list_type" if path == ("test",):
            reason = "must be written [[test]], once for each test"
        case "extra_forbidden":
            reason = "unknown setting" + _hint(shape, path)
        case "missing":
            reason = "missing" + _missing_hint(path)
        case "value_error":
            reason = str(context["error"])
        case "literal_error" if words := re.findall(r"'([^']+)'", context["expected"]):
            reason = values.none_of(words, found["input"])
        case kind:
            reason = _REASONS.get(kind, found["msg"]).format(given=quoted(found["input"]), **context)
    return read.problem((*at, *path), reason)


_REASONS = {
    "model_type": "must be a table, not {given}",
    "dict_type": "must be a table, not {given}",
    "list_type": "must be a list, not {given}",
    "string_type": "must be a string, not {given}",
    "bool_type": "must be true or false, not {given}",
    "literal_error": "must be {expected}, not {given}",
    "too_short": "has fewer than {min_length} entries",
    "too_long": "has more than {max_length} entries",
}


def _missing_hint(path: document.Path) -> str:
    first, *rest = path
    if path == ("schema",):
        return "; this version reads schema = 1"
    if first not in SECTIONS and first not in TOP_LEVEL:
        return ""
    if rest and knobs_of(SECTIONS[str(first)])[str(rest[0])].kind is Kind.WEIGHT:
        return f"; {rest[0]} = 0.00 switches it off"
    return "; copy it from the default.toml that `earmark config init DIR` writes"


def _hint(shape: type[Table], path: document.Path) -> str:
    """Return what an unknown key may have been meant to be: a near one of its table, or one of another table."""
    *around, key = path
    known = _keys(shape, around)
    near = did_you_mean(str(key), known)
    if near or not around:
        return near
    if str(key) in _keys(shape, []):
        return "; it belongs above the first [section]"
    other = next((section for section in SECTIONS if section != around[0] and key in _keys(shape, [section])), "")
    return f"; it belongs in [{other}]" if other else ""


def _keys(shape: type[BaseModel], around: list[str | int]) -> list[str]:
    for part in around:
        if isinstance(part, str) and part in shape.model_fields:
            inner = shape.model_fields[part].annotation
            inner = getattr(inner, "__args__", (inner,))[0]
            if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
                return []
            shape = inner
    return [field.alias or name for name, field in shape.model_fields.items()]
