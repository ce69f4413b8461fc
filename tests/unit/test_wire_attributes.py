"""The codec of the policy protocol: what is read, what is refused, how answers are put."""

import pytest

from earmark.wire import RemoteError
from earmark.wire.attributes import (
    ATTRIBUTES_AT_MOST,
    DUNNO,
    REQUEST_AT_MOST,
    Splitter,
    decode_action,
    encode_refusal,
    encode_report,
    encode_request,
    parse,
    split_mailboxes,
)


def test_a_request_of_postfix_is_read_as_it_stands() -> None:
    raw = b"request=smtpd_access_policy\nsender=a=b%40c@example.net\nccert_subject=CN+3Da b\nsize=\n\n"
    (request,) = Splitter().feed(raw)
    assert request == {
        b"request": b"smtpd_access_policy",
        b"sender": b"a=b%40c@example.net",
        b"ccert_subject": b"CN+3Da b",
        b"size": b"",
    }


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"", "without ="),
        (b"request", "without ="),
        (b"a=1\n\nb=2", "without ="),
        (b"a=1\r\nb=2", "NUL or CR"),
        (b"a=\0", "NUL or CR"),
        (b"a=1\na=1", "twice"),
        (b"\n".join(b"a%d=" % number for number in range(ATTRIBUTES_AT_MOST + 1)), "attributes"),
        (b"a=" + b"x" * REQUEST_AT_MOST, "bytes"),
    ],
)
def test_what_is_malformed_or_too_much_is_refused(block: bytes, why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        parse(block)


def test_as_many_attributes_and_bytes_as_are_allowed_are_read() -> None:
    names = [b"a%d=" % number for number in range(ATTRIBUTES_AT_MOST)]
    assert len(parse(b"\n".join(names))) == ATTRIBUTES_AT_MOST
    assert len(parse(b"a=" + b"x" * (REQUEST_AT_MOST - 2))[b"a"]) == REQUEST_AT_MOST - 2


def test_a_request_that_never_ends_is_refused_before_it_takes_memory() -> None:
    splitter = Splitter()
    for _ in range(REQUEST_AT_MOST // 1000):
        assert not splitter.feed(b"a" * 1000)
    with pytest.raises(RemoteError, match="bytes"):
        splitter.feed(b"a" * 1000)


def test_who_stops_in_the_middle_of_a_request_is_known() -> None:
    splitter = Splitter()
    assert not splitter.in_request
    splitter.feed(b"a=1\n")
    assert splitter.in_request
    assert splitter.feed(b"\n") == [{b"a": b"1"}]
    assert not splitter.in_request


@pytest.mark.parametrize(
    ("value", "mailboxes"),
    [
        (b"", []),
        (b" , ,", []),
        (b"a@example.org", [b"a@example.org"]),
        (b"a@example.org, b@example.net", [b"a@example.org", b"b@example.net"]),
        (b'"a,b"@example.org,c@example.net', [b'"a,b"@example.org', b"c@example.net"]),
        (rb'"a\",b"@example.org,c@example.net', [rb'"a\",b"@example.org', b"c@example.net"]),
        (b'"never closed,c@example.net', [b'"never closed,c@example.net']),
        (b"\\", [b"\\"]),
    ],
)
def test_a_comma_in_a_quoted_local_part_separates_nothing(value: bytes, mailboxes: list[bytes]) -> None:
    assert split_mailboxes(value) == mailboxes


def test_an_answer_stays_one_line_whatever_is_in_it() -> None:
    assert encode_refusal("550 5.7.1 a\nb\r\0%s \N{SNOWMAN}") == b"action=550 5.7.1 a?b??%s ?\n\n"


def test_a_report_has_its_version_first_and_its_end_last() -> None:
    fields = [("action", "reject"), ("reply", "550 5.7.1 one\nend=1")]
    assert encode_report(fields) == b"v=1\naction=reject\nreply=550 5.7.1 one?end=1\nend=1\n"


def test_what_postfix_is_told_can_be_read_again() -> None:
    assert decode_action(DUNNO) == "DUNNO"
    assert decode_action(encode_refusal("550 5.7.1 no")) == "550 5.7.1 no"


@pytest.mark.parametrize("reply", [b"", b"action=DUNNO\n", b"action=\n\n", b"HTTP/1.1 400\n\n", b"action=a\nb\n\n"])
def test_what_is_no_action_is_refused(reply: bytes) -> None:
    with pytest.raises(RemoteError):
        decode_action(reply)


def test_a_request_is_written_as_it_is_read() -> None:
    assert Splitter().feed(encode_request([(b"a", b"1"), (b"b", b"")])) == [{b"a": b"1", b"b": b""}]
