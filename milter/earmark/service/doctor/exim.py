"""How Exim asks us, as `exim -bP` tells it: spamd_address, and the macros of deploy/exim/main."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown, warns
from earmark.service.doctor.milters import leads_to
from earmark.service.doctor.programs import ProgramError, find_program, output_of

_MARGIN = 1.5
"""Exim must have at least so many times our budget: its clock runs from before we read to after we answer."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TIME = re.compile(r"(?:[0-9]{1,6}[smhdw])+")
_DEFAULT_TIMEOUT = "2m"
"""Of spamd_address (the specification of Exim, section 45.2)."""
_HERE = "see deploy/exim/main"


class Exim(NamedTuple):
    """What Exim is configured for."""

    spamd_address: str
    macros: Mapping[str, str]


class Doors(NamedTuple):
    """What Exim must fit, as in server.toml."""

    policy: Sequence[str]
    """[policy] listen."""
    content: Sequence[str]
    """[exim] listen."""
    budget: float
    """Seconds."""
    scan_budget: float = 0.0
    """Likewise; 0 where there is no scanner."""


class _Content(NamedTuple):
    """One entry of spamd_address."""

    endpoint: str
    options: Mapping[str, str]


def examine_exim(doors: Doors, configuration: Path | None) -> Iterator[Diagnosis]:
    """Ask Exim, where server.toml has a door that only Exim comes through. `configuration`: None for its own."""
    if not doors.content:
        return
    program = find_program("exim4") or find_program("exim")
    if not program:
        yield unknown("exim", "there is no Exim on this machine", "run earmark doctor where Exim runs")
        return
    try:
        exim = read_exim(program, configuration)
    except ProgramError as error:
        yield unknown("exim", str(error), "run earmark doctor as root, or name the file with --exim-config")
        return
    yield from diagnose_exim(exim, doors)


def read_exim(program: str, configuration: Path | None, patience: float = 10.0) -> Exim:
    """Ask Exim. Raises ProgramError."""
    where = ["-C", str(configuration.absolute())] if configuration else []
    options = read_pairs(_output(program, [*where, "-bP", "spamd_address"], patience))
    return Exim(options.get("spamd_address", ""), read_pairs(_output(program, [*where, "-bP", "macros"], patience)))


def read_pairs(output: str) -> dict[str, str]:
    """Read lines "name = value" and "name=value"; others are passed over."""
    pairs = [line.partition("=") for line in output.splitlines()]
    return {name.strip(): value.strip() for name, sign, value in pairs if sign}


def _output(program: str, words: list[str], patience: float) -> str:
    status, said = output_of(program, ["exim", *words], patience)
    if status:
        why = [line.strip() for line in said.splitlines() if line.strip() and "PANIC" not in line]
        raise ProgramError(f"exim: {why[0] if why else f'it ended with {status}'}")
    return said


def diagnose_exim(exim: Exim, doors: Doors) -> Iterator[Diagnosis]:
    """Say how Exim and our doors are put together."""
    yield from _content(exim, doors)
    door = exim.macros.get("EARMARK_POLICY_DOOR", "")
    if not door:
        seen = "Exim has no macro EARMARK_POLICY_DOOR: unless ACLs of your own ask us, nobody is refused at RCPT"
        yield warns("exim policy door", seen, "include deploy/exim, or see that the ACLs ask [policy] listen")
        return
    yield _policy(door, doors.policy)
    yield _timeout("exim time at RCPT", exim.macros.get("EARMARK_RCPT_WITHIN", ""), "budget", doors.budget)
    for macro, what in (("EARMARK_IF_DOWN_AT_RCPT", "refused"), ("EARMARK_IF_DOWN_AFTER_DATA", "marked")):
        if exim.macros.get(macro, "").lower() == "accept":
            seen = f"{macro} = accept: while we are down, nothing is {what}"
            yield warns(f"exim {macro}", seen, "set it to defer, unless that is meant")


def _content(exim: Exim, doors: Doors) -> Iterator[Diagnosis]:
    check, value = "exim content door", exim.spamd_address
    ours = next((one for one in _entries(value) if _leads(one.endpoint, doors.content)), None)
    if ours is None:
        mend = f"set EARMARK_CONTENT_DOOR so that it leads to {' or '.join(doors.content)}; {_HERE}"
        yield fails(check, f"spamd_address = {value}: it does not name us", mend)
        return
    if ours.options.get("variant") != "rspamd":
        seen = f"spamd_address = {value}: without variant=rspamd Exim speaks to us as to spamd"
        yield fails(check, seen, f"add variant=rspamd; {_HERE}")
        return
    yield passes(check, f"spamd_address leads to us at {ours.endpoint}")
    name = "scan_budget" if doors.scan_budget > doors.budget else "budget"
    seconds = max(doors.scan_budget, doors.budget)
    yield _timeout("exim time after DATA", ours.options.get("tmo", _DEFAULT_TIMEOUT), name, seconds)


def _entries(value: str) -> Iterator[_Content]:
    """Read a list of Exim's: entries between colons, of which two are one; blanks within an entry."""
    for entry in re.split(r"(?<!:):(?!:)", value):
        words = entry.replace("::", ":").split()
        pairs = [word.partition("=") for word in words if "=" in word]
        place = [word for word in words if "=" not in word]
        if place:
            endpoint = f"unix:{place[0]}" if place[0].startswith("/") else f"inet:{':'.join(place[:2])}"
            yield _Content(endpoint, {name: value for name, _, value in pairs})


def _leads(endpoint: str, listen: Sequence[str]) -> bool:
    return any(leads_to(endpoint, spec, "/", chroot=False) for spec in listen)


def _policy(door: str, listen: Sequence[str]) -> Diagnosis:
    check, endpoint = "exim policy door", f"unix:{door}" if door.startswith("/") else door
    if _leads(endpoint, listen):
        return passes(check, f"EARMARK_POLICY_DOOR leads to us at {door}")
    where = " or ".join(listen) or "one that [policy] listen is to name"
    return fails(check, f"EARMARK_POLICY_DOOR = {door}: it does not name us", f"set it to {where}; {_HERE}")


def _timeout(check: str, value: str, name: str, budget: float) -> Diagnosis:
    seen = f"{value}, and our {name} is {budget:g} s"
    mend = f"give it {_MARGIN * budget:g}s or more, or us a smaller {name} in server.toml; {_HERE}"
    if not _TIME.fullmatch(value):
        return fails(check, f"{value!r} is no time that Exim can read", mend)
    parts = re.findall(r"([0-9]+)([smhdw])", value)
    if sum(int(number) * _SECONDS[unit] for number, unit in parts) < _MARGIN * budget:
        return fails(check, f"{seen}: Exim gives up on us while we wait", mend)
    return passes(check, seen)
