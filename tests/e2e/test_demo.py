"""`./dev run`: the demonstration as a new user meets it, in a process of its own."""

import os
import re
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FROM_HOME = b"""\
Received: from laptop (unknown [203.0.113.77])\r
\tby smtp.provider.example (Postfix) with ESMTP id 4Tq0\r
Subject: Sunday\r
\r
See you on Sunday.\r
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_once_shows_every_dialogue_as_announced_and_ends_well() -> None:
    command = [sys.executable, "-m", "earmark", "demo", "--once"]
    environment = {**os.environ, "COLUMNS": "80"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    right = re.search(r"(\d+) of (\d+) as announced", ended.stdout)
    assert right
    assert right[1] == right[2]
    assert int(right[1]) >= 20
    assert "Refused: 198.51.100.66 is listed by" in ended.stdout
    assert "550 5.7.1 Refused: DMARC fails for" in ended.stdout
    assert "451 4.7.1 greylisted" in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 80


@contextmanager
def serving(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Run the demonstration; yield its SMTP port and its directory, once it serves."""
    port, told = free_port(), tmp_path / "told"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with told.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "earmark", "demo", "--port", str(port)], stdout=out, stderr=out, env=environment
        )
    try:
        deadline = time.monotonic() + 60
        while b"Still serving" not in told.read_bytes():
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < deadline, told.read_text()
            time.sleep(0.05)
        yield port, next(tmp_path.glob("earmark-demo-*"))
    finally:
        process.terminate()
        process.wait(20)


def test_mail_sent_by_hand_lands_in_its_folder_and_explain_tells_why(tmp_path: Path) -> None:
    with serving(tmp_path) as (port, directory):
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.sendmail("user@provider.example", ["ann@example.org"], FROM_HOME)
            client.sendmail("user@provider.example", ["ann@example.org"], b"Subject: plain\r\n\r\nHello.\r\n")
            client.docmd("XCLIENT", "ADDR=198.51.100.66")
            client.ehlo("pc.example.com")
            client.mail("x@example.com")
            code, reply = client.rcpt("ann@example.org")
        assert code == 550
        inbox, junk = directory / "mail" / "ann@example.org", directory / "mail" / "ann@example.org" / ".Junk"
        assert [b"Subject: plain" in path.read_bytes() for path in inbox.glob("new/*")] == [True]
        (marked,) = junk.glob("new/*")
        text = marked.read_text()
        assert "X-Spam-Flag: YES" in text
        assert text.endswith("\n\nSee you on Sunday.\n")
        for verdict_id in (re.search(r"id=(\w+)", text), re.search(r"id (\w+)", reply.decode())):
            assert verdict_id
            explained = explain(directory, verdict_id[1])
            assert "zen.spamhaus.org" in explained
            assert "rules/zones.toml:" in explained


def explain(directory: Path, verdict_id: str) -> str:
    """Return what `earmark explain` says."""
    return told_of(verdict_id, directory, "explain", verdict_id)


def told_of(word: str, directory: Path, *command: str) -> str:
    """Run a command on the demonstration's state until what it prints has the word: writing takes a moment."""
    words = [sys.executable, "-m", "earmark", *command, "-c", str(directory / "config")]
    deadline = time.monotonic() + 20
    while True:
        asked = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        if asked.returncode == 0 and word in asked.stdout:
            return asked.stdout
        assert time.monotonic() < deadline, asked.stdout + asked.stderr
        time.sleep(0.1)


def test_what_the_dialogues_leave_behind_can_be_looked_at(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, directory):
        delivered = [path.read_text() for path in (directory / "mail" / "bob@example.org").glob("new/*")]
        (signed,) = (text for text in delivered if "DKIM-Signature:" in text)
        results = signed.partition("Authentication-Results: mx.example.org;")[2].partition("\nDKIM-Signature:")[0]
        assert "spf=fail smtp.mailfrom=football.example.com" in results
        assert "dkim=pass" in results
        assert "dmarc=pass header.from=football.example.com" in results
        assert "carol@example.org" in told_of("198.51.100.66", directory, "allow", "list")
        assert "203.0.113.0/24" in told_of("waits.example", directory, "greylist", "list", "passed")


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "earmark", "demo", "--port", str(taken.getsockname()[1])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "cannot listen on 127.0.0.1" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert list(tmp_path.glob("earmark-demo-*")) == []
