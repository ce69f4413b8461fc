"""The loop's half of a libmilter connection: what is asked of a session that is closed already is put off."""

from earmark.core.mail import Client
from earmark.core.policy import PolicySet
from earmark.engine import Engine
from earmark.fronts.libmilter_session import LibmilterSession, Waiter
from earmark.fronts.milter_dialogue import Shared
from earmark.fronts.milter_terms import terms_for
from earmark.wire.milter_mta import ALL_ACTIONS, ALL_STEPS
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.world import LATER, FakeWorld

TERMS = terms_for(int(ALL_ACTIONS), int(ALL_STEPS), reads_body=False)
CONNECT = (LibmilterSession.connect, (Client("192.0.2.7"), None, "mx.example.org"))
MAIL = (LibmilterSession.mail, (b"<a@example.net>", "", b""))
RCPT = (LibmilterSession.rcpt, (b"<b@example.org>",))
MESSAGE_ENDED = (LibmilterSession.message_ended, (b"",))


def session_over(world: FakeWorld, events: EventList) -> LibmilterSession:
    policies = PolicySet(lists_only(), {}, OWN_SITE)
    engine = Engine(policies, world, GENERATION, lambda _judged: None, budget=60)
    return LibmilterSession(Shared(engine, events), TERMS)


async def test_a_message_that_ends_after_the_close_is_not_accepted() -> None:
    """A thread may have told it before the worker closed, and the loop take it after."""
    events, first, second = EventList(), Waiter(), Waiter()
    session = session_over(FakeWorld(), events)
    session.take([CONNECT, MAIL, RCPT], first)
    answer = first.wait(1)
    assert answer is not None
    assert not answer.put_off
    session.close()
    session.take([MESSAGE_ENDED], second)
    answer = second.wait(1)
    assert answer is not None
    assert answer.put_off
    assert not events.lines


async def test_a_recipient_who_waits_when_it_is_closed_is_put_off() -> None:
    waiter = Waiter()
    session = session_over(FakeWorld({"list zen.example 192.0.2.7": LATER}), EventList())
    session.take([CONNECT, MAIL, RCPT], waiter)
    assert waiter.wait(0) is None
    session.close()
    answer = waiter.wait(1)
    assert answer is not None
    assert answer.put_off
