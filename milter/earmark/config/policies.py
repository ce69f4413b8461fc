"""default.toml and domains/*.toml: names resolved, one laid over the other, and made into Policy values."""

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from earmark.config.document import Document, Path
from earmark.config.knobs import HIGHEST, SECTIONS, Kind, Knob, asked_about, knobs_of
from earmark.config.problems import Problem, quoted
from earmark.config.rules import Rules
from earmark.config.values import domain_pattern, points
from earmark.core.checks import Check
from earmark.core.evidence import Points, points_text
from earmark.core.mail import domain_key
from earmark.core.policy import Mode, Place, Policy

Settings = Mapping[str, Any]


class PolicyText(NamedTuple):
    """A policy file without problems, and what it sets."""

    document: Document
    settings: Settings
    """As `schema.written` returns them."""

    @property
    def domains(self) -> list[str]:
        """The domains and patterns that it is for; default.toml has none."""
        return list(self.settings.get("domains", ()))


def overlay(base: Settings, over: Settings) -> Settings:
    """Return `base` with what `over` sets: tables key by key, everything else as a whole."""
    both = {key: overlay(base[key], over[key]) for key in over if key in base and isinstance(over[key], Mapping)}
    return {**base, **over, **both}


def name_problems(document: Document, rules: Rules) -> Iterator[Problem]:
    """Find lists, name rules and symbols that rules/ does not have, or that do not belong there.

    This looks at the values as they stand, of which some may be of the wrong type: that is told elsewhere.
    """
    for section, knob, value in _knobs_set(document.values):
        path: Path = (section, knob.name)
        match knob.kind, value:
            case Kind.ZONES, list():
                subject = asked_about(SECTIONS[section])
                yield from _list_problems(document, path, value, partial(rules.zone_problem, asked_about=subject))
            case Kind.NAMES, list():
                yield from _list_problems(document, path, value, rules.name_problem)
            case Kind.WEIGHTS, dict():
                for symbol, raw in value.items():
                    reason = rules.weight_problem(symbol, _score(raw) or 0)
                    if reason:
                        yield document.problem((*path, symbol), reason)


def _knobs_set(values: Settings) -> Iterator[tuple[str, Knob, Any]]:
    for section, check in SECTIONS.items():
        table = values.get(section)
        knobs = knobs_of(check)
        for name, value in table.items() if isinstance(table, dict) else ():
            if name in knobs:
                yield section, knobs[name], value


def _list_problems(document: Document, path: Path, value: list[Any], find: Callable[[str], str]) -> Iterator[Problem]:
    for number, name in enumerate(value):
        if isinstance(name, str):
            reason = f"{quoted(name)} stands here twice" if name in value[:number] else find(name)
            if reason:
                yield document.problem((*path, number), reason)


def _score(raw: object) -> Points | None:
    try:
        return points(range(-HIGHEST, HIGHEST + 1))(raw)
    except ValueError:
        return None


def threshold_problems(document: Document, default: Document) -> Iterator[Problem]:
    """Find thresholds that are out of order where default.toml stands below this file (or is this file)."""
    values = {**default.values, **document.values}
    mark_at, refuse_at = _score(values.get("mark_at")), _score(values.get("refuse_at"))
    if mark_at is None or refuse_at is None or mark_at <= refuse_at:
        return
    if "mark_at" in document.values:
        other = (document if "refuse_at" in document.values else default).place(("refuse_at",))
        reason = f"{points_text(mark_at)} is above refuse_at, {points_text(refuse_at)} ({other})"
        yield document.problem(("mark_at",), reason)
    elif "refuse_at" in document.values:
        other = default.place(("mark_at",))
        reason = f"{points_text(refuse_at)} is below mark_at, {points_text(mark_at)} ({other})"
        yield document.problem(("refuse_at",), reason)


