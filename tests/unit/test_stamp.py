import re

from earmark.core.evidence import Finding, Listing, Origin, Points
from earmark.core.mail import Client, Envelope, Header, Message, Transaction
from earmark.core.stamp import Trace, edits
from earmark.core.verdict import Action, Edit, InsertHeader, Outcome, RemoveHeader, Verdict
from fakes.policies import SITE, policy

TRACE = Trace("0123456789AB", "f00dfeedbeef0123")


def made(*outcomes: Outcome, headers: tuple[bytes, ...] = (), exempt: str = "", mark_at: int = 500) -> tuple[Edit, ...]:
    message = Message([Header(name, b" x") for name in headers])
    txn = Transaction(Envelope(Client("192.0.2.7"), SITE, exempt=exempt), message)
    verdict = Verdict(min(outcome.action for outcome in outcomes), outcomes)
    return edits(txn, {}, verdict, [policy(mark_at=mark_at)] * len(outcomes), TRACE)


def fields(*outcomes: Outcome) -> dict[str, str]:
    return {edit.name: edit.value for edit in made(*outcomes) if isinstance(edit, InsertHeader)}


def finding(name: str, score: int) -> Finding:
    return Finding(name, Origin.HEADER, Points(score), "", "")


def test_marked_mail_says_so_in_spamassassins_form() -> None:
    marked = Outcome(Action.MARK, 0, 610, (finding("RECEIVED_ZEN_XBL", 500), finding("NO_PTR", 110)), (), Action.MARK)
    assert fields(marked) == {
        "X-Spam-Flag": "YES",
        "X-Spam-Score": "6.10",
        "X-Spam-Level": "******",
        "X-Spam-Status": "Yes, score=6.10 required=5.00 tests=RECEIVED_ZEN_XBL,NO_PTR",
        "X-Earmark": "v=1; id=0123456789AB; gen=f00dfeedbeef",
    }


def test_clean_mail_carries_its_score_and_no_flag() -> None:
    assert fields(Outcome(Action.ACCEPT, 0, 0)) == {
        "X-Spam-Score": "0.00",
        "X-Spam-Level": "",
        "X-Spam-Status": "No, score=0.00 required=5.00 tests=none",
        "X-Earmark": "v=1; id=0123456789AB; gen=f00dfeedbeef",
    }


def test_one_recipient_who_does_not_mark_keeps_the_flag_away_and_the_lowest_score_shows() -> None:
    shown = fields(Outcome(Action.MARK, 0, 700, (), (), Action.MARK), Outcome(Action.ACCEPT, 0, 200))
    assert "X-Spam-Flag" not in shown
    assert shown["X-Spam-Score"] == "2.00"
    assert shown["X-Spam-Status"].startswith("No, score=2.00")


def test_of_two_outcomes_alike_the_same_one_shows_whichever_recipient_came_first() -> None:
    strict = Outcome(Action.ACCEPT, 0, 100, (finding("NO_PTR", 100),))
    mild = Outcome(Action.ACCEPT, 0, 100, (finding("HELO_LOCAL", 100),))
    assert made(strict, mild) == made(mild, strict)


def test_what_could_not_be_checked_and_what_was_held_back_is_said() -> None:
    unknown = (Listing("zen.example", "192.0.2.7"), Listing("cop.example", "192.0.2.7"))
    shown = fields(Outcome(Action.ACCEPT, 900, 900, (), unknown, Action.REJECT))
    assert shown["X-Earmark"].replace("\n\t", "").endswith("; would=reject; unchecked=cop.example,zen.example")


def test_forged_fields_of_ours_are_removed_from_the_last_to_the_first() -> None:
    headers = (b"X-Spam-Flag", b"Subject", b"x-SPAM-flag ", b"X-Earmark", b"X-Spam-Flag", b"X-Spammy")
    removed = [edit for edit in made(Outcome(Action.ACCEPT, 0, 0), headers=headers) if isinstance(edit, RemoveHeader)]
    assert [(edit.name.lower(), edit.nth) for edit in removed] == [
        ("x-spam-flag", 3),
        ("x-earmark", 1),
        ("x-spam-flag", 2),
        ("x-spam-flag", 1),
    ]


def test_an_exempt_sessions_own_header_stays() -> None:
    edited = made(Outcome(Action.ACCEPT, 0, 0), headers=(b"X-Spam-Flag",), exempt="authenticated as bob")
    assert not any(isinstance(edit, RemoveHeader) for edit in edited)


def test_a_field_with_many_names_is_folded_and_bounded() -> None:
    findings = tuple(finding(f"RULE_NUMBER_{number:04}", 1) for number in range(500))
    value = fields(Outcome(Action.MARK, 0, 500, findings, (), Action.MARK))["X-Spam-Status"]
    assert len(value) < 1400
    assert all(len(line) <= 78 for line in value.split("\n"))
    assert value.endswith("...")


def test_whatever_rules_and_lists_are_called_our_fields_stay_short_ascii_lines() -> None:
    odd = ("a\r\nX-Evil: 1", "100%s%n", "gr\u00fc\u00df\u202e", "\0\x1b[2J", "y" * 5000, "", ",;=", " lead")
    findings = tuple(finding(name * times, 1) for times in (1, 40) for name in odd)
    unknown = tuple(Listing(name, "192.0.2.7") for name in odd * 20)
    inserted = made(Outcome(Action.MARK, 0, 700, findings, unknown, Action.REJECT))
    assert sum(len(edit.name) + len(edit.value) + 4 for edit in inserted if isinstance(edit, InsertHeader)) < 4096
    for edit in inserted:
        assert isinstance(edit, InsertHeader)
        assert re.fullmatch(r"[ -~]*(\n\t[ -~]+)*", edit.value)
        assert all(len(line) <= 998 for line in edit.value.split("\n"))


def test_a_level_never_grows_without_bound() -> None:
    assert fields(Outcome(Action.MARK, 0, 1_000_000, (), (), Action.MARK))["X-Spam-Level"] == "*" * 50
    assert fields(Outcome(Action.ACCEPT, 0, -500))["X-Spam-Level"] == ""
