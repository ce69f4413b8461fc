"""A report has room for 16,000 bytes: in which order it is used, and what an ACL makes of it."""

from collections.abc import Sequence

from earmark.core.mail import Header, parse_path
from earmark.core.recipients import Recipient
from earmark.core.verdict import Action, ChangeHeader, Edit, InsertHeader, Outcome, RemoveHeader, Reply, Verdict
from earmark.fronts.exim_report import About, encode_verdict
from fakes.exim_front import Report, read_as_exim_does
from fakes.policies import policy

RESULTS = "Authentication-Results"
DEFAULT = policy("default", mark_at=700)


def report_on(
    verdict: Verdict, header: Sequence[Header] = (), recipients: Sequence[tuple[str, Outcome]] = ()
) -> Report:
    ended = [Recipient(parse_path(path.encode()), DEFAULT, outcome) for path, outcome in recipients]
    paths = {path: path.encode() for path, _ in recipients}
    return read_as_exim_does(encode_verdict(verdict, ended, About(header, paths, False, "ID0000000000")))


def edited(made: list[Edit], header: Sequence[Header]) -> Report:
    return report_on(Verdict(Action.ACCEPT, edits=tuple(made)), header)


def test_what_is_left_of_a_name_comes_back_in_its_order_below_ours() -> None:
    header = [Header(RESULTS.encode(), b" %d" % number) for number in range(4)]
    made: list[Edit] = [RemoveHeader(RESULTS, 3), RemoveHeader(RESULTS, 1), InsertHeader("X-Earmark", "v=1")]
    report = edited(made, header)
    assert report.removed == [RESULTS]
    assert report.added == [b"Authentication-Results: 3", b"Authentication-Results: 1", b"X-Earmark: v=1"]


def test_results_of_others_that_do_not_fit_are_lost_the_oldest_first_and_the_forged_one_goes() -> None:
    header = [Header(RESULTS.encode(), b" %d;" % number + b"x" * 3000) for number in range(8)]
    report = edited([RemoveHeader(RESULTS, 1)], header)
    assert report.removed == [RESULTS]
    assert [field[24:26] for field in report.added] == [b"5;", b"4;", b"3;", b"2;", b"1;"]
    assert report.value("cut") == "fields"


def test_a_subject_that_does_not_fit_is_left_as_it_is() -> None:
    header = [Header(b"Subject", b" " + b"x" * 20_000), Header(b"X-Spam-Flag", b" YES")]
    report = edited([RemoveHeader("X-Spam-Flag", 1), ChangeHeader("Subject", 1, "[SPAM] " + "x" * 20_000)], header)
    assert report.removed == ["X-Spam-Flag"]
    assert not report.added
    assert report.value("cut") == "fields"


def test_a_second_subject_comes_back_below_the_one_that_was_tagged() -> None:
    header = [Header(b"Subject", b" one"), Header(b"subject", b" two")]
    report = edited([ChangeHeader("Subject", 1, "[SPAM] one")], header)
    assert report.added == [b"Subject: two", b"Subject: [SPAM] one"]
    assert report.removed == ["Subject"]


def test_of_too_many_forged_names_those_that_programs_act_on_go_first() -> None:
    names = [f"X-Spam-{number:04d}-{'y' * 100}" for number in range(500)]
    header = [Header(name.encode(), b" x") for name in [*names, "X-Spam-Flag", "X-Spam-Status"]]
    report = edited([RemoveHeader(name, 1) for name in ["X-Spam-Status", "X-Spam-Flag", *reversed(names)]], header)
    assert set(report.removed) > {"X-Spam-Flag", "X-Spam-Status"}
    assert len(report.removed) < 502
    assert report.value("cut") == "remove"


def test_our_own_results_are_what_gives_way_to_what_marks() -> None:
    inserted: list[Edit] = [InsertHeader(RESULTS, "x" * 15_900), InsertHeader("X-Spam-Flag", "YES")]
    report = edited(inserted, [])
    assert report.added == [b"X-Spam-Flag: YES"]
    assert report.value("cut") == "fields"


def test_folds_are_tabs_and_other_control_characters_are_not_there() -> None:
    header = [Header(RESULTS.encode(), b" a;\r\n\tb\tc;\n  \n   d\0\x07\x1b"), Header(RESULTS.encode(), b" ours")]
    report = edited([RemoveHeader(RESULTS, 2)], header)
    assert report.added == [b"Authentication-Results: a;\n\tb c;\n\td???"]


def test_a_reply_is_whole_and_an_expansion_in_it_stays_text() -> None:
    reply = Reply(550, "5.7.1", "Refused: ${run{/bin/id}} $h_from: 100% " + "y" * 500)
    report = report_on(
        Verdict(Action.REJECT, reply=reply), recipients=[("b@example.org", Outcome(Action.REJECT, 0, 0))]
    )
    assert report.value("code") == "550"
    assert report.value("reply") == str(reply)
    assert not report.recipients


def test_the_score_is_the_lowest_that_the_message_shows() -> None:
    held, marked = Outcome(Action.QUARANTINE, 0, 100), Outcome(Action.MARK, 0, 812)
    report = report_on(Verdict(Action.MARK), recipients=[("a@example.org", held), ("b@example.org", marked)])
    assert (report.spam, report.score, report.threshold) == (True, 8.12, 7.0)
