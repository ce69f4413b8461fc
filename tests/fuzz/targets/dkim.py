"""Signatures and chains as DKIM's client reads and verifies them. An input is a key record, LF, and a message.

The key is what DNS says for every name.
"""

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
from fuzz.running import Target

TOKENS = (
    b";", b"=", b"; d=", b"; s=", b"; i=", b"; l=", b"; x=", b"\r\n ", b"\xff", b"\0", b" " * 300, b":", b".", b"p=",
    b"k=ed25519; ", b"c=relaxed/simple", b"i=1; ", b"cv=pass; ", b"9" * 30, b"\n", b"DKIM-Signature: ",
)  # fmt: skip
_NOW = 1.7e9


def check(raw: bytes) -> str:
    record, _, message = raw.partition(b"\n")
    fields, offset = split_header(message)
    headers = [Header(*field) for field in fields][:40]
    signatures = [header.value for header in headers if header.name.lower() == b"dkim-signature"][:3]
    keys: dict[bytes, bytes] = {}
    for value in signatures + [header.value for header in headers if header.name.lower().startswith(b"arc-")][:9]:
        with suppress(UnusableError):
            keys |= _key_for(value, record)
    verified = Message(headers, Body(message[offset:]), keys)
    answers = [verified.signature(position) for position in range(len(signatures))]
    assert all(answer.why.isprintable() for answer in answers)
    chain = verified.chain()
    assert chain.why.isprintable()
    with suppress(UnusableError):
        read_chain(headers)
    held = Status.PASS in {answer.status for answer in (*answers, chain)}
    return f"{'holds' if held else 'fails'}: {sorted({answer.status for answer in answers})} {chain.status}"


def _key_for(value: bytes, record: bytes) -> dict[bytes, bytes]:
    """Do as the client does with a field: read it, find its key, and hold them together. Raises UnusableError."""
    tags = read_tags(value)
    signature = describe(tags)
    assert signature_text(signature).isprintable()
    check_field(tags, signature, _NOW)
    key = read_key(key_name(signature), Fact(Status.PASS, (record.decode("latin-1"),)))
    check_key(key, signature)
    return {asked_name(tags).encode("latin-1"): key.record.encode()}


TARGET = Target("dkim", check, frozenset({"holds", "fails"}), TOKENS)
