"""`earmark session`: each command gets its reply."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from earmark.cli import session
from earmark.config import shipped
from earmark.config.files import copy_shipped
from earmark.core.access import Kind
from earmark.stores.access_file import FILE_NAME, put
from fakes.entries import allow

ZONE = """
7.2.0.192.zen.spamhaus.org. A 127.0.0.4
9.100.51.198.zen.spamhaus.org. A 127.0.0.4
mail.example.net. A 192.0.2.20
20.2.0.192.in-addr.arpa. PTR mail.example.net.
example.net. MX 10 mail.example.net.
"""
HOME = (
    "Received: from home (h.example [198.51.100.9]) by mail.example.net with ESMTP id 1; Mon, 6 Jan 2025 10:00:00 +0000"
)


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    path = tmp_path / "zone.txt"
    path.write_text(ZONE)
    return path


def play(zone: Path, said: str, *arguments: str) -> Any:
    app = typer.Typer()
    session.register(app)
    return CliRunner().invoke(app, ["-c", str(shipped()), "--dns", str(zone), *arguments], input=said)


def replies(zone: Path, said: str, *arguments: str) -> list[str]:
    result = play(zone, said, *arguments)
    assert result.exit_code == 0, result.output
    lines: list[str] = result.output.splitlines()
    return lines[1:]


def test_a_listed_client_is_refused_at_rcpt_and_data_finds_no_recipient(zone: Path) -> None:
    said = "EHLO mail.example.net\nMAIL FROM:<a@example.net> SIZE=100\nRCPT TO:<u@example.org>\nDATA\nQUIT\n"
    got = replies(zone, said, "--ip", "192.0.2.7")
    assert [line[:3] for line in got] == ["250", "250", "550", "554", "221"]
    assert "192.0.2.7 is listed by zen.spamhaus.org" in got[2]


def test_the_allow_lists_of_the_service_on_this_machine_count(zone: Path, tmp_path: Path) -> None:
    config, state = tmp_path / "config", tmp_path / "state"
    copy_shipped(config)
    state.mkdir()
    with (config / "policies" / "server.toml").open("r+") as file:
        text = file.read().replace("[site]", f'state = "{state}"\n\n[site]', 1)
        file.seek(0)
        file.write(text)
    put(state / FILE_NAME, [allow(Kind.CLIENT, "192.0.2.7")])
    said = "EHLO mail.example.net\nMAIL FROM:<a@example.net>\nRCPT TO:<u@example.org>\nQUIT\n"
    assert replies(zone, said, "--ip", "192.0.2.7", "-c", str(config))[2] == "250 2.1.5 Ok"


def test_a_listed_hop_is_accepted_marked_and_the_edits_are_shown(zone: Path) -> None:
    said = (
        "EHLO mail.example.net\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<u@example.org>\r\nDATA\r\n"
        f"{HOME}\r\n.X-Spam-Flag: NO\r\nSubject: x\r\n\r\n..\r\nRCPT TO:<body>\r\n.\r\nQUIT\r\n"
    )
    got = replies(zone, said, "--ip", "192.0.2.20")
    assert got[3].startswith("354 ")
    assert got[4] == "250 2.0.0 accepted (marked)"
    assert ">>> remove X-Spam-Flag (number 1)" in got
    assert ">>> insert X-Spam-Flag: YES" in got
    assert got[-1].startswith("221 ")


def test_who_authenticates_is_not_refused(zone: Path) -> None:
    said = "EHLO x\nAUTH bob\nMAIL FROM:<a@example.net>\nRCPT TO:<u@example.org>\n"
    assert [line[:3] for line in replies(zone, said, "--ip", "192.0.2.7")] == ["250", "235", "250", "250"]
    said = "EHLO x\nMAIL FROM:<a@example.net>\nRCPT TO:<u@example.org>\n"
    assert replies(zone, said, "--ip", "192.0.2.7", "--auth", "bob")[2].startswith("250 ")


def test_rset_ends_the_transaction_and_the_next_one_is_judged_anew(zone: Path) -> None:
    said = "EHLO x\nMAIL FROM:<>\nRCPT TO:<u@example.org>\nRSET\n"
    said += "RCPT TO:<u@example.org>\nMAIL FROM:<>\nRCPT TO:<abuse@example.org>\n"
    got = replies(zone, said, "--ip", "192.0.2.7")
    assert [line[:3] for line in got if not line.startswith(">>>")] == ["250", "250", "550", "250", "503", "250", "250"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("FOO\x1b[2J\n", "502"),
        ("\n", "502"),
        ("HELO\n", "501"),
        ("MAIL TO:<x>\n", "501"),
        ("RCPT TO:<x@example.org>\n", "503"),
        ("RCPT x\n", "501"),
        ("DATA\n", "503"),
        ("AUTH\n", "503"),
        ("NOOP\n", "250"),
    ],
)
def test_nonsense_is_answered_by_smtp(zone: Path, said: str, code: str) -> None:
    (reply,) = replies(zone, said, "--ip", "192.0.2.20")
    assert reply.startswith(f"{code} ")
    assert reply.isprintable()


def test_a_mistake_on_the_command_line_is_one_line(zone: Path) -> None:
    result = play(zone, "", "--ip", "nonsense")
    assert result.exit_code == 1
    assert result.stderr == "--ip nonsense: not an IP address\n"
