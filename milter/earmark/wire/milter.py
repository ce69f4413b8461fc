"""The milter protocol, version 6: packets, negotiation, and the filter's side of the dialogue. Neither I/O nor policy.

Theory of operation

1. A packet is a length of 32 bits (big-endian), a command letter and `length - 1` bytes of payload. Strings end in NUL.
2. The MTA speaks first: what it can do (negotiation), then command after command. The filter answers each with one
   packet, but for those agreed to be without a reply; at end of message any number of edits comes before the answer.
3. Nothing is believed: a length is checked before anything is kept for it, and what cannot be read is a RemoteError.

No standard exists. The sources are libmilter's mfdef.h, and milter8.c of Postfix for what an MTA makes of the answers.
The MTA's side is `wire.milter_mta`.
"""

import re
import struct
from collections.abc import Container, Iterable, Mapping
from enum import IntEnum, IntFlag
from functools import lru_cache
from typing import NamedTuple

from earmark.wire import RemoteError

VERSION = 6
OLDEST_VERSION = 2
"""Before it, negotiation meant something else; libmilter refuses it as well."""

CHUNK = 65535
"""The most body, and about the most header, that an MTA puts into one packet."""
MAX_PACKET = CHUNK + 2049
"""The longest length that is believed: a chunk, and room for the command letter, a name and the ends of strings."""


class Command(IntEnum):
    """What the MTA sends (SMFIC_*)."""

    ABORT = ord("A")
    BODY = ord("B")
    CONNECT = ord("C")
    MACRO = ord("D")
    EOM = ord("E")
    HELO = ord("H")
    QUIT_NC = ord("K")
    """This client is done; the connection is kept for the next one."""
    HEADER = ord("L")
    MAIL = ord("M")
    EOH = ord("N")
    NEGOTIATE = ord("O")
    QUIT = ord("Q")
    RCPT = ord("R")
    DATA = ord("T")
    UNKNOWN = ord("U")
    """An SMTP command that the MTA does not know."""


class Actions(IntFlag):
    """What the filter may do to a message (SMFIF_*)."""

    ADDHDRS = 0x01
    CHGBODY = 0x02
    ADDRCPT = 0x04
    DELRCPT = 0x08
    CHGHDRS = 0x10
    QUARANTINE = 0x20
    CHGFROM = 0x40
    ADDRCPT_PAR = 0x80
    SETSYMLIST = 0x100
    """Say at negotiation which macros are wanted."""


class Steps(IntFlag):
    """What of the dialogue is left out (SMFIP_*): NO_x, x is not sent; NR_x, x has no reply."""

    NO_CONNECT = 0x01
    NO_HELO = 0x02
    NO_MAIL = 0x04
    NO_RCPT = 0x08
    NO_BODY = 0x10
    NO_HEADER = 0x20
    NO_EOH = 0x40
    NR_HEADER = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400
    """The filter may answer a body chunk with "skip the rest"."""
    RCPT_REJ = 0x800
    """Recipients that the MTA refused are shown as well."""
    NR_CONNECT = 0x1000
    NR_HELO = 0x2000
    NR_MAIL = 0x4000
    NR_RCPT = 0x8000
    NR_DATA = 0x10000
    NR_UNKNOWN = 0x20000
    NR_EOH = 0x40000
    NR_BODY = 0x80000
    HDR_LEADSPC = 0x100000
    """Header values keep the blank after the colon, in both directions; without it, the MTA eats and adds one."""


class MacroStage(IntEnum):
    """The stages for which macros can be asked at negotiation (SMFIM_*)."""

    CONNECT = 0
    HELO = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    EOM = 5
    EOH = 6


_MACRO = int(Command.MACRO)
_LENGTH = struct.Struct("!I")
_NEGOTIATION = struct.Struct("!III")
_HEAD = struct.Struct("!IB")
_length_at, _head_at = _LENGTH.unpack_from, _HEAD.unpack_from

Packet = tuple[int, bytes]
"""Command letter (as a number) and payload."""


