"""What Exim 4.96 sends for `spam` with variant=rspamd, and what its parser takes."""

import re

import pytest

from earmark.wire import RemoteError
from earmark.wire.rspamc import (
    HEADER_AT_MOST,
    RECIPIENTS_AT_MOST,
    REPLY_AT_MOST,
    Request,
    Splitter,
    decode_request,
    encode_reply,
    encode_request,
)

# Taken down from Exim 4.96-15+deb12u10.
SAID = (
    b"CHECK RSPAMC/1.3\r\n"
    b"Content-length: 9\r\n"
    b"Queue-Id: 1xVCIk-0006ng-2j\r\n"
    b"From: <a@example.net>\r\n"
    b"Recipient-Number: 2\r\n"
    b"Rcpt: <B@Example.Org>\r\n"
    b'Rcpt: <"q uoted"@example.org>\r\n'
    b"Helo: mail.example.net\r\n"
    b"Hostname: mail.example.net\r\n"
    b"IP: 2001:db8::5\r\n"
    b"User: bob\r\n"
    b"\r\n"
)
MESSAGE = b"From x\n\nb"
HEAD = SAID.removesuffix(b"\r\n\r\n")


def test_what_exim_sends_is_understood() -> None:
    assert decode_request(HEAD) == Request(
        9,
        b"a@example.net",
        (b"B@Example.Org", b'"q uoted"@example.org'),
        b"1xVCIk-0006ng-2j",
        b"mail.example.net",
        b"mail.example.net",
        b"2001:db8::5",
        b"bob",
    )


def test_a_carriage_return_in_an_address_ends_no_line() -> None:
    """Exim takes it in a quoted local part: who writes one must not get past unjudged where Exim is told to accept."""
    said = HEAD.replace(b"a@example.net", b'"x\ry"@example.net').replace(b"B@", b'"\r"@')
    request = decode_request(said)
    assert request.sender == b'"x\ry"@example.net'
    assert request.recipients[0] == b'"\r"@Example.Org'


def test_what_exim_leaves_out_is_empty() -> None:
    said = HEAD.partition(b"\r\nHelo")[0].replace(b"From: <a@example.net>", b"From: <>")
    request = decode_request(said)
    assert request.sender == b""
    assert request[4:] == (b"", b"", b"", b"")


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_a_request_may_come_in_any_pieces(step: int) -> None:
    splitter, message = Splitter(), b""
    said = SAID + MESSAGE
    for at in range(0, len(said), step):
        assert not splitter.whole
        message += splitter.feed(said[at : at + step])
    assert splitter.whole
    assert splitter.request is not None
    assert message == MESSAGE


def test_a_message_of_no_bytes_is_whole_with_its_request() -> None:
    splitter = Splitter()
    assert splitter.feed(SAID.replace(b"length: 9", b"length: 0")) == b""
    assert splitter.whole


def test_the_message_may_be_as_long_as_it_says_and_no_longer() -> None:
    splitter = Splitter()
    splitter.feed(SAID + MESSAGE[:4])
    with pytest.raises(RemoteError, match="more than Content-length"):
        splitter.feed(MESSAGE[4:] + b"!")


