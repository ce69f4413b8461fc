"""What the knobs of the checks are, derived from the dataclasses beside them: adding a check changes nothing here.

A knob is one of: `Points` (a weight, 0 or more unless `Annotated[Points, range(...)]` says otherwise, in hundredths),
`dict[str, Points]` (weights by symbol), `tuple[Zone, ...]`, `tuple[NameRule, ...]` (written as names of rules),
`tuple[str, ...]` (domains), a whole number `Annotated[int, range(...)]`, a `Limit` of rates, a `SpamUser`,
`bool`, `str` or a StrEnum.
"""

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum, auto
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from earmark.core.checks import CHECKS, Check
from earmark.core.checks.content import SpamUser
from earmark.core.checks.rates import Limit
from earmark.core.evidence import Origin, Points
from earmark.core.names import NameRule
from earmark.core.zones import Zone

HEAVIEST = 100_00
"""Hundredths of a point that one weight may have at most: a slip such as 800 for 8.00 does not pass."""
HIGHEST = 1000_00
"""Hundredths of a point that a threshold may have at most: out of reach of any sum."""


class Kind(Enum):
    """What a knob holds, as far as configuration must know."""

    WEIGHT = auto()
    WEIGHTS = auto()
    ZONES = auto()
    NAMES = auto()
    DOMAINS = auto()
    NUMBER = auto()
    LIMIT = auto()
    SPAM_USER = auto()
    PLAIN = auto()


class Knob(NamedTuple):
    """One field of a check's dataclass."""

    name: str
    kind: Kind
    type: Any
    allowed: range


_KINDS = ((Points, Kind.WEIGHT), (dict[str, Points], Kind.WEIGHTS), (tuple[Zone, ...], Kind.ZONES),
          (tuple[NameRule, ...], Kind.NAMES), (tuple[str, ...], Kind.DOMAINS), (int, Kind.NUMBER),
          (Limit, Kind.LIMIT), (SpamUser, Kind.SPAM_USER))  # fmt: skip
_ALLOWED = {Kind.WEIGHT: range(HEAVIEST + 1), Kind.NUMBER: range(1_000_001)}


@cache
def knobs_of(check: Check) -> Mapping[str, Knob]:
    """Return a check's knobs by name, in the order of its dataclass."""
    hints = get_type_hints(check.knobs, include_extras=True)
    return MappingProxyType({field.name: _knob(field.name, hints[field.name]) for field in fields(check.knobs)})


def _knob(name: str, annotation: Any) -> Knob:  # noqa: ANN401 - annotations have no type of their own
    base, *metadata = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    kind = next((kind for known, kind in _KINDS if known == base), Kind.PLAIN)
    allowed = next((entry for entry in metadata if isinstance(entry, range)), _ALLOWED.get(kind, range(0)))
    return Knob(name, kind, base, allowed)


_ASKED_ABOUT = {
    Origin.CONNECTION: ("connection",),
    Origin.ENVELOPE: ("sender", "helo", "reverse"),
    Origin.HEADER: ("received",),
}


def asked_about(check: Check) -> tuple[str, ...]:
    """Return what a zone of this check is asked about, at least one of these words of `ask` in rules/zones.toml."""
    return _ASKED_ABOUT[check.origin]


SECTIONS: Mapping[str, Check] = MappingProxyType({check.name: check for check in CHECKS})
"""The sections of a policy file."""
