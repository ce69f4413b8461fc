"""What `earmark explain` says of scans: which points came from where, what was not scanned, where it is held."""

from dataclasses import replace
from typing import Any

import pytest

from earmark.cli.explanation import explanation
from earmark.cli.render import edit_text, lines
from earmark.cli.scans import spam_scans
from earmark.core.record import make_record
from earmark.core.verdict import Action, Hold
from fakes.records import MARKED, judged, record

RULES = ["BODY_SPAM=9.000", "RCVD_IN_XBL=3.400", "SPF_PASS=-0.001"]
WHOLE = "spam 0123456789AB  500000 whole"
PATHLESS = "spam 0123456789AB  500000 without-path"


def fact(status: str, *data: str, why: str = "") -> dict[str, Any]:
    return {"status": status, "data": list(data), "age": 0.0, "ttl": 0, "source": "inet:[::1]:783", "why": why}


def told(**changes: Any) -> list[str]:
    return [line.text for line in lines({**explanation(record(), []), **changes})]


def test_each_rule_of_a_scan_is_told_with_its_points() -> None:
    assert list(spam_scans({WHOLE: fact("pass", "12.40", "192.0.2.7", *RULES)})) == [
        "SpamAssassin: 12.40; it took 192.0.2.7 for the host that came to us",
        "  +9.000 BODY_SPAM",
        "  +3.400 RCVD_IN_XBL",
        "  -0.001 SPF_PASS",
    ]


def test_of_the_confirming_scan_what_differs_is_told() -> None:
    facts = {
        WHOLE: fact("pass", "12.40", "192.0.2.7", *RULES),
        PATHLESS: fact("pass", "8.80", "192.0.2.7", "BODY_SPAM=9.000", "SPF_PASS=-0.201", "NO_RELAYS=0.001"),
    }
    assert list(spam_scans(facts))[4:] == [
        "SpamAssassin without the path that it claims: 8.80; it took 192.0.2.7",
        "  nothing instead of +3.400: RCVD_IN_XBL",
        "  -0.201 instead of -0.001: SPF_PASS",
        "  +0.001 instead of nothing: NO_RELAYS",
    ]
    facts[PATHLESS] = facts[WHOLE]
    assert list(spam_scans(facts))[5:] == ["  the same rules"]


def test_scans_of_other_preferences_and_confirming_ones_that_stand_alone_say_so() -> None:
    other = fact("pass", "0.00", "-")
    assert list(spam_scans({WHOLE.replace("  ", " example.org "): other})) == [
        "SpamAssassin, as example.org prefers: 0.00; it took nobody for the host that came to us"
    ]
    assert list(spam_scans({PATHLESS: other})) == [
        "SpamAssassin without the path that it claims: 0.00; it took nobody for the host that came to us"
    ]


def test_scans_are_told_once_and_viruses_among_the_other_answers() -> None:
    out = told(facts={WHOLE: fact("pass", "12.40", "192.0.2.7", *RULES), "virus ID 25000000": fact("fail", "Eicar")})
    assert sum("BODY_SPAM" in line for line in out) == 1
    assert "  virus ID 25000000: fail Eicar, 0 s old, from inet:[::1]:783" in out


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (("limit",), "temperror beyond a limit (no answer)"),
        (("failing", "1700000000"), "temperror failing since 2023-11-14T22:13:20+00:00 (no answer)"),
        ((), "temperror (no answer)"),
    ],
    ids=["limit", "failing", "nothing"],
)
def test_what_was_not_scanned_is_told_with_the_reason(data: tuple[str, ...], said: str) -> None:
    out = told(unknown=[WHOLE], facts={WHOLE: fact("temperror", *data, why="no answer")})
    assert f"  {WHOLE}: {said}, 0 s old, from inet:[::1]:783" in out


def test_where_a_message_is_held_is_told() -> None:
    held = MARKED._replace(action=Action.QUARANTINE, would=Action.QUARANTINE)
    past = {"exact": True, "obstacles": [], "differences": []}
    stored = make_record(judged(outcomes=(held,)))
    ours = explanation(stored, [], past)
    assert "  held in the quarantine: earmark quarantine show 0123456789AB" in [line.text for line in lines(ours)]
    by_mta = explanation(replace(stored, edits=(Hold("held by policy"),)), [], past)
    assert "  held by the MTA, in its queue" in [line.text for line in lines(by_mta)]
    assert "  hold: held by policy" in [line.text for line in lines(by_mta)]
    supposed = explanation(stored, [])
    assert not any("held in" in line.text for line in lines(supposed))


def test_what_is_done_with_single_recipients_is_told() -> None:
    assert edit_text(["add-recipient", "bob+junk@example.org"]) == "add recipient bob+junk@example.org"
    assert edit_text(["remove-recipient", "bob@example.org"]) == "remove recipient bob@example.org"
