"""What SPF weighs: the check [spf]."""

import pytest

from earmark.core.checks.spf import SpfKnobs, examine, wants
from earmark.core.evidence import CheckHost, Fact, Facts, Finding, Origin, Points, Status
from earmark.core.mail import Client, Envelope, Site, parse_path

KNOBS = SpfKnobs(
    fail=Points(90),
    softfail=Points(50),
    neutral=Points(10),
    none=Points(20),
    permerror=Points(30),
    helo_fail=Points(40),
)
MAIL = CheckHost("192.0.2.7", "example.org", "bob@example.org", "mail.example.net")
HELO = CheckHost("192.0.2.7", "mail.example.net", "postmaster@mail.example.net", "mail.example.net")


def envelope(sender: bytes = b"<bob@example.org>", helo: str | None = "mail.example.net") -> Envelope:
    return Envelope(Client("192.0.2.7"), Site(domains=frozenset({"example.org"})), helo, parse_path(sender))


def found(facts: Facts, asked: Envelope | None = None, knobs: SpfKnobs = KNOBS) -> list[Finding]:
    return list(examine(asked or envelope(), facts, knobs))


def test_our_own_domain_is_asked_as_any_other() -> None:
    assert list(wants(envelope(), {}, KNOBS)) == [MAIL, HELO]


def test_the_greeting_is_asked_only_where_it_weighs() -> None:
    assert list(wants(envelope(), {}, SpfKnobs(fail=Points(90)))) == [MAIL]
    assert list(wants(envelope(helo="localhost"), {}, KNOBS)) == [MAIL._replace(helo="localhost")]


def test_others_build_on_the_result_where_nothing_weighs() -> None:
    assert list(wants(envelope(), {}, SpfKnobs())) == [MAIL]


def test_switched_off_it_asks_and_finds_nothing() -> None:
    off = SpfKnobs(check=False, fail=Points(90), helo_fail=Points(40))
    assert list(wants(envelope(), {}, off)) == []
    assert found({MAIL: Fact(Status.FAIL), HELO: Fact(Status.FAIL)}, knobs=off) == []


@pytest.mark.parametrize(
    ("status", "name", "score"),
    [
        (Status.FAIL, "SPF_FAIL", 90),
        (Status.SOFTFAIL, "SPF_SOFTFAIL", 50),
        (Status.NEUTRAL, "SPF_NEUTRAL", 10),
        (Status.NONE, "SPF_NONE", 20),
        (Status.PERMERROR, "SPF_PERMERROR", 30),
    ],
)
def test_each_result_has_its_weight(status: Status, name: str, score: int) -> None:
    (one,) = found({MAIL: Fact(status, why="the mechanism")})
    assert (one.name, one.score, one.origin, one.question) == (name, score, Origin.ENVELOPE, MAIL)
    assert one.knob == f"spf.{name.removeprefix('SPF_').lower()}"
    assert "example.org" in one.why
    assert "the mechanism" in one.why
    assert found({MAIL: Fact(status)}, knobs=SpfKnobs()) == []


@pytest.mark.parametrize("status", [Status.PASS, Status.TEMPERROR])
def test_a_pass_and_what_is_unknown_find_nothing(status: Status) -> None:
    assert found({MAIL: Fact(status), HELO: Fact(status)}) == []


def test_a_greeting_that_fails_counts_by_itself() -> None:
    (one,) = found({MAIL: Fact(Status.PASS), HELO: Fact(Status.FAIL, why="-all")})
    assert (one.name, one.score, one.knob, one.question) == ("SPF_HELO_FAIL", 40, "spf.helo_fail", HELO)
    assert found({HELO: Fact(Status.SOFTFAIL)}) == []


@pytest.mark.parametrize("sender", [b"<>", b"<postmaster@mail.example.net>"])
def test_one_record_that_fails_counts_once(sender: bytes) -> None:
    asked = envelope(sender)
    assert set(wants(asked, {}, KNOBS)) == {HELO}
    assert [one.name for one in found({HELO: Fact(Status.FAIL)}, asked)] == ["SPF_FAIL"]
