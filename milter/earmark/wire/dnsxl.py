"""The DNS messages of the hot path (RFC 1035): a packed query, and the answers that lists give, read in place.

Nearly every answer of a DNS list is NXDOMAIN with a SOA, or one A record. Those are read here, in a few microseconds;
what is rarer is left to a full codec (`read_common` says None). Nothing here raises on bytes from the network, and
every loop moves forward through the packet.
"""

from functools import lru_cache
from struct import Struct
from typing import NamedTuple

RTYPES = {"A": 1, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
"""The record types that are asked for, by name."""

NOERROR, FORMERR, SERVFAIL, NXDOMAIN = 0, 1, 2, 3
UDP_SIZE = 1232
"""The UDP payload that we offer by EDNS (RFC 6891): what passes every path without fragments."""

QUESTION_AT_MOST = 255 + 4
"""Bytes of a question section: a name, type and class."""

_HEADER = Struct("!HHHHH")  # flags, and how many records are in each of the four sections; behind the id
_RECORD = Struct("!HHiH")  # type, class, TTL, length of the data; behind the owner's name
_TTL = Struct("!i")  # signed: with the highest bit set it is 0 (RFC 2181 section 8)
_SOA, _OPT, _IN = 6, 41, 1
_RECURSION_DESIRED = 0x0100
_IS_REPLY, _OPCODE, _TRUNCATED = 0x80, 0x78, 0x02  # in the third byte
_POINTER_TO_QUESTION = b"\xc0\x0c"
_OPT_RECORD = b"\0" + _RECORD.pack(_OPT, UDP_SIZE, 0, 0)
_OPT_BEGINS = _OPT_RECORD[:3]
_PLAIN_HEADER = _HEADER.pack(_RECURSION_DESIRED, 1, 0, 0, 0)
_EDNS_HEADER = _HEADER.pack(_RECURSION_DESIRED, 1, 0, 0, 1)
_LENGTH = [bytes((length,)) for length in range(64)]
_NAME_BYTES = bytes(byte for byte in range(0x21, 0x7F) if not chr(byte).isupper() and byte not in b".\\")
_TAILS = {rtype: b"\0" + number.to_bytes(2, "big") + b"\0\1" for rtype, number in RTYPES.items()}
_TYPES = {tail: rtype for rtype, tail in _TAILS.items()}


class Answer(NamedTuple):
    """What a common answer says."""

    rcode: int
    """NOERROR or NXDOMAIN."""
    ttl: int
    """Seconds: the lowest of the records; for a negative answer min(SOA TTL, SOA minimum) (RFC 2308), 0 without SOA."""
    addresses: tuple[str, ...]
    """The A records; empty for a negative answer."""


def labels(name: str) -> bytes:
    """Return a name (lower case, A-labels, with or without a final dot) as labels, without the root's at the end.

    Raises ValueError for what is no name: an empty or overlong label, over 255 bytes in all, any byte but printable
    ASCII without blanks, backslashes and capitals. SPF macros make labels of local parts (RFC 7208 section 7.3).
    """
    raw = name.removesuffix(".").encode("ascii")
    if raw.translate(None, _NAME_BYTES).strip(b"."):
        raise ValueError(f"not a domain name: {name!r}")
    parts = raw.split(b".")
    if b"" in parts or len(raw) > 253:
        raise ValueError(f"not a domain name: {name!r}")
    try:
        return b"".join([_LENGTH[len(part)] + part for part in parts])
    except IndexError:
        raise ValueError(f"a label over 63 bytes: {name!r}") from None


def question(name: str, rtype: str) -> bytes:
    """Return the question section for a name. Raises ValueError as `labels` does, KeyError for another type."""
    return labels(name) + _TAILS[rtype]


def read_question(asked: bytes) -> tuple[str, str]:
    """Return name and type of a question section that `question` wrote."""
    parts, at = [], 0
    while length := asked[at]:
        parts.append(asked[at + 1 : at + 1 + length])
        at += 1 + length
    return b".".join(parts).decode("ascii"), _TYPES[asked[at:]]


def query(number: int, asked: bytes, *, edns: bool = True) -> bytes:
    """Return a query with this id (0..65535) for a question section, recursion desired."""
    if edns:
        return number.to_bytes(2, "big") + _EDNS_HEADER + asked + _OPT_RECORD
    return number.to_bytes(2, "big") + _PLAIN_HEADER + asked


def is_reply(packet: bytes, asked: bytes) -> bool:
    """Return whether this is a reply to the question: QR, opcode 0, and the question itself, letter case aside.

    A FORMERR may leave the question out: it comes from servers that could not read ours (RFC 6891 section 7).
    """
    end = 12 + len(asked)
    if len(packet) < 12 or packet[2] & (_IS_REPLY | _OPCODE) != _IS_REPLY:
        return False
    if packet[4:6] != b"\0\1":
        return packet[4:6] == b"\0\0" and rcode(packet) == FORMERR
    if packet[12:end] == asked:
        return True
    return packet[end - 4 : end] == asked[-4:] and packet[12 : end - 4].lower() == asked[:-4]


def rcode(packet: bytes) -> int:
    """Return the response code of a packet that `is_reply`."""
    return packet[3] & 15


def is_truncated(packet: bytes) -> bool:
    """Return whether a packet that `is_reply` asks to come again by TCP."""
    return bool(packet[2] & _TRUNCATED)


def read_common(packet: bytes, asked: bytes) -> Answer | None:
    """Read a packet of 12 bytes or more that is one of the common answers to this question, byte for byte.

    None for everything else: what is rare or broken, and what is no reply to it at all (`is_reply` tells).
    """
    flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet, 2)
    if flags & 0xFA00 != 0x8000 or questions != 1 or not packet.startswith(asked, 12):
        return None
    code = flags & 15
    if code != NOERROR and (code != NXDOMAIN or answers):
        return None
    end = 12 + len(asked)
    ttl = 0
    addresses: tuple[str, ...] = ()
    if answers:
        if asked[-4:-2] != b"\0\1":
            return None
        ttl, addresses, end = _addresses(packet, end, answers)
    elif authorities:
        ttl, end = _negative_ttl(packet, end)
    if not end or (additional and not (answers and authorities) and not _is_plain_opt(packet, end)):
        return None
    return Answer(code, ttl, addresses)


