"""clamd's protocol: what is sent, and that each answer is told from each other."""

import pytest

from earmark.wire import RemoteError
from earmark.wire.clamd import END, Reply, Result, Version, chunk, read_pong, read_reply, read_version

HASH = b"44d88612fea8a8f36de82e1278abb02f"


def test_a_stream_is_chunks_with_their_length_before_them() -> None:
    assert chunk(b"abc") + chunk(b"x" * 65536) + END == b"\0\0\0\3abc\0\1\0\0" + b"x" * 65536 + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        (b"stream: OK\0", Reply(Result.OK)),
        (b"stream: Eicar-Test-Signature FOUND\0", Reply(Result.FOUND, "Eicar-Test-Signature")),
        (b"stream: Lab.Eicar.UNOFFICIAL FOUND\0", Reply(Result.FOUND, "Lab.Eicar.UNOFFICIAL")),
        (b"stream: Win.Test.X(" + HASH + b":68) FOUND\0", Reply(Result.FOUND, "Win.Test.X")),
        (b"stream: A name: with (all) FOUND FOUND\0", Reply(Result.FOUND, "A name: with (all) FOUND")),
        (b"stream: a(" + HASH + b":68)b FOUND\0", Reply(Result.FOUND, f"a({HASH.decode()}:68)b")),
        (b"stream: Caf\xc3\xa9 FOUND\0", Reply(Result.FOUND, r"Caf\xc3\xa9")),
        (b"stream: Heuristics.Encrypted.Zip FOUND\0", Reply(Result.FOUND, "Heuristics.Encrypted.Zip")),
        (b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0",
         Reply(Result.LIMIT, "Heuristics.Limits.Exceeded.MaxFileSize")),
        (b"stream: Heuristics.Limits.Exceeded.MaxScanTime(" + HASH + b":9) FOUND\0",
         Reply(Result.LIMIT, "Heuristics.Limits.Exceeded.MaxScanTime")),
        (b"INSTREAM size limit exceeded. ERROR\0", Reply(Result.LIMIT, "INSTREAM size limit exceeded")),
        (b"stream: Can't allocate memory ERROR\0", Reply(Result.ERROR, "stream: Can't allocate memory ERROR")),
        (b"COMMAND READ TIMED OUT\n", Reply(Result.TIMED_OUT, "COMMAND READ TIMED OUT")),
        (b"UNKNOWN COMMAND\0", Reply(Result.UNKNOWN_COMMAND, "UNKNOWN COMMAND")),
    ],
)  # fmt: skip
def test_each_answer_is_told_from_each_other(raw: bytes, reply: Reply) -> None:
    assert read_reply(raw) == reply


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "closed without an answer"),
        (b"stream: O", "half an answer: stream: O"),
        (b"stream: OK", "half an answer: stream: OK"),
        (b"stream: OK\n", "half an answer: stream: OK"),
        (b"stream:  FOUND\0", "FOUND without a name"),
        (b"stream: (" + HASH + b":68) FOUND\0", "FOUND without a name"),
        (b"stream: FOUND\0", "FOUND without a name"),
        (b"FOUND\0", "not an answer"),
        (b"/etc/passwd: OK\0", "not an answer"),
        (b"stream: ok\0", "not an answer"),
        (b"stream: OK\0stream: X FOUND\0", "not one line"),
        (b"stream: a\r\nX: b FOUND\0", "not one line"),
        (b"stream: \x1b[2J FOUND\0", "not one line"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n\0", "not one line"),
        (b"stream: " + b"x" * 1_000_000 + b" FOUND\0", "more than 4096"),
        (b"\xff" * 100 + b"\0", "not an answer"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_answer_is_neither_clean_nor_a_virus(raw: bytes, why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        read_reply(raw)


def test_a_pong_is_a_pong() -> None:
    read_pong(b"PONG\0")
    for raw in (b"", b"PONG", b"PONG\n", b"PONG\0PONG\0", b"UNKNOWN COMMAND\n"):
        with pytest.raises(RemoteError):
            read_pong(raw)


@pytest.mark.parametrize(
    ("raw", "version"),
    [
        (b"ClamAV 1.4.6/27445/Wed Nov 18 10:20:30 2026\0", Version("1.4.6", 27445, (2026, 11, 18))),
        (b"ClamAV 1.4.6/27431/Wed Nov  4 10:20:30 2026\0", Version("1.4.6", 27431, (2026, 11, 4))),
        (b"ClamAV 1.5.0-beta\0", Version("1.5.0-beta")),
    ],
)
def test_the_version_says_from_when_the_signatures_are(raw: bytes, version: Version) -> None:
    assert read_version(raw) == version


@pytest.mark.parametrize(
    "said",
    [
        b"ClamAV",
        b"ClamAV 1.4.6/x/y",
        b"ClamAV 1.4.6/1/Wed Foo 18 10:20:30 2026",
        b"ClamAV 1/1/Wed Nov 32 10:20:30 2026",
    ],
)
def test_what_is_no_version_is_refused(said: bytes) -> None:
    with pytest.raises(RemoteError):
        read_version(said + b"\0")
