"""What is read out of one Received field, for each form that servers write (received_forms.toml)."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from earmark.core.received_forms import MAX_BYTES, Line, read_line
from earmark.wire.message import split_header

FORMS = tomllib.loads(Path(__file__).with_name("received_forms.toml").read_text())["form"]


def expected(form: dict[str, Any]) -> Line:
    return Line(
        form.get("ip", ""),
        form.get("helo", ""),
        form.get("rdns", ""),
        form.get("by", "mx.example.net"),
        form.get("protocol", "ESMTP"),
        form.get("authenticated", False),
        form.get("local", False),
    )


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["name"])
def test_a_line_is_read_as_its_server_meant_it(form: dict[str, Any]) -> None:
    assert read_line(b" " + form["value"].encode()) == expected(form)


def test_there_are_enough_forms() -> None:
    assert len(FORMS) >= 60
    assert len({form["name"] for form in FORMS}) == len(FORMS)


@pytest.mark.parametrize(
    "value",
    [
        "from authenticated (dyn.example [192.0.2.7]) by mx.example.net with ESMTP",
        "from x (authenticated [192.0.2.7]) by mx.example.net with ESMTP",
        "from x (account [192.0.2.7]) by mx.example.net with ESMTP",
        "from unknown (HELO authenticated) (192.0.2.7) by mx.example.net with SMTP",
        "from x ([192.0.2.7] helo=authenticated) by mx.example.net with esmtp (Exim 4)",
        "from x with ESMTPA (dyn.example [192.0.2.7]) by mx.example.net with ESMTP",
        "from x (dyn.example [192.0.2.7]) by mx.example.net with ESMTP for <ESMTPSA>",
        "from x (dyn.example [192.0.2.7]) by mx.example.net with ESMTP id 1 (authenticated) with ESMTPA",
        "from x (dyn.example [192.0.2.7] (authenticated)) by mx.example.net with ESMTP",
        "from unknown (HELO x [198.51.100.1]) (192.0.2.7) by mx.example.net with SMTP",
        "from x (dyn.example [192.0.2.7]) by mx.example.net; Thu, 1 Jan 2026 (PST) with ESMTPA",
    ],
)
def test_no_word_that_the_client_chose_makes_it_authenticated(value: str) -> None:
    line = read_line(value.encode())
    assert (line.address, line.authenticated) == ("192.0.2.7", False)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        "from",
        "from by",
        "from [192.0.2.7",
        "from a.example (unknown) by mx.example.net with ESMTP",
        "from [198.51.100.1] (may be anybody) by mx.example.net with ESMTP",
        "from a.example ([192.0.2.300]) by mx.example.net with ESMTP",
        "from a.example ([192.0.2.7.8]) by mx.example.net with ESMTP",
        "from a.example (192.0.2) by mx.example.net with SMTP",
        "from a.example ((((192.0.2.7)))) by mx.example.net",
        "from 192.0.2.7 by mx.example.net with ESMTP",
        "by mx.example.net (mail.example.org [192.0.2.7]) with ESMTP",
        "id 1 from a.example (a.example [192.0.2.7])",
        "by mx.example.net with ESMTP from a.example (a.example [192.0.2.7])",
        "from a.example (a.example \\[192.0.2.7\\]) by mx.example.net",
        "Thu, 1 Jan 2026 00:00:00 +0000; from a.example (a.example [192.0.2.7])",
    ],
)
def test_where_no_address_can_be_believed_there_is_none(value: str) -> None:
    assert read_line(value.encode()).address == ""


@pytest.mark.parametrize(
    ("value", "ip"),
    [
        (b"from a (" + b"(" * 10_000, ""),
        (b"from a (a [192.0.2.7] " + b"(" * 4000 + b")" * 4000 + b") by b", "192.0.2.7"),
        (b"from a (a [192.0.2.7]" + b")" * 7000 + b" by b", "192.0.2.7"),
        (b"from a (a [192.0.2.7] by b with ESMTP", "192.0.2.7"),
        (b'from "a (a [192.0.2.7]) by b', "192.0.2.7"),
        (b"from a\x00b (a [192.0.2.7]) by b", "192.0.2.7"),
        (b"from \xc3\xa9\xa0\xff (\xe9 [192.0.2.7]) by b", "192.0.2.7"),
        (b"from a\r(a\r[192.0.2.7])\rby b", "192.0.2.7"),
        (b"from " + b"a" * 9000 + b" (a [192.0.2.7]) by b", ""),
        (b"from a (" + b"[" * 8000 + b"192.0.2.7]) by b", ""),
        (b"from a (a [192.0.2.7]) by " + b"b" * 100_000, "192.0.2.7"),
        (b"\\", ""),
        (b"from a (a [192.0.2.7]\\", ""),
    ],
)
def test_broken_values_give_the_right_address_or_none(value: bytes, ip: str) -> None:
    assert read_line(value).address == ip


def test_every_text_is_printable_and_short() -> None:
    line = read_line(b"from \x1b[2Jhelo\xff" + b"x" * 600 + b" (r\x07dns [192.0.2.7]) by b\x00y with E\x7fSMTP")
    for text in (line.helo, line.rdns, line.by, line.protocol):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= 255
    assert line.rdns == "r?dns"
    assert line.by == "b?y"


def test_what_stands_beyond_the_limit_is_not_read() -> None:
    start = b"from a (a [192.0.2.7]) by mx.example.net "
    assert read_line(start.ljust(MAX_BYTES) + b"with ESMTPA").protocol == ""
    assert read_line(start.ljust(MAX_BYTES - 11) + b"with ESMTPA").protocol == "ESMTPA"


def test_of_three_hundred_real_fields_all_are_read_that_name_a_client() -> None:
    corpus = Path(__file__).parent.with_name("corpus")
    fields = [field for path in sorted(corpus.rglob("*.eml")) for field in split_header(path.read_bytes())[0]]
    lines = [read_line(value) for name, value in fields if name.lower() == b"received"]
    fetched = sum(line.protocol.startswith(("IMAP", "POP3")) for line in lines)
    local = sum(line.local for line in lines)
    assert (len(lines), fetched, local) == (300, 44, 32)
    assert sum(bool(line.address) for line in lines) == 218  # the other 6 give a host at most
