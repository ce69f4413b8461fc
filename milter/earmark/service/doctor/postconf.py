"""Postfix's configuration as postconf(1) tells it, so that what Postfix reads and what we read is the same.

Started with a list of arguments and no shell, with a time limit, and with a bound to what it may print.
"""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_LARGEST = 1 << 20
"""Bytes that it may print."""
_PLACES = f"{os.environ.get('PATH', '/usr/bin')}:/usr/sbin:/sbin:/usr/local/sbin"
_SAID_BY_ITSELF = "postconf: "
SETTINGS = (
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
    return shutil.which("postconf", path=_PLACES) or ""


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
        process = subprocess.Popen(  # noqa: S603 - no shell; the words are ours and a directory of the administrator's
            ["postconf", *words],  # noqa: S607 - `program` is started; it puts this name before what it says by itself
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": _PLACES, "LC_ALL": "C"},
        )
    except OSError as error:
        raise PostconfError(f"{program}: {error.strerror}") from error
    with process:
        try:
            said = _read(process, patience).decode("utf-8", "replace")
        finally:
            process.kill()  # harmless to one that has ended
    fatal = [line for line in said.splitlines() if line.startswith(f"{_SAID_BY_ITSELF}fatal: ")]
    if fatal:
        raise PostconfError(fatal[0])
    return said


def _read(process: "subprocess.Popen[bytes]", patience: float) -> bytes:
    deadline = time.monotonic() + patience
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    pipe, said = process.stdout.fileno(), b""
    while len(said) < _LARGEST:
        if not select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise PostconfError(f"postconf: no answer within {patience:g} s")
        data = os.read(pipe, 65536)
        if not data:
            return said
        said += data
    raise PostconfError(f"postconf: it prints more than {_LARGEST} bytes")
