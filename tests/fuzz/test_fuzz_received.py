"""Fuzzing what reads Received fields and headers: real forms, damaged. Nothing may raise or be believed wrongly."""

import os
import random
import time
import tomllib
from pathlib import Path

from earmark.core.mail import Header, Site, parse_address_text
from earmark.core.received import read_chain
from earmark.wire.message import split_header

_FORMS = Path(__file__).parent.with_name("unit") / "received_forms.toml"
_TOKENS = [
    b"(",
    b")",
    b"[",
    b"]",
    b";",
    b"\\",
    b'"',
    b" by ",
    b" from ",
    b" with ESMTPA ",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"HELO ",
]
_STRANGER = "192.0.2.99"


def _damaged(value: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(value)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(damaged) + 1)
        match chance.randrange(4):
            case 0:
                damaged[at:at] = chance.choice(_TOKENS) * chance.choice((1, 1, 1, 300))
            case 1:
                del damaged[at : at + chance.randint(1, 30)]
            case 2:
                damaged[at:at] = damaged[: chance.randint(0, 200)]
            case _:
                damaged[at:at] = chance.randbytes(chance.randint(1, 10))
    return bytes(damaged)


def test_damaged_fields_are_read_without_harm() -> None:
    seconds = float(os.environ.get("EARMARK_FUZZ_SECONDS", "1"))
    chance = random.Random(1)  # noqa: S311 - to be repeatable
    seeds = [form["value"].encode() for form in tomllib.loads(_FORMS.read_text())["form"]]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        values = [_damaged(chance.choice(seeds), chance) for _ in range(chance.randint(1, 4))]
        raw = b"".join(b"Received: " + value + b"\r\n" for value in values)
        fields, offset = split_header(raw)
        assert 0 <= offset <= len(raw)
        hops = read_chain([Header(name, value) for name, value in fields], Site(), _STRANGER)
        for hop in (*hops, *read_chain([Header(b"Received", value) for value in values], Site(), _STRANGER)):
            assert not hop.trusted, raw
            assert hop.address == parse_address_text(hop.address), raw
            for text in (hop.helo, hop.rdns, hop.by, hop.protocol, hop.why):
                assert text.isascii(), raw
                assert text.isprintable(), raw
                assert len(text) <= 400, raw