def _addresses(packet: bytes, at: int, count: int) -> tuple[int, tuple[str, ...], int]:
    """Read A records whose owner is the name asked for: lowest TTL, addresses, and where they end (0: not these).

    Each takes 16 bytes, so the packet bounds their number.
    """
    end = at + 16 * count
    if end > len(packet):
        return 0, (), 0
    lowest = 0x7FFFFFFF
    texts = []
    for start in range(at, end, 16):
        rtype, rclass, ttl, length = _RECORD.unpack_from(packet, start + 2)
        if packet[start : start + 2] != _POINTER_TO_QUESTION or rtype != 1 or rclass != _IN or length != 4:
            return 0, (), 0
        lowest = min(lowest, ttl)
        texts.append(_dotted(packet[start + 12 : start + 16]))
    return max(lowest, 0), tuple(texts), end


@lru_cache(maxsize=256)
def _dotted(octets: bytes) -> str:
    """Return an address as text. The codes of lists are few."""
    return "{}.{}.{}.{}".format(*octets)


def _negative_ttl(packet: bytes, at: int) -> tuple[int, int]:
    """Read the SOA that stands there: the lower of its TTL and its minimum, and where it ends (0: it is no SOA)."""
    at = at + 2 if packet[at : at + 1] >= b"\xc0" else _skip_name(packet, at)
    data = at + 10
    if data > len(packet):
        return 0, 0
    rtype, rclass, ttl, length = _RECORD.unpack_from(packet, at)
    end = data + length
    if rtype != _SOA or rclass != _IN or length < 22 or end > len(packet):
        return 0, 0
    (minimum,) = _TTL.unpack_from(packet, end - 4)
    return (0 if ttl < 0 or minimum < 0 else min(ttl, minimum)), end


def _is_plain_opt(packet: bytes, at: int) -> bool:
    """Return whether an OPT record stands there that does not change the response code (RFC 6891 section 6.1.3)."""
    return packet.startswith(_OPT_BEGINS, at) and packet[at + 5 : at + 6] == b"\0"


def _skip_name(packet: bytes, at: int) -> int:
    """Return where the name at `at` ends; beyond the packet for a name that does not end in it."""
    size = len(packet)
    while at < size:
        length = packet[at]
        if length >= 0xC0:
            return at + 2
        at += length + 1
        if not length:
            return at
        if length > 63:
            break
    return size + 1
