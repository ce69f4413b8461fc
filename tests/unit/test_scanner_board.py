"""The scanners' board: what workers tell is added up, and an outage is told once a machine."""

from typing import Any

import pytest

from earmark.log import Log
from earmark.service.scanner_board import ScannerBoard, days_since
from fakes.events import Lines

NOON = 1_800_000_000.0
"""15 January 2027, 08:00 UTC."""
DAY = 86400.0
ENDPOINT = "unix:/run/clamav/clamd.ctl"


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(lines: Lines, clock: Clock) -> ScannerBoard:
    return ScannerBoard(Log(lines), clock)


def told(scans: int = 0, unscanned: int = 0, failing_since: float | None = None) -> dict[str, Any]:
    return {
        "clamav": {
            "scans": scans, "unscanned": unscanned, "retried": 0, "failing_seconds": 99.0,
            "failing_since": failing_since, "why": "" if failing_since is None else "Connection refused",
        }
    }  # fmt: skip


def row(board: ScannerBoard) -> dict[str, Any]:
    (found,) = board.report(["clamav"])
    return found


def said(lines: Lines) -> list[str]:
    return [event["event"] for event in lines.events]


def test_a_scanner_of_which_nothing_was_told_has_a_line(board: ScannerBoard) -> None:
    assert row(board)["state"] == "not asked yet"
    assert [each["scanner"] for each in board.report({"spamassassin", "clamav"})] == ["clamav", "spamassassin"]


def test_what_workers_scanned_is_added_up_and_outlives_them(board: ScannerBoard) -> None:
    board.hear(1, told(scans=10, unscanned=1))
    board.hear(2, told(scans=5))
    board.hear(1, told(scans=12, unscanned=2))
    board.forget(1)
    board.hear(1, told(scans=1))
    assert (row(board)["scans"], row(board)["unscanned"], row(board)["state"]) == (18, 2, "answering")


def test_an_outage_that_two_workers_see_is_one_in_the_log_and_in_seconds(
    board: ScannerBoard, lines: Lines, clock: Clock
) -> None:
    board.hear(1, told(scans=3, unscanned=1))
    board.hear(1, told(scans=3, unscanned=2, failing_since=NOON - 1))
    clock.now += 4
    board.hear(2, told(unscanned=3, failing_since=NOON + 3))
    assert (row(board)["state"], row(board)["failing_seconds"]) == ("failing", 5.0)
    assert (row(board)["failing_since"], row(board)["why"]) == (NOON - 1, "Connection refused")
    clock.now += 5
    board.hear(1, told(scans=4, unscanned=2))
    assert row(board)["state"] == "failing", "it still fails for the other one"
    board.hear(2, told(unscanned=3))
    clock.now += 60
    assert (row(board)["state"], row(board)["failing_seconds"], row(board)["why"]) == ("answering", 10.0, "")
    assert said(lines) == ["scanner_down", "scanner_back"]
    down, back = lines.events
    assert (down["level"], down["scanner"], down["why"]) == ("error", "clamav", "Connection refused")
    assert (back["level"], back["seconds"], back["unscanned"]) == ("info", 10.0, 4)


def test_two_outages_add_up(board: ScannerBoard, clock: Clock) -> None:
    for _ in range(2):
        board.hear(1, told(unscanned=1, failing_since=clock.now))
        clock.now += 7
        board.hear(1, told(unscanned=1))
        clock.now += 100
    assert row(board)["failing_seconds"] == 14.0


def test_the_end_of_a_worker_is_no_answer_of_the_scanner(board: ScannerBoard, lines: Lines, clock: Clock) -> None:
    board.hear(1, told(unscanned=1, failing_since=NOON))
    board.forget(1)
    clock.now += 9
    board.hear(2, told())
    assert row(board)["state"] == "failing", "the new worker has not asked it yet"
    board.hear(2, told(scans=1))
    assert (row(board)["state"], row(board)["failing_seconds"]) == ("answering", 9.0)
    assert said(lines) == ["scanner_down", "scanner_back"]


def test_a_scanner_that_answers_some_workers_and_fails_for_others_fails(board: ScannerBoard) -> None:
    board.hear(1, told(scans=1, failing_since=NOON))
    board.hear(2, told(scans=50))
    assert row(board)["state"] == "failing"


@pytest.mark.parametrize(
    ("issued", "days"), [("2027-01-15", 0), ("2027-01-12", 3), ("2026-12-15", 31), ("2027-01-16", -1), ("", None)]
)
def test_age_is_counted_in_days(issued: str, days: int | None) -> None:
    assert days_since(issued, NOON) == days


def test_old_signatures_are_warned_of_once_a_day(board: ScannerBoard, lines: Lines, clock: Clock) -> None:
    board.hear_signatures({ENDPOINT: "2027-01-12"})
    assert not lines.events
    for _ in range(4):
        clock.now += DAY / 2
        board.hear_signatures({ENDPOINT: "2027-01-12", "inet:192.0.2.9:3310": "2027-01-17"})
    assert [(event["event"], event["level"], event["days"]) for event in lines.events] == [
        ("signatures_old", "warning", 4),
        ("signatures_old", "warning", 5),
    ]
    assert {event["endpoint"] for event in lines.events} == {ENDPOINT}
    assert row(board)["signatures"] == "2027-01-12"


def test_no_signatures_of_clamav_are_as_good_as_old_ones(board: ScannerBoard, lines: Lines) -> None:
    board.hear_signatures({ENDPOINT: ""})
    assert [(event["event"], event["days"]) for event in lines.events] == [("signatures_old", None)]