class Splitter:
    """Cuts a stream of bytes into packets. Holds at most one packet and what came with its last read."""

    __slots__ = ("_needed", "_rest", "_unused_macros")

    def __init__(self, unused_macros: Container[int] = ()) -> None:
        """Leave out the macros of the commands in `unused_macros`: an MTA sends some before every header field."""
        self._unused_macros = unused_macros
        self._rest = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[Packet]:
        """Return the packets that `data` completes. Raises RemoteError for a length that no MTA would send."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        packets: list[Packet] = []
        position, size, unused_macros = 0, len(data), self._unused_macros
        while size - position > 4:
            length, letter = _head_at(data, position)
            end = position + 4 + length
            if end > size or not 0 < length <= MAX_PACKET:
                break
            if letter != _MACRO or length == 1 or data[position + 5] not in unused_macros:
                packets.append((letter, data[position + 5 : end]))
            position = end
        if position < size:
            self._keep(data[position:])
        return packets

    def _keep(self, begun: bytes) -> None:
        """Keep the beginning of a packet, once its length is believed."""
        self._needed = 4
        if len(begun) >= 4:
            (length,) = _length_at(begun)
            if not 0 < length <= MAX_PACKET:
                raise RemoteError(f"packet of {length} bytes")
            self._needed += length
        self._rest += begun


def packet(letter: int, payload: bytes = b"") -> bytes:
    """Return a packet as bytes."""
    return _HEAD.pack(len(payload) + 1, letter) + payload


class Negotiation(NamedTuple):
    """What one side offers, or what the filter agrees to."""

    version: int
    actions: Actions
    steps: Steps
    macros: Mapping[int, bytes] = {}
    """By `MacroStage`: the names that the filter wants, separated by blanks. In the filter's answer only."""


def encode_negotiation(negotiation: Negotiation) -> bytes:
    """Return the packet for an offer or an agreement."""
    lists = (_LENGTH.pack(stage) + names + b"\0" for stage, names in negotiation.macros.items())
    return packet(Command.NEGOTIATE, _NEGOTIATION.pack(*negotiation[:3]) + b"".join(lists))


def decode_negotiation(payload: bytes) -> Negotiation:
    """Read an offer or an agreement."""
    if len(payload) < _NEGOTIATION.size:
        raise RemoteError(f"negotiation of {len(payload)} bytes")
    version, actions, steps = _NEGOTIATION.unpack_from(payload)
    macros: dict[int, bytes] = {}
    position = _NEGOTIATION.size
    while (end := payload.find(b"\0", position + _LENGTH.size)) > 0:
        macros[_length_at(payload, position)[0]] = payload[position + _LENGTH.size : end]
        position = end + 1
    return Negotiation(version, Actions(actions), Steps(steps), macros)


class Connect(NamedTuple):
    """The client, as the MTA names it."""

    host: bytes
    """Its name, confirmed or not as the MTA pleases; an address in brackets where it has none."""
    family: str
    """ "4", "6", "L" (a local socket) or "U" (unknown)."""
    port: int
    address: bytes
    """Text of the address; empty for "U". Sendmail writes IPv6 with the tag `IPv6:`, which is left out here."""


def decode_connect(payload: bytes) -> Connect:
    """Read a CONNECT. Whether the address is one is left to the caller."""
    host, end, rest = payload.partition(b"\0")
    family = rest[:1].decode("latin-1")
    if not end or family not in {"4", "6", "L", "U"}:
        raise RemoteError("CONNECT without a known address family")
    if family == "U" or len(rest) < 3:
        return Connect(host, family, 0, b"")
    address = rest[3:].partition(b"\0")[0]
    if address[:5].lower() == b"ipv6:":
        address = address[5:]
    return Connect(host, family, int.from_bytes(rest[1:3], "big"), address)


def decode_strings(payload: bytes) -> list[bytes]:
    """Read strings that each end with NUL: the path and the ESMTP parameters of MAIL and RCPT, the name of HELO."""
    if not payload:
        raise RemoteError("a command without its argument")
    return payload.removesuffix(b"\0").split(b"\0")


def decode_header(payload: bytes) -> tuple[bytes, bytes]:
    """Read name and value of a header field. A NUL inside of the value is kept."""
    name, end, value = payload.partition(b"\0")
    if not end:
        raise RemoteError("a header field without a value")
    return name, value.removesuffix(b"\0")


