"""What worker and verifier say to each other, over one stream socket: a request, its answers, and so on.

A request is a frame with a `Request` as JSON, followed by the body's bytes; a reply is a frame with a list of `Answer`.
A frame is its length, four bytes in network order, and its content.
"""

from typing import NamedTuple

from earmark import serial
from earmark.core.evidence import Status

LENGTH_BYTES = 4
REPLY_AT_MOST = 256 * 1024
"""Bytes; a longer reply is garbage."""


class Request(NamedTuple):
    """What is to be verified of one message."""

    positions: tuple[int, ...]
    """DKIM-Signature fields by their place among their like, the topmost 0; empty: the ARC chain."""
    keys: dict[str, str]
    """Key records by the name that dkimpy asks for, its bytes as Latin-1."""
    headers: tuple[tuple[bytes, bytes], ...]
    """The header, lines of a field divided by CRLF."""
    body: int
    """Bytes of the body, which follow."""


class Answer(NamedTuple):
    """What came of one signature, or of the chain."""

    status: Status
    bits: int = 0
    """Length of the key; 0 where none was used."""
    why: str = ""
    domains: tuple[str, ...] = ()
    """Who sealed the chain, first instance first."""


def write_frame(value: object) -> bytes:
    """Return a value as a frame."""
    raw = serial.encode(value)
    return len(raw).to_bytes(LENGTH_BYTES, "big") + raw


def frame_length(raw: bytes) -> int:
    """Read the length in front of a frame."""
    return int.from_bytes(raw, "big")


def read_request(raw: bytes) -> Request:
    """Read a request's JSON. Raises ValueError."""
    return serial.decode(raw, Request)


def read_answers(raw: bytes) -> list[Answer]:
    """Read a reply's JSON. Raises ValueError."""
    return serial.decode(raw, list[Answer])
