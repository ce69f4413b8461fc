"""One message at the content door, without a socket: what is kept back, and what a fault leaves."""

from earmark.core.checks.content import ContentKnobs, Scanned
from earmark.core.policy import PolicySet
from earmark.engine import Engine
from earmark.fronts.exim_session import EximSession
from fakes.exim_front import asked, read_as_exim_does
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.world import BROKEN, LATER, FakeWorld

SAID = asked(body=b"one\r\ntwo\r\n")
SCANNING = PolicySet(lists_only(content=ContentKnobs(clamav=Scanned.ALL)), {}, OWN_SITE)


class Played:
    """A session and what it told."""

    def __init__(self, world: FakeWorld) -> None:
        self.resumed = 0
        self.events = EventList()
        engine = Engine(SCANNING, world, GENERATION, lambda _judged: None, new_id=lambda: "ID")
        self.session = EximSession(engine, self.events, self._resume)

    def _resume(self) -> None:
        self.resumed += 1


async def test_what_comes_while_the_recipients_are_decided_on_is_told_after_them() -> None:
    world = FakeWorld({"list cop.example 192.0.2.7": LATER, "virus ID 25000000": LATER})
    played = Played(world)
    played.session.take(SAID[:-6])
    assert played.session.held_back
    played.session.take(SAID[-6:-2])
    played.session.take(SAID[-2:])
    assert not world.contents
    world.release()
    assert not played.session.held_back
    assert b"".join(world.contents["ID"].chunks()).endswith(b"\r\n\r\none\r\ntwo\r\n")
    world.release()
    assert read_as_exim_does(played.session.answer).action == "accept"
    assert played.session.ended


async def test_after_a_fault_of_ours_nothing_is_held_and_nothing_is_answered() -> None:
    world = FakeWorld({"list cop.example 192.0.2.9": LATER})
    played = Played(world)
    played.session.take(asked(((b"Received", b" from x ([192.0.2.9]) by mx.example.net; now"),)))
    assert world.contents
    world.release(BROKEN)
    assert played.session.ended
    assert played.session.answer == b""
    assert not world.contents
    assert played.resumed
    assert all(line.startswith("error level=error front=exim") for line in played.events.lines)
    assert played.events.lines


async def test_a_session_that_was_closed_answers_nothing_any_more() -> None:
    world = FakeWorld({"virus ID 25000000": LATER})
    played = Played(world)
    played.session.take(SAID)
    played.session.close()
    world.release()
    assert played.session.answer == b""
    assert not world.contents
    assert not played.events.lines
