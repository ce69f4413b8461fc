"""A message as Exim's content scanning writes it (spool_mbox.c), as a milter would have been given it.

Exim puts on top: a line "From ", X-Envelope-From (not for the null sender), X-Envelope-To, and its own Received. Lines
end with LF, and Exim has made line ends of all that could be one. None of this came from the client, nor what an ACL
has put above that Received: there the field X-Earmark-Prdr says that Exim will answer for each recipient.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from earmark.wire import RemoteError
from earmark.wire.message import split_header

HEADER_AT_MOST = 2 * 1024 * 1024
"""Bytes up to the body. Exim itself takes 1 MB of header (`header_maxsize`), and the envelope comes on top."""

_EMPTY_LINE = re.compile(rb"\n\r?\n")
_BY = re.compile(rb"\n\tby ([A-Za-z0-9._-]{1,255}) with ([a-z0-9]{1,20}) ")

PRDR = b"X-Earmark-Prdr"
"""The field by which an ACL tells us that the client asked for an answer for each recipient after DATA."""

Fields = Sequence[tuple[bytes, bytes]]


class Stamp(NamedTuple):
    """What Exim's own Received says; empty where there is none, or one of another form than Exim's default."""

    host: bytes = b""
    """The name that the host goes by."""
    protocol: bytes = b""
    """As `with` has it, such as "esmtpsa"."""
    prdr: bool = False
    """The field PRDR stands above it."""


class MessageReader:
    """Takes the message piece by piece. The header is there in one go, the body follows as it comes."""

    __slots__ = ("_ended", "_head", "_held", "_null_sender", "_queue_id", "fields", "stamp")

    def __init__(self, sender: bytes, queue_id: bytes) -> None:
        """Take what the request says; both tell what Exim has written itself."""
        self._null_sender = not sender
        self._queue_id = queue_id
        self._head = bytearray()
        self._held = b""
        """A CR that the LF may follow."""
        self._ended = True
        """The last line of the body has its end so far."""
        self.fields: Fields | None = None
        """The header, once it is here: values as a milter gives them."""
        self.stamp = Stamp()

    def feed(self, data: bytes) -> bytes:
        """Return what of the body `data` holds, with CRLF. Raises RemoteError for a header that is too large."""
        if self.fields is not None:
            return self._body(data)
        searched = max(len(self._head) - 2, 0)
        self._head += data
        end = _EMPTY_LINE.search(self._head, searched)
        if (end.start() if end else len(self._head) - 2) > HEADER_AT_MOST:
            raise RemoteError(f"a header of more than {HEADER_AT_MOST} bytes")
        return self._body(self._header()) if end else b""

    def finish(self) -> bytes:
        """Note that the message is whole; return what is missing of the body: its last line end, as a rule nothing."""
        rest = self._body(self._header()) if self.fields is None else b""
        return rest + self._held + (b"" if self._ended and not self._held else b"\r\n")

    def _header(self) -> bytes:
        """Read the header, and return what comes behind it."""
        raw = bytes(self._head)
        self._head.clear()
        fields, offset = split_header(raw)
        own = (b"X-Envelope-To",) if self._null_sender else (b"X-Envelope-From", b"X-Envelope-To")
        for name in own:
            if fields and fields[0][0] == name:
                del fields[0]
        self._take_off_received(fields)
        self.fields = fields
        return raw[offset:]

    def _take_off_received(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Take off the topmost Received if Exim has written it: the sender did not know the queue id."""
        at = next((at for at, (name, _) in enumerate(fields) if name.lower() == b"received"), None)
        if at is None or not self._queue_id:
            return
        value = fields[at][1]
        if self._queue_id in value.replace(b";", b" ").split():
            by = _BY.search(b"\n\t" + value.lstrip())
            prdr = any(name == PRDR for name, _ in fields[:at])
            self.stamp = Stamp(by[1], by[2], prdr) if by else Stamp(prdr=prdr)
            fields[: at + 1] = [field for field in fields[:at] if field[0] != PRDR]

    def _body(self, data: bytes) -> bytes:
        data = self._held + data
        self._held = b"\r" if data.endswith(b"\r") else b""
        data = data.removesuffix(self._held) if self._held else data
        if data:
            self._ended = data.endswith(b"\n")
        return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def written_by_exim(
    fields: Fields,
    body: bytes,
    *,
    sender: bytes,
    recipients: Sequence[bytes],
    received: bytes = b"",
    prdr: bool = False,
) -> bytes:
    """Return a message as Exim would send it: `fields` as a milter has them, `body` with CRLF, `received` a value."""
    top = [(PRDR, b" yes")] * prdr + [(b"Received", received)] * bool(received)
    return b"".join(_written([*top, *fields], sender, recipients)) + b"\n" + body.replace(b"\r\n", b"\n")


def _written(fields: Fields, sender: bytes, recipients: Sequence[bytes]) -> Iterator[bytes]:
    yield b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"
    if sender:
        yield b"X-Envelope-From: <" + sender + b">\n"
    yield b"X-Envelope-To: " + b", ".join(recipients) + b"\n"
    for name, value in fields:
        yield name + b":" + value + b"\n"