def decode_macros(payload: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Read a MACRO: the command that it goes with, and values by name without braces."""
    if not payload:
        raise RemoteError("MACRO without a command")
    strings = payload[1:].removesuffix(b"\0").split(b"\0")
    return payload[0], {name.strip(b"{}"): value for name, value in zip(strings[::2], strings[1::2], strict=False)}


_INSERT, _CHANGE = b"im"

CONTINUE = packet(ord("c"))
"""Go on; at end of message: the message is accepted, as edited."""
DISCARD = packet(ord("d"))
"""Say that the message was taken, and deliver it nowhere."""


def reply_code(code: int, enhanced: str, text: str) -> bytes:
    """Return the answer that refuses or defers with a reply of our own.

    The MTA formats the text, so `%` is doubled; what is not printable ASCII becomes `?`, so that it stays one line.
    """
    line = re.sub(rb"[^ -~]", b"?", f"{code} {enhanced} {text}".encode("ascii", "replace"))
    return packet(ord("y"), line.replace(b"%", b"%%") + b"\0")


def insert_header(index: int, name: str, value: str, *, leading_space: bool) -> bytes:
    """Return the edit that puts a field before field number `index`; 0 is above all, the MTA's own Received too.

    `leading_space` says that HDR_LEADSPC was agreed: then the blank after the colon is ours to give.
    """
    return packet(_INSERT, _LENGTH.pack(index) + _field(name, value, leading_space=leading_space))


def change_header(nth: int, name: str, value: str, *, leading_space: bool) -> bytes:
    """Return the edit that gives the `nth` (from 1) field of this name another value."""
    return packet(_CHANGE, _LENGTH.pack(nth) + _field(name, value, leading_space=leading_space))


def remove_header(nth: int, name: str) -> bytes:
    """Return the edit that removes the `nth` (from 1) field of this name: a change to nothing."""
    return packet(_CHANGE, _LENGTH.pack(nth) + _field(name, "", leading_space=False))


def add_recipient(path: bytes) -> bytes:
    """Return the packet that adds a recipient; `path` with its angle brackets. Raises ValueError for one with a NUL."""
    return packet(ord("+"), _path(path))


def remove_recipient(path: bytes) -> bytes:
    """Return the packet that removes a recipient; `path` as the MTA gave it."""
    return packet(ord("-"), _path(path))


def _path(path: bytes) -> bytes:
    if b"\0" in path:
        raise ValueError("a path with a NUL")
    return path + b"\0"


def hold(why: str) -> bytes:
    """Return the packet that has the MTA hold the message."""
    return packet(ord("q"), re.sub(rb"[^ -~]", b"?", why.encode("ascii", "replace")) + b"\0")


def _field(name: str, value: str, *, leading_space: bool) -> bytes:
    label, raw = field_as_sent(name, value)
    return label + (b"\0 " if leading_space else b"\0") + raw + b"\0"


def field_as_sent(name: str, value: str) -> tuple[bytes, bytes]:
    """Return name and value of a header field as they may leave: one field, whatever they hold, within a packet."""
    raw = value.encode("utf-8", "surrogateescape")
    if b"\n" in raw or b"\r" in raw or b"\0" in raw:
        raw = _one_field(raw)
    label = _label(name)
    return label, raw[: CHUNK - len(label) - 16]


@lru_cache(maxsize=64)
def _label(name: str) -> bytes:
    return re.sub(rb"[^!-9;-~]", b"?", name.encode("ascii", "replace"))  # RFC 5322 section 2.2: printable, no colon


def _one_field(raw: bytes) -> bytes:
    """Return a value in which a line ends only where the next one begins with a blank (RFC 5322 section 2.2.3)."""
    lines: Iterable[bytes] = re.split(rb"\r\n|\r|\n", raw.replace(b"\0", b"?"))
    first, *others = lines
    return b"\n".join(
        [first, *(line if line[:1] in {b" ", b"\t"} else b"\t" + line for line in others if line.strip())]
    )
