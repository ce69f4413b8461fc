"""The Received-SPF field (RFC 7208 section 9.1), which nothing can be injected into."""

import re

import pytest

from earmark.core.authentication.received_spf import received_spf
from earmark.core.evidence import CheckHost, Fact, Status

ASKED = CheckHost("192.0.2.7", "example.org", "bob@example.org", "mail.example.net")
QUOTED = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
ATOM = r"[!#-'*+/-9=?A-Z^-~.-]+"
VALUE = re.compile(rf"[A-Z][a-z]+(?:\s+[a-z-]+=(?:{ATOM}|{QUOTED});?)+")


def test_a_result_names_who_asked_for_whom_and_why() -> None:
    fact = Fact(Status.PASS, why="ip4:192.0.2.0/24 of spf.example.net")
    assert received_spf(fact, ASKED, "mx.example.com").split() == [
        "Pass",
        "receiver=mx.example.com;",
        "identity=mailfrom;",
        "client-ip=192.0.2.7;",
        'envelope-from="bob@example.org";',
        "helo=mail.example.net;",
        'mechanism="ip4:192.0.2.0/24"',
    ]


@pytest.mark.parametrize("status", [Status.TEMPERROR, Status.PERMERROR])
def test_an_error_names_its_problem(status: Status) -> None:
    value = received_spf(Fact(status, why='a.example: "x": an unknown mechanism'), ASKED, "")
    assert value.endswith(r'problem="a.example: \"x\": an unknown mechanism"')
    assert "mechanism=" not in value
    assert "receiver=unknown;" in value


def test_where_there_is_no_record_there_is_no_mechanism() -> None:
    assert "mechanism" not in received_spf(Fact(Status.NONE, why="example.org has no SPF record"), ASKED, "mx")


HOSTILE = [
    'a"; identity=helo; x="@b.example',
    "a\\@b.example",
    "a\r\nBcc: eve@b.example",
    "a;receiver=eve@b.example",
    "(@b.example",
    "\x00\xff\ud800@b.example",
    "a" * 5000,
    "",
    ".",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_can_be_injected(text: str) -> None:
    for asked in (ASKED._replace(sender=text), ASKED._replace(helo=text), ASKED._replace(address=text)):
        for fact in (Fact(Status.FAIL, why=text), Fact(Status.PERMERROR, why=text)):
            value = received_spf(fact, asked, text)
            assert VALUE.fullmatch(value), value
            assert re.sub(QUOTED, "", value).count("=") == 6
            assert value.isascii()
            assert all(line.isprintable() for line in value.replace("\n\t", "\n").split("\n"))
            assert all(len(line) < 700 for line in value.split("\n"))
