"""What Sendmail's sendmail.cf means for us: its filters (libmilter's README, "Configuration"), and their time-outs.

The line that we recommend, with its reasons, is in deploy/sendmail/earmark.m4.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown, warns
from earmark.service.doctor.milters import leads_to
from earmark.service.doctor.postfix import Needs

CONFIGURATION = Path("/etc/mail/sendmail.cf")
_LARGEST = 1 << 20
_MARGIN = 2
"""Sendmail must have at least so many times our budget: its clock runs from before we read to after we answer."""
_DEFAULTS = {"C": "5m", "S": "10s", "R": "10s", "E": "5m"}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TIME = re.compile(r"(?:[0-9]+[smhdw])*[0-9]*", re.IGNORECASE)
_PART = re.compile(r"([0-9]+)([smhdw]?)", re.IGNORECASE)
_LINE = "INPUT_MAIL_FILTER line, as in deploy/sendmail/earmark.m4"
_ANEW = "and make sendmail.cf anew"


class Filter(NamedTuple):
    """One X line."""

    name: str
    socket: str
    """As Sendmail spells it, such as "inet:8890@127.0.0.1"."""
    flag: str
    """What becomes of mail while the filter is down: "T", "R", "4", or "" for nothing."""
    timeouts: Mapping[str, str]
    """By letter: C, S, R and E."""


class Sendmail(NamedTuple):
    """What sendmail.cf says of filters."""

    filters: tuple[Filter, ...]
    asked: frozenset[str]
    """The names of those that are asked (InputMailFilters)."""


def read_sendmail(text: str) -> Sendmail:
    """Read a sendmail.cf; all but its filters is passed over."""
    filters, asked = list[Filter](), frozenset[str]()
    unfolded = re.sub(r"\n[ \t]+", " ", text)
    for line in unfolded.splitlines():
        if line.startswith("X"):
            filters.append(_filter(line[1:]))
        elif found := re.match(r"O\s+InputMailFilters\s*=(.*)", line, re.IGNORECASE):
            asked = frozenset(name.strip() for name in re.split(r"[,;]", found[1]))
    return Sendmail(tuple(filters), asked)


def _filter(line: str) -> Filter:
    name, *equates = (part.strip() for part in line.split(","))
    values = {key.strip().upper()[:1]: value.strip() for key, _, value in (one.partition("=") for one in equates)}
    told = (one.partition(":") for one in values.get("T", "").split(";"))
    timeouts = {letter.strip().upper(): value.strip() for letter, _, value in told}
    return Filter(name, values.get("S", ""), values.get("F", "").upper(), {**_DEFAULTS, **timeouts})


def diagnose_sendmail(file: Path | None, needs: Needs) -> Iterator[Diagnosis]:
    """Say how Sendmail and we are put together; nothing where no `file` is named and the usual one is not there."""
    place = file or CONFIGURATION
    try:
        with place.open("rb") as opened:
            text = opened.read(_LARGEST).decode("latin-1")
    except OSError as error:
        if file or not isinstance(error, FileNotFoundError):
            yield unknown("sendmail", f"{place}: {error.strerror}", "run earmark doctor as root, where Sendmail runs")
        return
    yield from diagnose_filters(read_sendmail(text), needs)


def diagnose_filters(sendmail: Sendmail, needs: Needs) -> Iterator[Diagnosis]:
    """Say whether one of the filters is us, and what it is told."""
    check, places = "sendmail filter", " or ".join(map(spelt, needs.listen))
    ours = next((one for one in sendmail.filters if _is_ours(one, needs)), None)
    if ours is None:
        names = ", ".join(f"{one.name} at {one.socket or 'no socket'}" for one in sendmail.filters) or "none"
        mend = f"set EARMARK_SOCKET to {places} in sendmail.mc, include deploy/sendmail/earmark.m4, {_ANEW}"
        yield fails(check, f"the filters of sendmail.cf are not us: {names}", mend)
        return
    if ours.name in sendmail.asked:
        yield passes(check, f"{ours.name} leads to us at {ours.socket}")
    else:
        seen = f"{ours.name} leads to us and is not in InputMailFilters: nobody asks it"
        yield fails(check, seen, f"use INPUT_MAIL_FILTER instead of MAIL_FILTER, {_ANEW}")
    yield _flag(ours.flag)
    yield from _timeouts(ours.timeouts, needs)


def _is_ours(one: Filter, needs: Needs) -> bool:
    return any(leads_to(_as_we_spell(one.socket), spec, "/", chroot=False) for spec in needs.listen)


def _as_we_spell(socket: str) -> str:
    """Return Sendmail's inet:port@host, inet6:port@host, unix:path or local:path as `[milter] listen` has it."""
    kind, _, place = socket.partition(":")
    if kind.lower() not in {"inet", "inet6"}:
        return socket
    port, _, host = place.partition("@")
    return f"inet:[{host}]:{port}" if ":" in host else f"inet:{host}:{port}"


def spelt(listening: str) -> str:
    """Return an entry of `[milter] listen` as Sendmail spells it."""
    kind, _, place = listening.partition(":")
    if kind != "inet":
        return listening
    host, _, port = place.rpartition(":")
    return f"inet6:{port}@{host.strip('[]')}" if host.startswith("[") else f"inet:{port}@{host}"


def _flag(flag: str) -> Diagnosis:
    check = "sendmail filter flag"
    match flag:
        case "T" | "4":
            return passes(check, f"F={flag}: while we are down, senders try again")
        case "R":
            return fails(check, "F=R: while we are down, all mail is refused", f"write F=T in its {_LINE}")
        case "":
            seen = "no F=: while we are down, mail passes unjudged, with whatever X-Spam-Flag its sender forged"
            return warns(check, seen, f"write F=T in its {_LINE}, unless that is meant")
    return fails(check, f"F={flag} is no flag that Sendmail knows", f"write F=T in its {_LINE}")


def _timeouts(timeouts: Mapping[str, str], needs: Needs) -> Iterator[Diagnosis]:
    """Say whether one reply (R), and all at the end of a message (E), may take us as long as we may take."""
    name, longest = max(("budget", needs.budget), ("scan_budget", needs.scan_budget), key=lambda pair: pair[1])
    least = _MARGIN * longest
    for letter in "RE":
        check, value = f"sendmail time-out {letter}", timeouts[letter]
        seconds = read_seconds(value)
        seen = f"{letter}:{value}, and our {name} is {longest:g} s"
        if seconds is None:
            yield fails(check, f"{letter}:{value} is no time that Sendmail can read", f"write T= as in the {_LINE}")
        elif seconds < least:
            mend = f"write {letter}:{least:g}s or more in T= of its {_LINE}"
            yield fails(check, f"{seen}: Sendmail gives up on us while we wait", mend)
        else:
            yield passes(check, seen)


def read_seconds(value: str) -> int | None:
    """Read a time of Sendmail's, such as 90, 2m or 1m30s; None for what is none."""
    if not 0 < len(value) <= 40 or not _TIME.fullmatch(value):
        return None
    return sum(int(number) * _SECONDS[unit.lower()] for number, unit in _PART.findall(value))