@pytest.mark.parametrize(
    ("there", "instead", "why"),
    [
        (b"CHECK RSPAMC/1.3", b"POST /checkv2 HTTP/1.1", "not of this protocol"),
        (b"Content-length: 9\r\n", b"", "no number in content-length"),
        (b"length: 9", b"length: -9", "no number"),
        (b"length: 9", b"length: 9.0", "no number"),
        (b"length: 9", b"length: " + b"9" * 16, "no number"),
        (b"length: 9", b"length: \xd9\xa3", "no number"),
        (b"length: 9", b"length: ", "no number"),
        (b"Recipient-Number: 2", b"Recipient-Number: 3", "not all recipients"),
        (b"Recipient-Number: 2", b"Recipient-Number: two", "no number"),
        (b"Rcpt: <B@Example.Org>", b"Rcpt: B@Example.Org", "without angle brackets"),
        (b"From: <a@example.net>\r\n", b"", "no From"),
        (b"Helo: ", b"User: alice\r\nHelo: ", "comes twice"),
        (b"Helo: ", b"Helo", "no header"),
        (b"Helo: ", b"From MAILER-DAEMON Sun Nov 22 18:28:34 2026\r\nHelo: ", "no header"),
        (b"mail.example.net", b"mail\0.example.net", "no header"),
        (b"Rcpt: <B", b"Rcpt: <x\nIP: 127.0.0.1\n>\r\nRcpt: <B", "no header"),
    ],
)
def test_what_is_not_as_exim_writes_it_is_refused(there: bytes, instead: bytes, why: str) -> None:
    assert there in SAID
    with pytest.raises(RemoteError, match=why):
        Splitter().feed(SAID.replace(there, instead, 1))


def test_another_protocol_is_refused_before_its_line_ends() -> None:
    with pytest.raises(RemoteError, match="not of this protocol"):
        Splitter().feed(b"\x16\x03\x01\x02\x00")


def test_a_request_cut_in_the_middle_of_its_recipients_is_noticed() -> None:
    # Exim does not look whether all of the request could be sent at once, and goes on with the message.
    cut = SAID.partition(b"Helo")[0]
    splitter = Splitter()
    assert splitter.feed(cut) == b""
    with pytest.raises(RemoteError, match="begins before its request ends"):
        splitter.feed(MESSAGE[:8])
    with pytest.raises(RemoteError, match="comes twice"):
        Splitter().feed(cut + b"From: <x>\r\n\r\n")


def test_a_thousand_recipients_with_the_longest_addresses_have_room() -> None:
    longest = b"x" * 64 + b"@" + b"y" * 190
    request = Request(0, b"", (longest,) * RECIPIENTS_AT_MOST)
    splitter = Splitter()
    splitter.feed(encode_request(request, b""))
    assert splitter.request == request
    with pytest.raises(RemoteError, match="1001 recipients"):
        Splitter().feed(encode_request(Request(0, b"", (b"b@example.org",) * (RECIPIENTS_AT_MOST + 1)), b""))
    with pytest.raises(RemoteError, match="0 recipients"):
        Splitter().feed(encode_request(Request(0, b"", ()), b""))


def test_a_request_that_does_not_end_is_given_up() -> None:
    splitter = Splitter()
    splitter.feed(b"CHECK RSPAMC/1.3\r\nHelo: ")
    for _ in range(HEADER_AT_MOST // 1024 - 1):
        splitter.feed(b"x" * 1024)
    with pytest.raises(RemoteError, match="more than"):
        splitter.feed(b"x" * 1024)


def test_a_reply_is_what_exims_sscanf_takes() -> None:
    reply = encode_reply("mark", marked=True, score=-1234, threshold=500, report=[b"v=1", b"end=1"])
    # "RSPAMD/%7s 0 EX_OK\r\nMetric: default; %7s %lf / %lf / %lf\r\n", then "Action: " up to the CR
    scanned = re.fullmatch(
        rb"RSPAMD/(\S{1,7}) 0 EX_OK\r\nMetric: default; (\S{1,7}) (-?[\d.]+) / ([\d.]+) / ([\d.]+)\r\n"
        rb"Action: ([^\r]{1,31})\r\n(.*)",
        reply,
        re.DOTALL,
    )
    assert scanned
    assert scanned.groups() == (b"1.3", b"True;", b"-12.34", b"5.00", b"5.00", b"mark", b"v=1\nend=1\n")


@pytest.mark.parametrize("line", [b"a\nb", b"a\0b", b"a\r", b"x" * REPLY_AT_MOST])
def test_a_line_that_is_none_or_does_not_fit_is_never_sent(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"report is not one|a reply of"):
        encode_reply("accept", marked=False, score=0, threshold=500, report=[line])
