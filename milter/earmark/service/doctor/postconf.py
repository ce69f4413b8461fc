"""Postfix's configuration as postconf(1) tells it, so that what Postfix reads and what we read is the same."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from earmark.service.doctor.programs import ProgramError, find_program, output_of

_SAID_BY_ITSELF = "postconf: "
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
RESTRICTIONS = (
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
)
"""Where check_policy_service may stand."""
SETTINGS = (
    *RESTRICTIONS,
    "smtpd_policy_service_timeout",
    "smtpd_policy_service_default_action",
    "mail_version",
    "queue_directory",
    "mail_owner",
    "smtpd_milters",
    "non_smtpd_milters",
    "milter_protocol",
    "milter_default_action",
    "milter_command_timeout",
    "milter_content_timeout",
    "smtpd_forbid_bare_newline",
    "recipient_delimiter",
    "enable_original_recipient",
)
"""What we look at. A Postfix that is older than a setting leaves it out."""


class PostconfError(Exception):
    """Postfix's configuration cannot be read; the text says why."""


class Server(NamedTuple):
    """One smtpd(8) of master.cf."""

    name: str
    """Its first column: a service or port, perhaps with a host in front."""
    chroot: bool
    settings: Mapping[str, str]
    """What holds for it of SETTINGS: its own -o options before main.cf."""


class Postfix(NamedTuple):
    """What postconf tells."""

    settings: Mapping[str, str]
    """Of SETTINGS, as main.cf and the defaults have them."""
    servers: tuple[Server, ...]


def find_postconf() -> str:
    """Return the path of the program; "" where there is none."""
    return find_program("postconf")


def read_postfix(program: str, directory: Path | None, patience: float = 10.0) -> Postfix:
    """Ask postconf about a configuration directory; None for the usual one. Raises PostconfError.

    `patience` is in seconds, for each of three runs that take a few milliseconds.
    """
    where = ["-c", str(directory.absolute())] if directory else []
    settings = read_settings(_output(program, [*where, "-x", *SETTINGS], patience))
    own = read_settings(_output(program, [*where, "-P", "-x"], patience))
    return Postfix(settings, tuple(read_servers(_output(program, [*where, "-M"], patience), settings, own)))


def read_settings(output: str) -> dict[str, str]:
    """Read lines "name = value"; others, such as warnings, are passed over."""
    pairs = [line.partition(" =") for line in output.splitlines() if not line.startswith(_SAID_BY_ITSELF)]
    return {name: value.strip() for name, sign, value in pairs if sign}


def read_seconds(value: str) -> int | None:
    """Read a time of Postfix's, seconds where it has no unit; None for what is none."""
    number, unit = (value[:-1], value[-1]) if value[-1:] in _SECONDS and value else (value, "s")
    return int(number) * _SECONDS[unit] if number.isascii() and number.isdecimal() and len(number) < 10 else None


def read_servers(master: str, settings: Mapping[str, str], own: Mapping[str, str]) -> Iterator[Server]:
    """Read what `postconf -M` prints. `own` has the overrides, keyed as `postconf -P` does: "smtp/inet/parameter"."""
    for line in master.splitlines():
        fields = line.split(None, 8)
        if len(fields) < 8 or fields[7] != "smtpd":
            continue
        name, kind, chroot = fields[0], fields[1], fields[4]
        overrides = {key: own[f"{name}/{kind}/{key}"] for key in SETTINGS if f"{name}/{kind}/{key}" in own}
        yield Server(name, chroot == "y", {**settings, **overrides})


def _output(program: str, words: list[str], patience: float) -> str:
    """Run postconf and return what it prints."""
    try:
        _, said = output_of(program, ["postconf", *words], patience)
    except ProgramError as error:
        raise PostconfError(str(error)) from error
    fatal = [line for line in said.splitlines() if line.startswith(f"{_SAID_BY_ITSELF}fatal: ")]
    if fatal:
        raise PostconfError(fatal[0])
    return said
