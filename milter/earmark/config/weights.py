"""Weights that could never count: of lists that nobody asks where the weight stands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from earmark.config.document import Document
from earmark.config.knobs import SECTIONS, Kind, asked_about, knobs_of
from earmark.config.problems import Problem, quoted
from earmark.config.rules import Rules
from earmark.core.mail import domain_key


def weight_problems(default: Document, domains: Sequence[Document], rules: Rules) -> Iterator[Problem]:
    """Find weights for symbols of lists that their section does not ask, where a domain's file lies over default.toml.

    A weight of default.toml counts where default.toml or any domain's file asks the list. Nothing is said of a section
    in which something else is wrong: that is told elsewhere.
    """
    owners = {code.symbol: zone.name for zone in rules.zones.values() for code in zone.codes}
    for section, zones_knob, weights_knob in _SECTIONS:
        usual = _asked(default, section, zones_knob, rules)
        if usual is None:
            continue
        anywhere: set[str] | None = set(usual)
        for document in domains:
            own = _asked(document, section, zones_knob, rules) if zones_knob in _table(document, section) else usual
            yield from _without_effect(document, (section, weights_knob), own, owners, rules)
            anywhere = None if own is None or anywhere is None else anywhere | own
        yield from _without_effect(default, (section, weights_knob), anywhere, owners, rules)


def _sections() -> Iterator[tuple[str, str, str]]:
    """Yield the sections that ask lists, with the names of their knobs of lists and of weights."""
    for section, check in SECTIONS.items():
        by_kind = {knob.kind: knob.name for knob in knobs_of(check).values()}
        if Kind.WEIGHTS in by_kind:
            yield section, by_kind[Kind.ZONES], by_kind[Kind.WEIGHTS]


_SECTIONS = tuple(_sections())


def _table(document: Document, section: str) -> Mapping[str, Any]:
    table = document.values.get(section)
    return table if isinstance(table, dict) else {}


def _asked(document: Document, section: str, knob: str, rules: Rules) -> set[str] | None:
    """Return the lists that a section names; None where one of them is none."""
    names = _table(document, section).get(knob)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    asked = {domain_key(name) for name in names}
    return asked if asked <= rules.zones.keys() else None


def _without_effect(
    document: Document, path: tuple[str, str], asked: set[str] | None, owners: Mapping[str, str], rules: Rules
) -> Iterator[Problem]:
    section, knob = path
    weights = _table(document, section).get(knob)
    if asked is None or not isinstance(weights, dict):
        return
    for symbol in weights:
        if symbol in owners and owners[symbol] not in asked:
            yield document.problem((*path, symbol), f"has no effect: {_hint(section, owners[symbol], rules)}")


def _hint(section: str, owner: str, rules: Rules) -> str:
    """Say what to do about a weight for a symbol of a list that is not asked."""
    fitting = [other for other, _, _ in _SECTIONS if not rules.zone_problem(owner, asked_about(SECTIONS[other]))]
    if section in fitting:
        return (
            f"{quoted(owner)}, whose symbol it is, is not among the zones of [{section}]; add it there, or remove this"
        )
    other = f"; it belongs in [{fitting[0]}.weights]" if fitting else ""
    return f"{quoted(owner)}, whose symbol it is, is never asked in [{section}]{other}"
