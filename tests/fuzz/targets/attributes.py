"""The policy delegation protocol: requests in a stream, lists of addresses, and the answers to them."""

import re
from collections.abc import Iterator

from earmark.wire.attributes import (
    REQUEST_AT_MOST,
    Splitter,
    decode_action,
    encode_refusal,
    encode_report,
    encode_request,
    parse,
    split_mailboxes,
)
from fuzz.checking import heard_alike, tried
from fuzz.running import Target

TOKENS = (
    b"\n", b"\n\n", b"=", b"\r\n", b"\0", b"client_address=", b"recipient=", b"%", b"\xff", b"unknown", b'"', b",",
    b"request=earmark\n", b"protocol_state=RCPT\n", b"::ffff:", b"@", b"<", b">", b"\\", b"action=", b"a" * 2000,
)  # fmt: skip


def check(raw: bytes) -> str:
    requests, why = heard_alike(lambda: Splitter().feed, raw)
    for attributes in requests:
        assert parse(encode_request(attributes.items()).removesuffix(b"\n\n")) == attributes
        assert not re.search(rb"[\0\r\n]", b"".join((*attributes, *attributes.values())))
    mailboxes = split_mailboxes(raw)
    assert all(mailbox == mailbox.strip() != b"" for mailbox in mailboxes)
    assert sum(map(len, mailboxes)) <= len(raw)
    _answers_are_whole(raw.decode("latin-1"))
    if tried(decode_action, raw):
        return "action"
    return why or ("requests" if requests else "part")


def _answers_are_whole(text: str) -> None:
    """Whatever we say, it is an answer of two lines, and no more."""
    assert re.fullmatch(rb"action=[ -~]*\n\n", encode_refusal(text))
    assert re.fullmatch(rb"v=1\nreply=[ -~]*\nend=1\n", encode_report([("reply", text)]))


def _large() -> Iterator[bytes]:
    """Requests about as long as they may be."""
    for size in (REQUEST_AT_MOST, REQUEST_AT_MOST + 1):
        yield b"recipient=".ljust(size, b"a") + b"\n\n"


TARGET = Target("attributes", check, frozenset({"requests", "part", "action", "refused"}), TOKENS, more=_large)
