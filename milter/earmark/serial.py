"""Values to JSON and back: the one file that imports msgspec."""

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def encode(value: Any) -> bytes:  # noqa: ANN401 - takes any tree of plain values
    """Return JSON in UTF-8: dataclasses as objects, NamedTuples as arrays, enums as their values, bytes as base 64.

    Raises ValueError for text that UTF-8 cannot hold (lone surrogates), TypeError for what is no plain value.
    """
    return _encoder.encode(value)


def encode_ascii(value: dict[str, Any]) -> bytes:
    """Return JSON of printable ASCII alone, with escapes for everything else: safe in a log and on a terminal."""
    try:
        raw = _encoder.encode(value)
    except ValueError:
        return json.dumps(value).encode("ascii")
    if raw.isascii() and b"\x7f" not in raw:  # below 0x20 JSON escapes by itself
        return raw
    return json.dumps(msgspec.json.decode(raw), separators=(",", ":")).encode("ascii")


def decode(raw: bytes | str, kind: type[T]) -> T:
    """Read JSON as a value of this type; fields that the type has not are passed over. Raises ValueError."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(str(error)) from error
