"""JSON in and out: exact, and plain ASCII where it is said so."""

import json

import pytest

from earmark.core.record import Record, make_record
from earmark.serial import decode, encode, encode_ascii
from fakes.records import judged


def test_a_record_comes_back_as_it_went() -> None:
    made = make_record(judged())
    assert encode(decode(encode(made), Record)) == encode(made)


def test_bytes_come_back_as_they_went() -> None:
    files = {"policies/default.toml": b"\xff\x00\r\n"}
    assert decode(encode(files), dict[str, bytes]) == files


def test_fields_that_a_newer_program_added_are_passed_over() -> None:
    raw = json.dumps({**json.loads(encode(make_record(judged()))), "colour": "red"})
    assert decode(raw, Record).id == "0123456789AB"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"v": "x"}', b"\xff", b'{"v": 1}'])
def test_what_is_no_such_value_raises_one_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(raw, Record)


@pytest.mark.parametrize(
    "text", ["a\r\nb", "\x00\x07\x1b[31m", "\x7f", "\x9b31m", "käse", "\U0001f600", "\ud800", "\u2028"]
)
def test_ascii_json_holds_nothing_but_printable_ascii(text: str) -> None:
    raw = encode_ascii({"text": text})
    assert all(0x20 <= byte < 0x7F for byte in raw)
    assert json.loads(raw) == {"text": text}
