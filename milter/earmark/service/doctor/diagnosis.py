"""What one check found: a value."""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """How a check ended. UNKNOWN never reads as well: something kept us from looking."""

    FAIL = "fail"
    WARN = "warn"
    UNKNOWN = "unknown"
    PASS = "pass"  # noqa: S105 - no password


class Diagnosis(NamedTuple):
    """One check, what it saw, and what to do about it. The texts may quote files and servers: print them escaped."""

    check: str
    """Its subject, such as "resolver 192.0.2.53:53"."""
    state: State
    seen: str
    mend: str = ""
    """One line; "" for State.PASS."""


def passes(check: str, seen: str) -> Diagnosis:
    """Say that all is well."""
    return Diagnosis(check, State.PASS, seen)


def warns(check: str, seen: str, mend: str) -> Diagnosis:
    """Say that mail is judged, though not as well as it could be."""
    return Diagnosis(check, State.WARN, seen, mend)


def fails(check: str, seen: str, mend: str) -> Diagnosis:
    """Say that mail is not judged as configured, or that somebody could read or change what he must not."""
    return Diagnosis(check, State.FAIL, seen, mend)


def unknown(check: str, seen: str, mend: str) -> Diagnosis:
    """Say that it could not be found out."""
    return Diagnosis(check, State.UNKNOWN, seen, mend)
