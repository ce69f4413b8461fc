"""What is in force, as TOML: for people, and the same every time."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from earmark.config.knobs import SECTIONS, Kind, knobs_of
from earmark.config.schema import TOP_LEVEL, SiteTable
from earmark.config.server import TOP_LEVEL_OF_SERVER
from earmark.config.settings import ServerSettings
from earmark.core.evidence import points_text
from earmark.core.mail import Site
from earmark.core.policy import Place, Policy

BUILT_IN = "built in"
_THRESHOLDS = ("refuse_at", "mark_at")
_SITE = tuple(key for key in Site._fields if key in SiteTable.model_fields)


class Setting(NamedTuple):
    """One setting in force."""

    section: str
    """ "" for what stands above the first section."""
    key: str
    text: str
    """The value as TOML."""
    origin: str
    """file:line, or "built in"."""


def policy_settings(policy: Policy) -> Iterator[Setting]:
    """Yield a policy's settings in the order of default.toml."""
    for key in TOP_LEVEL:
        value = getattr(policy, key)
        text = points_text(value) if key in _THRESHOLDS else toml(value)
        yield Setting("", key, text, _origin(policy.places, key))
    for section, check in SECTIONS.items():
        tables = []
        for name, knob in knobs_of(check).items():
            value = getattr(policy.knobs[section], name)
            if knob.kind is Kind.WEIGHTS:
                tables.append((f"{section}.{name}", value))
            else:
                yield Setting(section, name, _knob_text(knob.kind, value), _origin(policy.places, f"{section}.{name}"))
        for table, weights in tables:
            for symbol in sorted(weights):
                yield Setting(table, symbol, points_text(weights[symbol]), _origin(policy.places, f"{table}.{symbol}"))


def _knob_text(kind: Kind, value: Any) -> str:  # noqa: ANN401 - as the knob says
    match kind:
        case Kind.WEIGHT:
            return points_text(value)
        case Kind.ZONES | Kind.NAMES:
            return toml([rule.name for rule in value])
    return toml(value)


def server_settings_shown(server: ServerSettings, section: str = "server") -> Iterator[Setting]:
    """Yield a machine's settings below [server]. [site] domains holds those of the domains' files, too."""
    for key in TOP_LEVEL_OF_SERVER:
        yield Setting(section, key, toml(getattr(server, key)), _origin(server.places, key))
    for table in ("site", "milter", "dns", "history", "store"):
        values = getattr(server, table)
        for key in _SITE if isinstance(values, Site) else [field.name for field in fields(values)]:
            value = getattr(values, key)
            text = f"0o{value:03o}" if key == "socket_mode" else toml(value)
            yield Setting(f"{section}.{table}", key, text, _origin(server.places, f"{table}.{key}"))


def _origin(places: Mapping[str, Place], key: str) -> str:
    return str(places.get(key, BUILT_IN))


def toml(value: object) -> str:
    """Return a value as TOML. Sets are sorted."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case StrEnum() | str() | Path():
            return _string(str(value))
        case frozenset():
            return toml(sorted(value, key=str))
        case list() | tuple():
            return f"[{', '.join(toml(entry) for entry in value)}]"
    return _string(str(value))


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def lines(settings: Iterator[Setting], *, origin: bool) -> Iterator[str]:
    """Yield the lines of a TOML document; `origin` adds who set each value."""
    current, first = "", True
    for setting in settings:
        if setting.section != current:
            current = setting.section
            if not first:
                yield ""
            yield f"[{current}]"
        first = False
        line = f"{setting.key} = {setting.text}"
        yield f"{line}  # {setting.origin}" if origin else line
