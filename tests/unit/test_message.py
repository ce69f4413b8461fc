import pytest

from earmark.wire.message import split_header, without_fields


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_fields_keep_their_leading_space_and_their_folding_as_a_milter_sees_them(end: bytes) -> None:
    raw = end.join([b"Subject: one", b"\ttwo", b"To:a@example.org", b"", b"body", b""])
    fields, offset = split_header(raw)
    assert fields == [(b"Subject", b" one\n\ttwo"), (b"To", b"a@example.org")]
    assert raw[offset:] == b"body" + end


@pytest.mark.parametrize("first", [b"From a@example.org Thu Jan  1 00:00:00 1970\n", b">From a Thu Jan\n"])
def test_a_first_line_of_an_mbox_is_passed_over(first: bytes) -> None:
    assert split_header(first + b"Subject: x\n\nbody") == ([(b"Subject", b" x")], len(first) + 12)


def test_a_later_line_of_that_kind_ends_the_header() -> None:
    raw = b"Subject: x\nFrom a@example.org Thu Jan\n\nbody"
    assert split_header(raw) == ([(b"Subject", b" x")], 11)


@pytest.mark.parametrize("line", [b"no colon here", b": no name", b"two words: x", b"8-b\xc3\xbct: x", b"n\x00l: x"])
def test_the_header_ends_before_a_line_that_can_be_no_field(line: bytes) -> None:
    raw = b"A: 1\n" + line + b"\nB: 2\n\nbody"
    assert split_header(raw) == ([(b"A", b" 1")], 5)


def test_a_message_of_body_alone_has_no_fields() -> None:
    assert split_header(b"just words\n") == ([], 0)
    assert split_header(b"\nbody") == ([], 1)
    assert split_header(b"") == ([], 0)


def test_space_before_the_colon_is_not_part_of_the_name() -> None:
    assert split_header(b"X-Spam-Flag \t: YES\n\n")[0] == [(b"X-Spam-Flag", b" YES")]


def test_a_bare_carriage_return_and_a_nul_stay_in_the_value() -> None:
    assert split_header(b"A: x\ry\x00z\nB: 2\n\n")[0] == [(b"A", b" x\ry\x00z"), (b"B", b" 2")]


def test_a_header_without_a_final_line_end_is_read_to_its_end() -> None:
    assert split_header(b"A: 1\n B") == ([(b"A", b" 1\n B")], 7)


def test_a_first_line_that_looks_folded_is_no_field() -> None:
    assert split_header(b" folded\nA: 1\n\n") == ([], 0)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_fields_are_taken_out_by_name_with_their_folding_and_nothing_else_is(end: bytes) -> None:
    raw = end.join([b"A: 1", b"Out : 2", b"\tmore", b"B:3", b" more", b"out: 4", b"", b"Out: body", b""])
    left = without_fields(raw, lambda name: name.lower() == b"out")
    assert left == b"A: 1\r\nB:3\r\n more\r\n\r\nOut: body\r\n"
