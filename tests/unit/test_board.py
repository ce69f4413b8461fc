"""The health board: what children tell is added up, and budgets are watched."""

from typing import Any

import pytest

from earmark.clients.health import Health
from earmark.core.canaries import Condition, State
from earmark.log import Log
from earmark.service.board import Board, portions
from fakes.events import Lines


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def board(lines: Lines) -> Board:
    return Board(Log(lines))


def armed() -> Health:
    health = Health(["bl.test"])
    health.set_state(0, State(Condition.ARMED))
    return health


def told(canaries: int = 0, budget: int = 0, why: str = "") -> dict[str, Any]:
    return {"bl.test": {"kind": "block", "why": why, "canaries": canaries, "budget": budget, "milliseconds": 7}}


def row(board: Board, health: Health | None = None) -> dict[str, Any]:
    (found,) = board.report(health or armed())
    return found


def test_what_workers_and_watcher_asked_is_added_up_and_outlives_them(board: Board) -> None:
    board.hear_lines(1, told(canaries=3))
    board.hear_counts(2, {"bl.test": [10, 1, 2]})
    board.hear_counts(3, {"bl.test": [5, 0, 0]})
    board.hear_counts(2, {"bl.test": [12, 1, 2]})
    board.hear_lines(1, told(canaries=4))
    for pid in (1, 2, 3):
        board.forget(pid)
    board.hear_counts(2, {"bl.test": [1, 1, 0]})
    board.hear_lines(1, told(canaries=1))
    found = row(board)
    assert [found[key] for key in ("queries", "hits", "misses", "errors", "canaries", "today")] == [18, 2, 14, 2, 5, 23]


def test_a_condition_has_lasted_since_it_began_whichever_watcher_tells_it(board: Board) -> None:
    def line(condition: str, since: float, *, silent: bool = False) -> dict[str, Any]:
        return {"bl.test": {**told()["bl.test"], "condition": condition, "silent": silent, "since": since}}

    seen = []
    for pid, lines in (
        (1, line("no test entry", 10.0)),
        (2, line("no test entry", 20.0)),
        (2, line("no test entry", 21.0, silent=True)),
        (3, line("armed", 30.0)),
    ):
        board.hear_lines(pid, lines)
        seen.append(row(board)["since"])
    assert seen == [10.0, 10.0, 21.0, 30.0]


def test_a_budget_is_warned_of_once_at_four_fifths_and_once_when_it_is_spent(board: Board, lines: Lines) -> None:
    board.hear_lines(1, told(budget=100))
    for queries in range(0, 130, 3):
        board.hear_counts(2, {"bl.test": [queries, 0, 0]})
    assert [(event["event"], event["level"], event["queries"]) for event in lines.events] == [
        ("list_budget", "warning", 81),
        ("list_budget", "error", 102),
    ]
    assert row(board)["problem"] == "budget spent: 129 queries today of 100"


def test_a_new_day_begins_at_midnight_utc(lines: Lines) -> None:
    now = [86400.0 * 20000 - 1]
    board = Board(Log(lines), lambda: now[0])
    board.hear_lines(1, told(budget=100))
    board.hear_counts(2, {"bl.test": [150, 0, 0]})
    now[0] += 1
    board.hear_counts(2, {"bl.test": [235, 0, 0]})
    assert [(event["level"], event["queries"]) for event in lines.events] == [("error", 150), ("warning", 85)]
    assert row(board)["today"] == 85
    assert row(board)["queries"] == 235


def test_a_list_without_a_budget_may_be_asked_without_end(board: Board, lines: Lines) -> None:
    board.hear_lines(1, told())
    board.hear_counts(2, {"bl.test": [10**9, 0, 0]})
    assert not lines.events
    assert row(board)["problem"] == ""


def test_a_list_of_which_nothing_was_told_yet_has_a_line(board: Board) -> None:
    found = row(board, Health(["bl.test"]))
    assert (found["zone"], found["condition"], found["problem"]) == ("bl.test", "not yet checked", "not yet checked")


def test_what_is_wrong_is_said_in_one_line(board: Board) -> None:
    health = armed()
    board.hear_lines(1, told(why="timeout"))
    assert row(board, health)["problem"] == ""
    health.set_open(0, is_open=True)
    assert row(board, health)["problem"] == "silent: timeout"
    health.set_state(0, State(Condition.LISTS_WORLD, 1, 3))
    board.hear_lines(1, told(why="127.0.0.2 for all"))
    assert row(board, health)["problem"] == "lists the world: 127.0.0.2 for all"


def test_a_long_story_is_told_in_portions_and_nothing_is_left_out() -> None:
    story = {f"list{number}.test": number for number in range(120)}
    parts = list(portions(story))
    assert [len(part) for part in parts] == [50, 50, 20]
    assert {name: number for part in parts for name, number in part.items()} == story
    assert list(portions({})) == [{}]
