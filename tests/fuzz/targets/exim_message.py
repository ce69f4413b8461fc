"""A message as Exim writes it: the header in one go, the body in pieces, what Exim put on top taken off."""

from collections.abc import Iterable, Iterator

from earmark.wire.exim_message import HEADER_AT_MOST, Fields, MessageReader, Stamp
from fakes.exim_front import QUEUE_ID
from fuzz.checking import assert_bounded, heard
from fuzz.checking import pieces as cut
from fuzz.running import Target

TOKENS = (
    b"\n", b"\r\n", b"\r", b"\n\n", b"\n\r\n", b"From ", b"X-Envelope-From: <>\n", b"X-Envelope-To: a\n", b":", b"\0",
    b"Received: ", b" id " + QUEUE_ID, b"\n\tby mx.example.org with esmtps ", b"X-Earmark-Prdr: yes\n", b"\xff", b"\t",
)  # fmt: skip


def check(raw: bytes) -> str:
    assert _read(b"", cut(raw)) == _read(b"", [raw])
    header, body, why = _read(b"a@example.net", [raw])
    assert _read(b"a@example.net", cut(raw)) == (header, body, why)
    if header is None:
        return why
    fields, stamp = header
    assert b"\n" not in body.replace(b"\r\n", b"")
    assert not body or body.endswith(b"\r\n")
    assert not any(b"\n" in name for name, _ in fields)
    assert_bounded((fields, body), raw)
    return f"{'stamped' if any(stamp) else 'read'}: {stamp.protocol!r} {stamp.prdr} {bool(fields)} {bool(body)}"


def _read(sender: bytes, pieces: Iterable[bytes]) -> tuple[tuple[Fields, Stamp] | None, bytes, str]:
    """Return fields and stamp, body, and why it is refused."""
    reader = MessageReader(sender, QUEUE_ID)
    body, why = heard(reader.feed, pieces)
    if why:
        return None, b"", why
    rest = reader.finish()
    assert reader.fields is not None
    return (reader.fields, reader.stamp), bytes(body) + rest, ""


def _large() -> Iterator[bytes]:
    """Headers about as long as they may be."""
    for size in (HEADER_AT_MOST, HEADER_AT_MOST + 1):
        yield b"Subject: ".ljust(size, b"a") + b"\n\r\n"


TARGET = Target("exim_message", check, frozenset({"read", "stamped", "refused"}), TOKENS, more=_large)
