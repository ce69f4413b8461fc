"""The map of the lists' health: what one process writes, all others read."""

import os

from earmark.clients.health import Health
from earmark.core.canaries import CONDITIONS, Condition, State


def test_every_condition_and_count_is_read_as_it_was_written() -> None:
    health = Health(["a.example", "b.example"])
    for condition in CONDITIONS:
        for count in (0, 1, 255):
            state = State(condition, count, 255 - count)
            health.set_state(1, state)
            assert health.state(1) == state
            assert (health.trouble[1] == 0) == (condition is Condition.ARMED)
    assert health.state(0) == State()


def test_a_breaker_and_a_condition_do_not_touch_each_other() -> None:
    health = Health(["a.example"])
    health.set_open(0, is_open=True)
    health.set_state(0, State(Condition.ARMED))
    assert health.is_open(0)
    assert health.trouble[0] != 0
    assert health.why_not(0) == "breaker open: it does not answer"
    health.set_open(0, is_open=False)
    assert health.trouble[0] == 0
    assert health.why_not(0) == ""
    health.set_state(0, State(Condition.REFUSES))
    health.set_open(0, is_open=True)
    assert health.why_not(0) == "disarmed: refuses us"


def test_what_a_child_writes_is_seen_by_its_parent() -> None:
    health = Health(["a.example"])
    child = os.fork()
    if not child:
        health.set_state(0, State(Condition.LISTS_WORLD, 7, 9))
        os._exit(0)
    os.waitpid(child, 0)
    assert health.state(0) == State(Condition.LISTS_WORLD, 7, 9)


def test_the_next_generation_takes_over_what_is_known_of_the_lists_it_has_too() -> None:
    before, after = Health(["a.example", "gone.example", "b.example"]), Health(["new.example", "b.example"])
    before.set_state(before.place("b.example"), State(Condition.TRUSTS_WORLD, 2, 6))
    before.set_open(before.place("b.example"), is_open=True)
    after.take_over(before)
    assert after.state(after.place("b.example")) == State(Condition.TRUSTS_WORLD, 2, 6)
    assert after.is_open(after.place("b.example"))
    assert after.state(after.place("new.example")) == State()


def test_it_is_settled_when_something_is_known_of_every_list() -> None:
    assert Health([]).settled
    health = Health(["a.example", "b.example"])
    assert not health.settled
    health.set_state(0, State(Condition.NO_ENTRY))
    assert not health.settled
    health.set_open(1, is_open=True)
    assert health.settled
