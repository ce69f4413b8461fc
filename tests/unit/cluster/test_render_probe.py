"""The guest's probe, run as Pacemaker's agent runs it, against servers that say what real ones were seen to say."""

import subprocess
import sys
from pathlib import Path

import pytest

from fakes.smtp_words import smtp_words

PROBE = Path(__file__).resolve().parents[3] / "deploy" / "cluster" / "monitor" / "guest_probe.py"

# Debian 12's Postfix 3.7.11 whose milter cannot be reached, default_action = tempfail.
FILTER_DOWN = b"451 4.7.1 Service unavailable - try again later\r\n"
GREETING = b"220 mx.example.org ESMTP Postfix\r\n"
EHLO = b"250-mx.example.org\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
OK = b"250 2.1.0 Ok\r\n"


def probe(port: int, *options: str) -> tuple[int, str]:
    words = [sys.executable, "-I", str(PROBE), "127.0.0.1", "--port", str(port), "--within", "10", *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert not done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "greeting",
    [
        GREETING,
        b"220-mx.example.org ESMTP\r\n220 no unsolicited mail\r\n",
        b"421 4.7.0 mx.example.org Error: too many connections\r\n",
        b"554 mx.example.org ESMTP not accepting connections\r\n",
        b"220\r\n",
    ],
)
def test_a_server_that_replies_is_alive_whatever_its_reply(greeting: bytes) -> None:
    with smtp_words(greeting) as server:
        status, said = probe(server.port)
        assert status == 0, said


def test_a_guest_whose_filter_is_broken_is_alive() -> None:
    with smtp_words(GREETING, EHLO, FILTER_DOWN) as server:
        assert probe(server.port) == (0, "127.0.0.1: 220 mx.example.org ESMTP Postfix\n")
    assert server.heard[0] == b"QUIT\r\n", "nothing was asked"


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        (b"", "connection closed without a reply"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not a reply of SMTP"),
        (b"220-" + b"x" * 10_000, "a reply without end"),
        (b"220-again\r\n" * 1000, "a reply without end"),
        (b"2\x1b[31m0 mx\r\n", "not a reply of SMTP: b'2\\x1b[31m0 mx\\r\\n'"),
    ],
)
def test_what_is_no_reply_is_no_answer(greeting: bytes, why: str) -> None:
    with smtp_words(greeting) as server:
        status, said = probe(server.port)
        assert status == 1
        assert why in said


@pytest.mark.parametrize("answers", [(None,), (b"220-", None)])
def test_silence_ends_at_the_deadline(answers: tuple[bytes | None, ...]) -> None:
    with smtp_words(*answers) as server:
        status, said = probe(server.port, "--within", "0.3")
        assert status == 1
        assert "timed out" in said or "in time" in said


def test_where_nobody_listens_there_is_no_answer() -> None:
    with smtp_words() as server:
        port = server.port
    status, said = probe(port)
    assert status == 1
    assert "refused" in said


def test_what_a_stranger_sends_does_not_reach_the_log_raw() -> None:
    with smtp_words(b"220 \x1b[2Jmx\xff\x07\r\n") as server:
        assert probe(server.port) == (0, "127.0.0.1: 220 ?[2Jmx??\n")


# At MAIL by Postfix, at RCPT by Exim with what deploy/exim has.
@pytest.mark.parametrize("answers", [(FILTER_DOWN,), (OK, FILTER_DOWN)])
def test_where_the_filter_may_move_the_guest_its_absence_is_no_answer(answers: tuple[bytes, ...]) -> None:
    with smtp_words(GREETING, EHLO, *answers) as server:
        status, said = probe(server.port, "--takes-mail")
        assert status == 1
        assert "filter out of order: " in said
        assert "451 4.7.1 Service unavailable" in said


@pytest.mark.parametrize(
    "answers",
    [
        (OK, OK),
        (OK, b"451 4.7.1 greylisted, not seen before: come back in 5 minutes\r\n"),
        (b"452 4.3.1 Insufficient system storage\r\n",),
    ],
)
def test_no_other_reply_is_held_against_the_filter(answers: tuple[bytes, ...]) -> None:
    with smtp_words(GREETING, EHLO, *answers) as server:
        assert probe(server.port, "--takes-mail")[0] == 0
    assert server.heard[:2] == [b"EHLO probe.invalid\r\n", b"MAIL FROM:<>\r\n"]
