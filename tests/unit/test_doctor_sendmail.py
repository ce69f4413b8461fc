"""What `earmark doctor` makes of a sendmail.cf."""

from pathlib import Path

import pytest

from earmark.service.doctor.diagnosis import Diagnosis, State
from earmark.service.doctor.postfix import Needs
from earmark.service.doctor.sendmail import diagnose_filters, diagnose_sendmail, read_seconds, read_sendmail, spelt

NEEDS = Needs(("inet:127.0.0.1:8890", "inet:[::1]:8890", "unix:/run/earmark/milter.sock"), 6.0, 60.0)
GOOD = "Xearmark, S=inet:8890@127.0.0.1, F=T, T=C:5s;S:30s;R:2m;E:5m\n"
ASKED = "#O InputMailFilters=no\nO InputMailFilters=opendkim, earmark\n"


def diagnosed(filters: str, asked: str = ASKED, needs: Needs = NEEDS) -> dict[str, Diagnosis]:
    found = list(diagnose_filters(read_sendmail(f"V10/Berkeley\n{asked}# Xno, S=no\n{filters}R$*\t$1\n"), needs))
    assert len({one.check for one in found}) == len(found)
    assert all(bool(one.mend) == (one.state is not State.PASS) for one in found)
    return {one.check: one for one in found}


def test_with_the_recommended_line_every_check_passes() -> None:
    found = diagnosed(GOOD)
    assert {one.state for one in found.values()} == {State.PASS}
    assert sorted(found) == ["sendmail filter", "sendmail filter flag", "sendmail time-out E", "sendmail time-out R"]


def test_the_line_of_the_shipped_file_is_the_recommended_one() -> None:
    shipped = Path(__file__).parents[2] / "deploy" / "sendmail" / "earmark.m4"
    assert "S=EARMARK_SOCKET, F=T, T=C:5s;S:30s;R:2m;E:5m'" in shipped.read_text()


@pytest.mark.parametrize(
    "socket",
    ["inet:8890@localhost", "inet6:8890@::1", "unix:/run/earmark/milter.sock", "local:/run/earmark/milter.sock"],
)
def test_each_spelling_of_our_socket_is_ours(socket: str) -> None:
    assert diagnosed(GOOD.replace("inet:8890@127.0.0.1", socket))["sendmail filter"].state is State.PASS


@pytest.mark.parametrize(
    ("filters", "check", "state", "seen"),
    [
        ("", "filter", State.FAIL, "not us: none"),
        (GOOD.replace("8890", "8891"), "filter", State.FAIL, "not us: earmark at inet:8891@127.0.0.1"),
        (GOOD.replace("8890@127.0.0.1", "127.0.0.1:8890"), "filter", State.FAIL, "not us"),
        (GOOD.replace("S=", "Q="), "filter", State.FAIL, "earmark at no socket"),
        (GOOD.replace("Xearmark", "Xother"), "filter", State.FAIL, "nobody asks it"),
        (GOOD.replace(" F=T,", ""), "filter flag", State.WARN, "unjudged"),
        (GOOD.replace("F=T", "F=R"), "filter flag", State.FAIL, "all mail is refused"),
        (GOOD.replace("F=T", "F=Z"), "filter flag", State.FAIL, "no flag"),
        (GOOD.replace(", T=C:5s;S:30s;R:2m;E:5m", ""), "time-out R", State.FAIL, "R:10s, and our scan_budget is 60 s"),
        (GOOD.replace("R:2m", "R:119"), "time-out R", State.FAIL, "gives up"),
        (GOOD.replace("R:2m", "R:soon"), "time-out R", State.FAIL, "no time"),
        (GOOD.replace("E:5m", "E:1m"), "time-out E", State.FAIL, "gives up"),
        (GOOD.replace("F=T, ", "F=T,\n\t"), "time-out R", State.PASS, "R:2m"),
        (GOOD.replace("R:2m", "R:1m60s"), "time-out R", State.PASS, "R:1m60s"),
    ],
)
def test_each_wrong_value_is_named(filters: str, check: str, state: State, seen: str) -> None:
    one = diagnosed(filters)[f"sendmail {check}"]
    assert one.state is state
    assert seen in one.seen


def test_without_scanners_the_budget_of_look_ups_counts() -> None:
    found = diagnosed(GOOD.replace("R:2m", "R:12s"), needs=NEEDS._replace(scan_budget=0.0))
    assert found["sendmail time-out R"].seen == "R:12s, and our budget is 6 s"
    assert found["sendmail time-out R"].state is State.PASS


def test_what_mends_it_is_spelt_as_sendmail_does() -> None:
    assert [spelt(one) for one in NEEDS.listen] == [
        "inet:8890@127.0.0.1", "inet6:8890@::1", "unix:/run/earmark/milter.sock",
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "seconds"), [("90", 90), ("2m", 120), ("1H30m", 5400), ("", None), ("-1", None)])
def test_times_are_read_as_sendmail_does(value: str, seconds: int | None) -> None:
    assert read_seconds(value) == seconds


def test_a_machine_without_sendmail_is_none_of_its_business_unless_one_is_named(tmp_path: Path) -> None:
    (one,) = diagnose_sendmail(tmp_path / "sendmail.cf", NEEDS)
    assert one.state is State.UNKNOWN
    assert not list(diagnose_sendmail(None, NEEDS)) or Path("/etc/mail/sendmail.cf").exists()


def test_a_file_is_read_whatever_bytes_it_has(tmp_path: Path) -> None:
    file = tmp_path / "sendmail.cf"
    file.write_bytes(b"#\xff\xfe\n" + ASKED.encode() + GOOD.encode())
    assert {one.state for one in diagnose_sendmail(file, NEEDS)} == {State.PASS}
