"""What Exim's content scanning writes, and what a milter would have been given of the same message."""

import pytest

from earmark.wire import RemoteError
from earmark.wire.exim_message import HEADER_AT_MOST, MessageReader, Stamp, written_by_exim

QUEUE_ID = b"1xVCIk-0006ng-2j"
# Taken down from Exim 4.96-15+deb12u10, with its default received_header_text; host and addresses are changed.
SAID = b"""From MAILER-DAEMON Sun Nov 22 18:28:34 2026
X-Envelope-From: <a@example.net>
X-Envelope-To: B@Example.Org, "q uoted"@example.org
Received: from [203.0.113.77] (helo=h.example)
\tby mx.example.org with esmtp (Exim 4.96)
\t(envelope-from <a@example.net>)
\tid 1xVCIk-0006ng-2j;
\tSun, 22 Nov 2026 18:28:34 +0000
Received: from mx.example.org by mx.example.org with forged id 1
\t; date
X-Envelope-To: forged@example.org
Subject: x
 folded
\ttab
X-Empty:
X-8: \xe4\xf6

body
.dot
"""


def read(said: bytes, step: int = 1 << 30, *, sender: bytes = b"a@example.net") -> tuple[MessageReader, bytes]:
    reader = MessageReader(sender, QUEUE_ID)
    body = b"".join(reader.feed(said[at : at + step]) for at in range(0, len(said), step))
    return reader, body + reader.finish()


@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_what_exim_has_put_on_top_is_taken_off_and_nothing_else(step: int) -> None:
    reader, body = read(SAID, step)
    assert reader.fields == [
        (b"Received", b" from mx.example.org by mx.example.org with forged id 1\n\t; date"),
        (b"X-Envelope-To", b" forged@example.org"),
        (b"Subject", b" x\n folded\n\ttab"),
        (b"X-Empty", b""),
        (b"X-8", b" \xe4\xf6"),
    ]
    assert body == b"body\r\n.dot\r\n"
    assert reader.stamp == Stamp(b"mx.example.org", b"esmtp")


def test_the_null_sender_has_no_x_envelope_from_of_exims() -> None:
    said = SAID.replace(b"X-Envelope-From: <a@example.net>\n", b"").replace(b"Subject: x", b"X-Envelope-From: <f>")
    reader, _ = read(said, sender=b"")
    assert reader.fields is not None
    assert (b"X-Envelope-From", b" <f>\n folded\n\ttab") in reader.fields


def test_a_received_without_our_queue_id_is_the_senders() -> None:
    said = SAID.replace(QUEUE_ID, b"1xVCIk-0006ng-2")
    reader, _ = read(said)
    assert reader.fields is not None
    assert reader.fields[0][1].startswith(b" from [203.0.113.77]")
    assert reader.stamp == Stamp()


def test_a_queue_id_further_down_takes_nothing_off() -> None:
    received = SAID.partition(b"Received:")[2].partition(b"Received:")[0]
    said = SAID.replace(b"Received:" + received, b"").replace(b"Subject: x", b"Received:" + received + b"Subject: x")
    reader, _ = read(said)
    assert reader.fields is not None
    assert sum(name == b"Received" for name, _ in reader.fields) == 2


@pytest.mark.parametrize(
    "helo",
    [b"h) by evil.example with esmtpa (", b"h) id 1xVCIk-0006ng-2j; by x with esmtpsa (", b"h\\n\\tby e with esmtpa"],
)
def test_no_helo_can_make_a_client_one_that_has_authenticated(helo: bytes) -> None:
    reader, _ = read(SAID.replace(b"h.example", helo))
    assert reader.stamp == Stamp(b"mx.example.org", b"esmtp")


def test_a_received_of_another_form_tells_nothing_and_is_taken_off_all_the_same() -> None:
    reader, _ = read(SAID.replace(b"by mx.example.org with esmtp (", b"at mx.example.org ("))
    assert reader.stamp == Stamp()
    assert reader.fields is not None
    assert len(reader.fields) == 5


def test_only_above_exims_own_received_does_a_field_say_that_each_recipient_is_answered() -> None:
    above = SAID.replace(b"Received: from [", b"X-Earmark-Prdr: yes\nReceived: from [")
    reader, _ = read(above)
    assert reader.stamp == Stamp(b"mx.example.org", b"esmtp", prdr=True)
    assert reader.fields is not None
    assert all(name != b"X-Earmark-Prdr" for name, _ in reader.fields)
    below, _ = read(SAID.replace(b"Subject:", b"X-Earmark-Prdr: yes\nSubject:"))
    assert not below.stamp.prdr
    assert below.fields is not None
    assert (b"X-Earmark-Prdr", b" yes") in below.fields


@pytest.mark.parametrize(
    ("written", "body"),
    [
        (b"", b""),
        (b"x", b"x\r\n"),
        (b"x\n\n\n", b"x\r\n\r\n\r\n"),
        (b"x\r\ny\n", b"x\r\ny\r\n"),
        (b"x\ry\n", b"x\ry\r\n"),
        (b"x\r", b"x\r\r\n"),
        (b"\n\n", b"\r\n\r\n"),
        (b"n\0l\n", b"n\0l\r\n"),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 10_000])
def test_the_body_has_the_line_ends_of_smtp_again(written: bytes, body: bytes, step: int) -> None:
    assert read(SAID.partition(b"\nbody")[0] + b"\n" + written, step)[1] == body


def test_a_message_without_a_header_is_all_body() -> None:
    reader, body = read(b"From x\nX-Envelope-To: b@example.org\n\nno header\n", sender=b"")
    assert (reader.fields, body) == ([], b"no header\r\n")


@pytest.mark.parametrize("said", [b"", b"From x\n", b"\n", b"Subject: x", b"\xff\0"])
def test_what_is_no_message_of_exims_is_read_as_what_there_is(said: bytes) -> None:
    reader, _ = read(said)
    assert reader.fields is not None


def test_a_header_without_end_is_given_up() -> None:
    reader = MessageReader(b"", QUEUE_ID)
    field = b"X: " + b"y" * 99_996 + b"\n"
    for _ in range(HEADER_AT_MOST // len(field)):
        assert reader.feed(field) == b""
    with pytest.raises(RemoteError, match="a header of more than"):
        reader.feed(field)


def test_what_a_test_writes_is_what_exim_writes() -> None:
    reader, body = read(SAID)
    own = SAID.partition(b"Received:")[2].partition(b"\nReceived")[0]
    recipients = (b"B@Example.Org", b'"q uoted"@example.org')
    fields = reader.fields or ()
    written = written_by_exim(fields, body, sender=b"a@example.net", recipients=recipients, received=own)
    assert written.partition(b"\n")[2] == SAID.partition(b"\n")[2]
