"""`earmark received`: a message in, a JSON array out, whatever the message is like."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from earmark.cli import received
from earmark.config.files import copy_shipped

APP = typer.Typer()
received.register(APP)
APP.command("other")(lambda: None)

LISTED_HOME = b"""Received: from laptop (dyn7.example.net [192.0.2.7])
\tby mail.example.net (Postfix) with ESMTP id 4F
\tfor <a@example.org>; Thu, 1 Jan 2026 00:00:00 +0000
"""
OURS = b"""Received: from mail.example.net (mail.example.net [198.51.100.5])
\tby mx.example.org (Postfix) with ESMTPS id 5F; Thu, 1 Jan 2026 00:00:01 +0000
"""


def _run(*arguments: str | Path, message: bytes = b"") -> Result:
    return CliRunner().invoke(APP, ["received", *map(str, arguments)], input=message, env={"COLUMNS": "200"})


def _hops(*arguments: str | Path, message: bytes) -> list[dict[str, Any]]:
    result = _run("-", *arguments, message=message)
    assert result.exit_code == 0, result.output
    hops: list[dict[str, Any]] = json.loads(result.stdout)
    return hops


@pytest.fixture
def site(tmp_path: Path) -> Path:
    directory = tmp_path / "earmark"
    copy_shipped(directory)
    server = directory / "policies/server.toml"
    server.write_text('schema = 1\n[site]\nnames = ["mx.example.org"]\nrelays = ["198.51.100.5"]\n')
    return directory


def test_each_hop_has_the_documented_keys_and_no_others() -> None:
    assert _hops(message=LISTED_HOME + b"\nbody") == [
        {
            "ip": "192.0.2.7",
            "helo": "laptop",
            "rdns": "dyn7.example.net",
            "by": "mail.example.net",
            "with": "ESMTP",
            "authenticated": False,
            "trusted": False,
            "why": "a claim: it does not bear one of our host names",
        }
    ]


def test_where_no_address_can_be_believed_ip_is_null() -> None:
    (hop,) = _hops(message=b"Received: from a.example (unknown) by b.example with SMTP\n\n")
    assert hop["ip"] is None


def test_a_file_is_read_like_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "message.eml"
    path.write_bytes(LISTED_HOME)
    assert _run(path).stdout == _run("-", message=LISTED_HOME).stdout


def test_our_own_lines_in_a_file_are_known_by_our_name(site: Path) -> None:
    hops = _hops("-c", site, message=OURS + LISTED_HOME + b"\n")
    assert [(hop["ip"], hop["trusted"]) for hop in hops] == [("198.51.100.5", True), ("192.0.2.7", True)]
    assert hops[0]["why"] == "written by our own host mx.example.org"


def test_with_a_client_our_own_line_is_not_looked_for(site: Path) -> None:
    assert [hop["trusted"] for hop in _hops("-c", site, "--client", "203.0.113.9", message=OURS + b"\n")] == [False]
    (hop,) = _hops("-c", site, "--client", "198.51.100.5", message=LISTED_HOME + b"\n")
    assert hop["why"] == (
        "written by 198.51.100.5, one of our relays, which handed us the message; 192.0.2.7 handed it over"
    )


@pytest.mark.parametrize(
    "message",
    [
        b"From bob Thu Jan  1 00:00:00 1970\n" + LISTED_HOME,
        LISTED_HOME.replace(b"\n", b"\r\n") + b"\r\nReceived: from in.the.body ([192.0.2.8]) by x\r\n",
        b"Subject: \xff\x00\n" + LISTED_HOME,
    ],
)
def test_the_header_is_found_in_messages_of_all_kinds(message: bytes) -> None:
    assert [hop["ip"] for hop in _hops(message=message)] == ["192.0.2.7"]


@pytest.mark.parametrize("message", [b"", b"\n", b"body alone", b"Subject: x\n\n", b"\x00" * 100, b"\xff\n" * 100])
def test_a_message_without_received_gives_an_empty_array(message: bytes) -> None:
    assert _hops(message=message) == []


def test_what_is_printed_cannot_steer_a_terminal() -> None:
    result = _run("-", message=b"Received: from \x1b]0;x\x07\x9b (\x1b[2J [192.0.2.7]) by y\n\n")
    assert all(character == "\n" or " " <= character <= "~" for character in result.stdout)


def test_wrong_use_is_told_and_is_exit_status_2(tmp_path: Path) -> None:
    missing = _run(tmp_path / "missing.eml")
    assert missing.exit_code == 2
    assert "No such file" in missing.stderr
    assert _run(tmp_path).exit_code == 2
    assert _run("-", "--client", "nobody").exit_code == 2


def test_a_broken_configuration_is_told_and_is_exit_status_1(site: Path) -> None:
    (site / "policies/server.toml").write_text("schema = 1\nmodus = 3\n")
    result = _run("-", "-c", site, message=LISTED_HOME)
    assert result.exit_code == 1
    assert "policies/server.toml:2" in result.stderr
