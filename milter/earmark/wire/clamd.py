r"""What is said to clamd and what it answers (man 8 clamd, COMMANDS), without I/O.

One command on one connection. Commands have the prefix "z": they end in NUL, and so does the answer. A stream is a
series of chunks, each a length of four bytes in network order and that many bytes; a chunk of length 0 ends it:

    zINSTREAM\0 <length><data> <length><data> ... \0\0\0\0        stream: OK\0    stream: NAME FOUND\0    ... ERROR\0
"""

import re
from enum import StrEnum
from typing import NamedTuple

from earmark.wire import RemoteError

PING = b"zPING\0"
VERSION = b"zVERSION\0"
INSTREAM = b"zINSTREAM\0"
END = bytes(4)
"""The chunk that ends a stream."""
ON_TOP = b"Received: by earmark\r\n"
"""A line to send before a message.

clamd takes for mail, and decodes, what begins as it knows mail to begin; a first field that it does not know, if long
enough, lets an attachment in base64 pass unread (seen with 1.4.6). Our own MTA's first line is not shown to milters.
"""
REPLY_AT_MOST = 4096
"""Bytes of an answer."""

_TOO_LONG = b"INSTREAM size limit exceeded. ERROR"
_LIMITS = b"Heuristics.Limits."
"""How the names begin that AlertExceedsMax gives to what was not, or not wholly, scanned."""
_DETAIL = re.compile(rb"\([0-9a-f]{32,64}:[0-9]{1,20}\)")
"""What ExtendedDetectionInfo may add to a name: its hash and size."""
_CONTROLS = re.compile(rb"[\0-\x1f\x7f]")
_VERSION = re.compile(rb"ClamAV ([\w.+-]{1,40})(?:/([0-9]{1,9})/\w{3} (\w{3}) {1,2}([0-9]{1,2}) [0-9:]{8} ([0-9]{4}))?")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


class Result(StrEnum):
    """What clamd can say of a stream."""

    OK = "ok"
    """Nothing was found. Beyond its limits it has only looked where it has AlertExceedsMax."""
    FOUND = "found"
    LIMIT = "limit"
    """It was not scanned, or not whole."""
    ERROR = "error"
    TIMED_OUT = "timed out"
    """It has waited too long for the next bytes (CommandReadTimeout)."""
    UNKNOWN_COMMAND = "unknown command"


class Reply(NamedTuple):
    """An answer to a stream."""

    result: Result
    text: str = ""
    """The name of what was found, or clamd's own words; ASCII, other bytes as escapes."""


class Version(NamedTuple):
    """An answer to VERSION."""

    program: str
    signatures: int = 0
    """Their number, counted up with each issue; 0 where there are none of ClamAV's own."""
    built: tuple[int, int, int] | None = None
    """Year, month and day of that issue, in clamd's time zone."""


def chunk(data: bytes) -> bytes:
    """Return a piece of a stream as it goes over the wire. `data` is not empty: that would be the end."""
    return len(data).to_bytes(4, "big") + data


def read_reply(raw: bytes) -> Reply:
    """Read all that came on a connection after a stream was sent. Raises RemoteError."""
    if raw in (b"COMMAND READ TIMED OUT\n", b"COMMAND READ TIMED OUT\0"):
        return Reply(Result.TIMED_OUT, "COMMAND READ TIMED OUT")
    if raw in (b"UNKNOWN COMMAND\n", b"UNKNOWN COMMAND\0"):
        return Reply(Result.UNKNOWN_COMMAND, "UNKNOWN COMMAND")
    said = _line(raw)
    if said == b"stream: OK":
        return Reply(Result.OK)
    if said == _TOO_LONG:
        return Reply(Result.LIMIT, _text(said.removesuffix(b". ERROR")))
    if said.endswith(b" ERROR"):
        return Reply(Result.ERROR, _text(said))
    if said.startswith(b"stream: ") and said.endswith(b" FOUND"):
        return _found(said[len(b"stream: ") : -len(b" FOUND")])
    raise RemoteError(f"not an answer to INSTREAM: {_text(said[:60])}")


def _found(name: bytes) -> Reply:
    detail = _DETAIL.search(name, max(name.rfind(b"("), 0))
    if detail and detail.end() == len(name):
        name = name[: detail.start()]
    if not name.strip():
        raise RemoteError("FOUND without a name")
    return Reply(Result.LIMIT if name.startswith(_LIMITS) else Result.FOUND, _text(name))


def read_pong(raw: bytes) -> None:
    """Raise RemoteError for what is no answer to PING."""
    if raw != b"PONG\0":
        raise RemoteError(f"not an answer to PING: {_text(raw[:60])}")


def read_version(raw: bytes) -> Version:
    """Read the answer to VERSION: "ClamAV 1.4.6/27445/Wed Nov 18 10:20:30 2026". Raises RemoteError."""
    found = _VERSION.fullmatch(_line(raw))
    if not found:
        raise RemoteError(f"not an answer to VERSION: {_text(raw[:60])}")
    program, signatures, month, day, year = found.groups()
    if signatures is None:
        return Version(_text(program))
    if month not in _MONTHS or not 1 <= int(day) <= 31:
        raise RemoteError(f"not a date: {_text(raw[:60])}")
    return Version(_text(program), int(signatures), (int(year), _MONTHS.index(month) + 1, int(day)))


def _line(raw: bytes) -> bytes:
    """Return an answer without its end. Raises RemoteError for what is not one line that ends in NUL."""
    if not raw:
        raise RemoteError("closed without an answer")
    if len(raw) > REPLY_AT_MOST:
        raise RemoteError(f"an answer of more than {REPLY_AT_MOST} bytes")
    if raw[-1]:
        raise RemoteError(f"half an answer: {_text(raw[:60])}")
    said = raw[:-1]
    if _CONTROLS.search(said):
        raise RemoteError(f"not one line: {_text(raw[:60])}")
    return said


def _text(raw: bytes) -> str:
    return _CONTROLS.sub(b"?", raw).decode("ascii", "backslashreplace")
