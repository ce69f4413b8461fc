"""Messages: the header split into fields, fields left out, bodies as SMTP carries them. Nothing raises."""

from collections.abc import Iterator
from pathlib import Path

from earmark.wire.message import body_lines, split_header, without_fields
from fuzz.running import Target

MAILS = Path(__file__).parents[2] / "e2e" / "mails"
TOKENS = (
    b"\n", b"\r\n", b"\r", b"\r\r\n", b"\n ", b"\n\t", b"\n\n", b":", b" :", b"From ", b">From ", b"\0", b"\x7f",
    b"\xff", b"Received: ", b"Subject", b"a" * 1000,
)  # fmt: skip


def check(raw: bytes) -> str:
    fields, offset = split_header(raw)
    assert 0 <= offset <= len(raw)
    assert sum(len(name) + len(value) + 1 for name, value in fields) <= offset
    assert all(name.isascii() and not set(b" \t\r\n:\0") & set(name) for name, _ in fields)
    assert all(line[:1] in {b" ", b"\t"} for _, value in fields for line in value.split(b"\n")[1:])
    body = body_lines(raw[offset:])
    assert b"\n" not in body.replace(b"\r\n", b"")
    again = without_fields(raw, lambda _: False)
    fields_again, body_at = split_header(again)
    assert fields_again == fields
    assert again[body_at:] == body
    assert split_header(without_fields(raw, lambda name: name == b"Subject"))[0] == [
        field for field in fields if field[0] != b"Subject"
    ]
    return f"{'header' if fields else 'no header'}: {min(len(fields), 3)} {bool(body)} {len(raw) == offset}"


def _mails() -> Iterator[bytes]:
    for file in sorted(MAILS.glob("*.eml")):
        yield file.read_bytes()


TARGET = Target("message", check, frozenset({"header", "no header"}), TOKENS, more=_mails)
