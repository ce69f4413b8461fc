"""What Exim says to rspamd: a request, and the message behind it."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from earmark.wire.rspamc import HEADER_AT_MOST, REPLY_AT_MOST, Request, Splitter, encode_reply, encode_request
from fakes.exim_front import asked
from fuzz.checking import assert_bounded, heard, pieces
from fuzz.mutating import Mutator
from fuzz.running import Target

TOKENS = (
    b"\r\n", b"\n", b"\r", b"\0", b"\r\n\r\n", b"\n\n", b": ", b"<", b">", b"Rcpt: <a>\r\n", b"IP: ",
    b"Content-length: ", b"Received: ", b" id 1xVCIk-0006ng-2j;", b"X-Earmark-Prdr: yes\n", b"\t", b"=", b"\xff",
    b"9" * 20, b"From: <>\r\n", b"CHECK RSPAMC/1.3\r\n",
)  # fmt: skip


def check(raw: bytes) -> str:
    request, message, why = _read([raw])
    request_again, message_again, why_again = _read(pieces(raw))
    assert bool(why) is bool(why_again), f"in one piece: {why or 'read'}; in many: {why_again or 'read'}"
    _reply_fits(raw)
    if why:
        return why
    assert (request_again, message_again) == (request, message)
    if request is None:
        return "part"
    assert_bounded(tuple(request), raw)
    assert request.recipients
    whole = len(message) == request.size
    if whole:
        assert _read([encode_request(request, message)])[:2] == (request, message)
    return f"{'whole' if whole else 'part'}: {len(request.recipients)} {bool(request.user)}"


def _read(said: Iterable[bytes]) -> tuple[Request | None, bytes, str]:
    splitter = Splitter()
    message, why = heard(splitter.feed, said)
    assert len(splitter._head) <= HEADER_AT_MOST + 4000
    return splitter.request, bytes(message), why


def _reply_fits(raw: bytes) -> None:
    """A reply fits what Exim reads it into, or is not made."""
    lines = raw.split(b"\n")
    with suppress(ValueError):
        reply = encode_reply("reject", marked=True, score=1250, threshold=500, report=lines)
        assert len(reply) <= REPLY_AT_MOST
        assert reply.count(b"\n") == 3 + len(lines)


def damaged_request(mutator: Mutator, raw: bytes) -> bytes:
    """Damage request and message, and have the lengths right, as a rule."""
    head, _, message = mutator.damaged(raw).partition(b"\r\n\r\n")
    if mutator.chance.random() < 0.8:
        head = re.sub(rb"Content-length: \d+", b"Content-length: %d" % len(message), head)
        head = re.sub(rb"Recipient-Number: \d+", b"Recipient-Number: %d" % head.count(b"\nRcpt: "), head)
    return head + b"\r\n\r\n" + message


def _large() -> Iterator[bytes]:
    """Requests whose heads are about as long as they may be."""
    least = asked(user=b"u").index(b"\r\n\r\n") - 1
    for size in (HEADER_AT_MOST, HEADER_AT_MOST + 1):
        yield asked(user=b"u" * (size - least))


TARGET = Target("rspamc", check, frozenset({"whole", "part", "refused"}), TOKENS, damaged_request, _large)
