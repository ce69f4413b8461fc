"""Entries of the allow and deny lists as people write and read them. Each field's reader raises ValueError."""

import re
from datetime import UTC, date, datetime, timedelta

from earmark.config import values
from earmark.config.problems import quoted
from earmark.core.access import ADDRESS_AT_MOST, AUTHOR_AT_MOST, EVERYBODY, NOTE_AT_MOST, Entry, Kind

_SPAN = re.compile(r"(\d{1,4})([hdw])", re.ASCII)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def subject(text: str, kind: str = "") -> tuple[Kind, str]:
    """Read a subject; `kind` is one of Kind's words, or "" to tell by its form."""
    if kind and kind not in set(Kind):
        raise ValueError(f"{quoted(kind)} is none of {', '.join(Kind)}")
    told = Kind(kind) if kind else _kind_of(text)
    match told:
        case Kind.CLIENT:
            network = values.network(text)
            single = network.prefixlen == network.max_prefixlen
            return told, str(network.network_address if single else network)
        case Kind.SENDER:
            return told, address(text)
        case _ if text == "*":
            raise ValueError('"*" would be everybody')
        case Kind.HELO:  # a machine may greet with a name of its own, such as "localhost"
            return told, values.domain_pattern(text)
        case _:
            return told, _dotted(values.domain_pattern(text), text)


def _dotted(name: str, text: str) -> str:
    if "." not in name:
        raise ValueError(
            f'{quoted(text)} has no dot: a domain is one such as "example.net", an address "bob@example.net"'
        )
    return name


def _kind_of(text: str) -> Kind:
    if "@" in text:
        return Kind.SENDER
    digits = text.partition("/")[0]
    return Kind.CLIENT if ":" in text or "/" in text or re.fullmatch(r"[0-9.]+", digits) else Kind.DOMAIN


def address(text: str) -> str:
    """Read an address of mail, such as "bob@example.org"; returns it in lower case."""
    local, _, domain = text.strip().rpartition("@")
    if not local or not local.isprintable() or any(each in local for each in " <>,"):
        raise ValueError(f"{quoted(text)} is not an address of mail")
    found = f"{local.lower()}@{values.host_name(domain)}"
    if len(found) > ADDRESS_AT_MOST:
        raise ValueError(f"longer than {ADDRESS_AT_MOST} characters")
    return found


def scope(text: str) -> str:
    """Read a scope: a recipient's address, its domain, or "" for everybody."""
    if not text:
        return EVERYBODY
    return address(text) if "@" in text else values.host_name(text)


def expiry(text: str, now: datetime) -> int:
    """Read "12h", "30d", "4w" from now on, a date or a time (UTC where it names no offset); "" is never.

    Return seconds since the epoch, 0 for never.
    """
    if not text:
        return 0
    span = _SPAN.fullmatch(text)
    try:
        until = now + int(span[1]) * _UNITS[span[2]] if span else _time(text)
        return int(until.timestamp())
    except (ValueError, OverflowError):
        raise ValueError(f'{quoted(text)} is neither a time such as "30d" nor a date such as "2027-06-01"') from None


def _time(text: str) -> datetime:
    if len(text) == len("2027-06-01"):
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def time_text(seconds: float) -> str:
    """Return a time as lists and exports show it, "" for 0."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""


def entry_line(entry: Entry) -> str:
    """Return an entry in one line for people."""
    words = [entry.verb, entry.kind, entry.subject, f"for {entry.scope or 'everybody'}"]
    words += [f"until {time_text(entry.expires)}"] if entry.expires else []
    words += ["unauthenticated"] if entry.unauthenticated else []
    words.append(f"by {entry.author or 'nobody'} {entry.created}".rstrip())
    return " ".join(words) + (f": {entry.note}" if entry.note else "")


def entry_columns(entry: Entry) -> tuple[str, ...]:
    """Return the same as cells of a table."""
    return (
        entry.verb,
        entry.kind,
        entry.subject,
        f"for {entry.scope or 'everybody'}",
        f"until {time_text(entry.expires)}" if entry.expires else "",
        "unauthenticated" if entry.unauthenticated else "",
        f"by {entry.author or 'nobody'} {entry.created}".rstrip(),
        entry.note,
    )


def line(text: str, at_most: int = NOTE_AT_MOST) -> str:
    """Read a note: one line without control characters."""
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    if len(text) > at_most:
        raise ValueError(f"longer than {at_most} characters")
    return text


def author(text: str) -> str:
    """Read the name of who made an entry: one word."""
    if not text or " " in text:
        raise ValueError(f"{quoted(text)} is not one word")
    return line(text, AUTHOR_AT_MOST)


def flag(text: str) -> bool:
    """Read "true" or "false", or "" for the latter."""
    if text not in ("true", "false", ""):
        raise ValueError(f"must be true or false, not {quoted(text)}")
    return text == "true"
