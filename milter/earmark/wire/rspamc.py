"""The protocol in which Exim 4.96 hands a message to rspamd (`spam` with variant=rspamd; spam.c), the server's side.

A request is a line, header lines that end with CRLF, an empty line, and as many bytes of the message as Content-length
says. Exim closes its side only when it has the answer, or gives up; and it reads the answer until we close.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from earmark.wire import RemoteError

HEADER_AT_MOST = 512 * 1024
"""Bytes of a request before the message: room for all recipients with the longest of addresses."""
RECIPIENTS_AT_MOST = 1000
"""Recipients of a message; `recipients_max` in deploy/exim is the same."""
REPLY_AT_MOST = 16_000
"""Bytes of an answer. Exim copies it, a space for each line more, into 32,600 bytes and does not look where it ends."""

_END = b"\r\n\r\n"
_REQUEST = b"CHECK RSPAMC/1.3"
_FORBIDDEN = re.compile(rb"[\0\r\n]")
_BARE_LF = re.compile(rb"[^\r]\n")
_NUMBER = re.compile(rb"[0-9]{1,15}")
_PATH = re.compile(rb"<(.*)>", re.DOTALL)


class Request(NamedTuple):
    """What Exim tells of a message before the message. Values are bytes as they came; empty where Exim does not say."""

    size: int
    """Bytes of the message as Exim sends it."""
    sender: bytes
    """The reverse-path, without the angle brackets."""
    recipients: tuple[bytes, ...]
    """The forward-paths, likewise, in the order of RCPT; one at least."""
    queue_id: bytes = b""
    helo: bytes = b""
    hostname: bytes = b""
    """The client's reverse name, which leads back to it."""
    address: bytes = b""
    """The client's IP address, if there is one."""
    user: bytes = b""
    """Who authenticated."""


class Splitter:
    """Takes a connection's bytes: the request first, then the message."""

    __slots__ = ("_head", "_left", "request")

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self.request: Request | None = None
        """The request, once it is here."""

    @property
    def begun(self) -> bool:
        """True when anything has come."""
        return self.request is not None or bool(self._head)

    @property
    def whole(self) -> bool:
        """True when the whole message has come."""
        return self.request is not None and not self._left

    def feed(self, data: bytes) -> bytes:
        """Return what of the message `data` holds. Raises RemoteError where it is not of this protocol."""
        if self.request is None:
            searched = max(len(self._head) - len(_END) + 1, 0)
            self._head += data
            end = self._head.find(_END, searched)
            if (end if end >= 0 else len(self._head) - len(_END) + 1) > HEADER_AT_MOST:
                raise RemoteError(f"a request of more than {HEADER_AT_MOST} bytes before the message")
            if end < 0:
                _check_begun(self._head, searched)
                return b""
            self.request = decode_request(bytes(self._head[:end]))
            self._left = self.request.size
            data = bytes(self._head[end + len(_END) :])
            self._head.clear()
        if len(data) > self._left:
            raise RemoteError("more than Content-length says")
        self._left -= len(data)
        return data


def _check_begun(head: bytearray, new: int) -> None:
    """Raise RemoteError where this is not going to be a request; what stands before `new` has been looked at.

    Exim writes it in one piece and does not look whether all of it has gone. Where the socket had no room for it, the
    message follows in the middle, and Exim would wait for our answer as long as we for the rest.
    """
    if not head.startswith(_REQUEST[: len(head)]):
        raise RemoteError(f"not of this protocol: {bytes(head[:40])!r}")
    if _BARE_LF.search(head, new):
        raise RemoteError("the message begins before its request ends")


def decode_request(head: bytes) -> Request:
    """Read what comes before the message, without the empty line. Raises RemoteError for anything else."""
    first, *lines = head.split(b"\r\n")
    if first != _REQUEST:
        raise RemoteError(f"not of this protocol: {first[:40]!r}")
    fields: dict[bytes, bytes] = {}
    recipients: list[bytes] = []
    for line in lines:
        name, value = _field(line)
        if name == b"rcpt":
            recipients.append(_path(value))
        elif name in fields:
            raise RemoteError(f"{name[:40]!r} comes twice")
        else:
            fields[name] = value
    if not recipients or len(recipients) > RECIPIENTS_AT_MOST:
        raise RemoteError(f"{len(recipients)} recipients")
    if _number(fields, b"recipient-number") != len(recipients):
        raise RemoteError("not all recipients have come")
    if b"from" not in fields:
        raise RemoteError("no From")
    return Request(
        _number(fields, b"content-length"),
        _path(fields[b"from"]),
        tuple(recipients),
        *(fields.get(name, b"") for name in (b"queue-id", b"helo", b"hostname", b"ip", b"user")),
    )


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Return name and value. A CR alone ends nothing: Exim takes one from a client, in a quoted local part."""
    name, colon, value = line.partition(b":")
    if not colon or not name.replace(b"-", b"").isalpha() or b"\0" in value or b"\n" in value:
        raise RemoteError(f"a line that is no header: {line[:40]!r}")
    return name.lower(), value.removeprefix(b" ")


def _path(value: bytes) -> bytes:
    path = _PATH.fullmatch(value)
    if path is None:
        raise RemoteError(f"an address without angle brackets: {value[:40]!r}")
    return path[1]


def _number(fields: dict[bytes, bytes], name: bytes) -> int:
    value = fields.get(name, b"")
    if not _NUMBER.fullmatch(value):
        raise RemoteError(f"no number in {name.decode('ascii')}")
    return int(value)


def encode_reply(action: str, *, marked: bool, score: int, threshold: int, report: Iterable[bytes]) -> bytes:
    """Return the whole answer: $spam_action, $spam_score and the lines of $spam_report. Points are in hundredths.

    ValueError where it would not fit, or a line is not one: that is for the caller to see to.
    """
    result, points, limit = str(marked), f"{score / 100:.2f}", f"{threshold / 100:.2f}"
    head = f"RSPAMD/1.3 0 EX_OK\r\nMetric: default; {result}; {points} / {limit} / {limit}\r\nAction: {action}\r\n"
    lines = list(report)
    if any(_FORBIDDEN.search(line) for line in lines):
        raise ValueError("a line of the report is not one")
    reply = head.encode("ascii") + b"".join(line + b"\n" for line in lines)
    if len(reply) > REPLY_AT_MOST:
        raise ValueError(f"a reply of {len(reply)} bytes")
    return reply


def encode_request(request: Request, message: bytes) -> bytes:
    """Return a request with its message, as Exim sends it; `request.size` is not looked at."""
    named = zip((b"Helo", b"Hostname", b"IP", b"User"), request[4:], strict=True)
    lines = [
        _REQUEST,
        b"Content-length: %d" % len(message),
        b"Queue-Id: " + request.queue_id,
        b"From: <" + request.sender + b">",
        b"Recipient-Number: %d" % len(request.recipients),
        *(b"Rcpt: <" + recipient + b">" for recipient in request.recipients),
        *(name + b": " + value for name, value in named if value),
    ]
    return b"\r\n".join(lines) + _END + message
