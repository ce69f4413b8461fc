"""Entries of the allow and deny lists, briefly."""

from typing import Any

from earmark.core.access import EVERYBODY, Entry, Kind, Verb


def allow(kind: Kind, subject: str, scope: str = EVERYBODY, **more: Any) -> Entry:
    return Entry(Verb.ALLOW, kind, subject, scope, **more)


def deny(kind: Kind, subject: str, scope: str = EVERYBODY, **more: Any) -> Entry:
    return Entry(Verb.DENY, kind, subject, scope, **more)