def greylist_problems(document: Document, default: Document) -> Iterator[Problem]:
    """Find greylisting that is switched on and could never happen, since what it begins at is refused already.

    Where default.toml alone says all of it, it is told there and not for each domain.
    """
    own = _greylist(document)
    table = {**_greylist(default), **own}
    from_score = _score(table.get("from_score"))
    refuse_at = _score({**default.values, **document.values}.get("refuse_at"))
    if table.get("enabled") is not True or from_score is None or refuse_at is None or from_score < refuse_at:
        return
    key = next((key for key in ("from_score", "enabled") if key in own), "")
    if key or "refuse_at" in document.values:
        path: Path = ("greylist", key) if key else ("refuse_at",)
        scores = f"from_score, {points_text(from_score)}, is not below refuse_at, {points_text(refuse_at)}"
        yield document.problem(path, f"{scores}: nobody would be told to come back")


def _greylist(document: Document) -> Settings:
    table = document.values.get("greylist")
    return table if isinstance(table, dict) else {}


def claim_problems(documents: Iterable[Document]) -> Iterator[Problem]:
    """Find domains and patterns that are claimed twice."""
    claimed: dict[str, Place] = {}
    for document in documents:
        domains = document.values.get("domains")
        for number, raw in enumerate(domains if isinstance(domains, list) else ()):
            try:
                domain = domain_pattern(raw)
            except ValueError:
                continue
            path: Path = ("domains", number)
            if domain in claimed:
                yield document.problem(path, f"{quoted(raw)} is claimed at {claimed[domain]} too")
            claimed.setdefault(domain, document.place(path))


class Compiler:
    """Makes Policy values out of texts without problems. Equal sections share one value, and so are asked once."""

    def __init__(self, default: PolicyText, rules: Rules, ceiling: Mode, ceiling_place: Place | None) -> None:
        """`ceiling` is the server's mode, set at `ceiling_place`: no policy goes further."""
        self._default = default
        self._rules = rules
        self._ceiling = ceiling
        self._ceiling_place = ceiling_place
        self._shared: dict[str, Any] = {}
        self._places = {**rules.places, **_places(default)}

    def default(self) -> Policy:
        """Return the policy of everybody whom no file names."""
        return self._policy("default", self._default.settings, self._places)

    def domain(self, text: PolicyText) -> Policy:
        """Return the policy of a domain's file."""
        settings = overlay(self._default.settings, text.settings)
        return self._policy(text.domains[0], settings, ChainMap(_places(text), self._places))

    def _policy(self, name: str, settings: Settings, places: Mapping[str, Place]) -> Policy:
        mode: Mode = settings["mode"]
        if _milder(self._ceiling, mode) is not mode and self._ceiling_place:
            places = ChainMap({"mode": self._ceiling_place}, *getattr(places, "maps", [places]))
        return Policy(
            name=name,
            mode=_milder(self._ceiling, mode),
            on_error=settings["on_error"],
            refuse_at=settings["refuse_at"],
            mark_at=settings["mark_at"],
            subject_tag=settings["subject_tag"],
            help_url=settings["help_url"],
            knobs={section: self._knobs(check, settings[section]) for section, check in SECTIONS.items()},
            places=places,
            dmarc=settings["dmarc"],
        )

    def _knobs(self, check: Check, section: Settings) -> Any:  # noqa: ANN401 - each check has its own class
        key = f"{check.name} {sorted(section.items())!r}"
        if key not in self._shared:
            kinds = knobs_of(check)
            self._shared[key] = check.knobs(**{name: self._value(kinds[name], section[name]) for name in section})
        return self._shared[key]

    def _value(self, knob: Knob, value: Any) -> Any:  # noqa: ANN401 - as the knob says
        match knob.kind:
            case Kind.ZONES:
                return tuple(self._rules.zones[domain_key(name)] for name in value)
            case Kind.NAMES:
                return tuple(self._rules.names[name] for name in value)
            case Kind.DOMAINS:
                return tuple(value)
        return value


def _milder(one: Mode, other: Mode) -> Mode:
    order = list(Mode)
    return min(one, other, key=order.index)


def _places(text: PolicyText) -> dict[str, Place]:
    found = {}
    for key, value in text.settings.items():
        if key in ("domains", "test"):
            continue
        if key not in SECTIONS:
            found[key] = text.document.place((key,))
            continue
        for name, inner in value.items():
            found[f"{key}.{name}"] = text.document.place((key, name))
            for symbol in inner if isinstance(inner, Mapping) else ():
                found[f"{key}.{name}.{symbol}"] = text.document.place((key, name, symbol))
    return found
