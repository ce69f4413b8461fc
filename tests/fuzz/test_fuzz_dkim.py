"""Fuzzing what reads signature fields, key records and chains: real ones, damaged. Nothing raises; nothing passes."""

import os
import random
import time
from contextlib import suppress

from earmark.clients.dkim.chain import read_chain
from earmark.clients.dkim.fields import (
    UnusableError,
    asked_name,
    check_field,
    check_key,
    describe,
    key_name,
    read_key,
    read_tags,
)
from earmark.clients.dkim.verify import Body, Message
from earmark.core.authentication.signature import signature_text
from earmark.core.evidence import Fact, Status
from earmark.core.mail import Header
from earmark.wire.message import split_header
from fakes.signing import MESSAGE, public_key, sealed, sealed_again, signed

_TOKENS = [b";", b"=", b"; d=", b"; s=", b"; i=", b"; l=", b"; x=", b"\r\n ", b"\xff", b"\x00", b" " * 300, b":", b"."]
_KEYS = {**public_key("s2048"), **public_key("ed")}


def _damaged(value: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(value)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(damaged) + 1)
        match chance.randrange(4):
            case 0:
                damaged[at:at] = chance.choice(_TOKENS) * chance.choice((1, 1, 1, 50))
            case 1:
                del damaged[at : at + chance.randint(1, 30)]
            case 2:
                damaged[at:at] = damaged[: chance.randint(0, 200)]
            case _:
                damaged[at : at + 1] = chance.randbytes(chance.randint(1, 4))
    return bytes(damaged)


def _keys_for(value: bytes, chance: random.Random) -> dict[bytes, bytes]:
    """Do as the client does with a field: read it, find its key, damaged now and then, and hold them together."""
    tags = read_tags(value)
    signature = describe(tags)
    assert signature_text(signature).isprintable()
    check_field(tags, signature, 1.7e9)
    text = _KEYS.get(asked_name(tags).encode("latin-1"), b"v=DKIM1; k=rsa; p=AAAA")
    if chance.random() < 0.5:
        text = _damaged(text, chance)
    key = read_key(key_name(signature), Fact(Status.PASS, (text.decode("latin-1"),)))
    check_key(key, signature)
    return {asked_name(tags).encode("latin-1"): key.record.encode()}


def test_damaged_signatures_and_keys_are_read_without_harm() -> None:
    seconds = float(os.environ.get("EARMARK_FUZZ_SECONDS", "1"))
    chance = random.Random(1)  # noqa: S311 - to be repeatable
    sealed_twice = sealed_again(sealed(), domain="example.net")
    raws = [signed(), signed(selector="ed", algorithm="ed25519-sha256"), signed(length=True), sealed_twice]
    headers = [[Header(*field) for field in split_header(raw)[0]] for raw in raws]
    body = Body(MESSAGE.partition(b"\r\n\r\n")[2])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        fields = list(chance.choice(headers))
        at = chance.randrange(len(fields) - 6)
        damaged = _damaged(fields[at].value, chance)
        fields[at] = Header(fields[at].name, damaged)
        keys: dict[bytes, bytes] = {}
        with suppress(UnusableError):
            keys = _keys_for(damaged, chance)
        message = Message(fields, body, keys)
        assert message.signature(0).why.isprintable(), damaged
        assert message.chain().status in set(Status), damaged
        with suppress(UnusableError):
            read_chain(fields)
