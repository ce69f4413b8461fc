"""Nothing that a header brings makes it larger than its limits, and no forged field hides behind them."""

import pytest

from earmark.fronts.milter_header import BYTES, FIELD_BYTES, FIELDS, FORGED, HeaderBlock


def block(*fields: tuple[bytes, bytes]) -> HeaderBlock:
    collected = HeaderBlock()
    for name, value in fields:
        collected.add(name, value)
    return collected


def kept(collected: HeaderBlock) -> int:
    return sum(len(field.name) + len(field.value) for field in collected.fields)


def test_a_field_up_to_its_limit_is_kept_whole() -> None:
    collected = block((b"Received", b" " + b"y" * (FIELD_BYTES - 9)))
    assert not collected.truncated
    assert kept(collected) == FIELD_BYTES


@pytest.mark.parametrize("name", [b"Received", b"y" * FIELD_BYTES])
def test_a_longer_field_is_cut_and_the_next_one_still_read(name: bytes) -> None:
    collected = block((name, b" " + b"y" * FIELD_BYTES), (b"Subject", b" Hello"))
    assert collected.truncated
    assert kept(collected) == FIELD_BYTES + 13
    assert collected.fields[1].value == b" Hello"


def test_fields_beyond_the_limits_are_left_out_but_for_those_that_may_have_to_be_removed() -> None:
    results = (b"Authentication-Results", b" mx.example.org; dkim=pass" + b"y" * 1000)
    for many in ([(b"A", b"")] * FIELDS, [(b"A", b"y" * 50_000)] * 6):
        collected = block(*many, (b"Subject", b" Hello"), (b"X-Spam-Flag", b" YES"), results)
        assert collected.truncated
        assert collected.fields[-2] == (b"X-Spam-Flag", b" YES")
        assert collected.fields[-1].value.startswith(b" mx.example.org; dkim=pass")
        assert len(collected.fields[-1].value) < 200
        assert b"Subject" not in {field.name for field in collected.fields}


def test_forged_fields_with_names_of_64_kb_take_no_memory_worth_the_name() -> None:
    collected = block(*[(b"A", b"")] * FIELDS, *[(b"X-Spam-" + b"y" * 60_000, b"")] * (2 * FORGED))
    assert kept(collected) < BYTES
