"""A second set of policies judges what has ended: nobody waits, nothing is lost, and its faults stay its own."""

import asyncio
from typing import Any

from earmark.core.evidence import Fact, Status
from earmark.core.mail import Client, Header, parse_path
from earmark.core.policy import PolicySet
from earmark.core.record import Judged
from earmark.core.verdict import Action, Outcome, Verdict
from earmark.engine import Engine, Session
from fakes.policies import COP, SITE, ZEN, policy
from fakes.waiting import until
from fakes.world import BROKEN, LATER, FakeWorld

CLIENT = "192.0.2.7"
MAIN_LISTS, ITS_OWN = f"list zen.example {CLIENT}", f"list cop.example {CLIENT}"
LISTED = Fact(Status.FAIL, ("127.0.0.2",), 60, 1e12, "fake")


class Play:
    """One session under a policy that asks ZEN, with a shadow that asks COP as well and marks at its 4 points."""

    def __init__(self, facts: dict[str, Fact], budget: float = 30.0) -> None:
        self.world = FakeWorld(facts)
        self.told = list[Judged]()
        self.outcomes = list[Outcome]()
        self.verdicts = list[Verdict]()
        in_force = PolicySet(policy(zones=(ZEN,)), {}, SITE)
        shadow = PolicySet(policy("next", zones=(ZEN, COP), mark_at=400), {}, SITE)
        self.engine = Engine(
            in_force, self.world, "GEN", self.told.append, budget, shadow=shadow, shadow_generation="NEXT"
        )

    def mail(self, session: Session) -> None:
        """Play a message to its end; nothing of it waits."""
        session.mail(parse_path(b"<a@example.net>"))
        session.rcpt(parse_path(b"<bob@example.org>"), self.outcomes.append)
        session.header([Header(b"Subject", b" Hello")])
        session.end_of_message(self.verdicts.append)

    def session(self) -> Session:
        session = self.engine.session()
        session.connect(Client(CLIENT), Fact(Status.PASS, ("mail.example.net",), at=1e12))
        session.helo(b"mail.example.net")
        return session


async def test_both_verdicts_are_told_with_what_only_the_shadow_asked() -> None:
    play = Play({ITS_OWN: LISTED})
    play.mail(play.session())
    assert ITS_OWN not in play.world.asked, "the answer to the MTA is not held up by as much as a question"
    await until(lambda: bool(play.told))
    (judged,) = play.told
    assert judged.action is Action.ACCEPT
    assert judged.shadow is not None
    assert judged.shadow.generation == "NEXT"
    assert [(each.policy.name, each.outcome.action) for each in judged.shadow.recipients] == [("next", Action.MARK)]
    assert LISTED in judged.shadow.facts.values()
    assert LISTED not in judged.facts.values()


async def test_nobody_waits_and_the_record_stays_as_it_was_judged_while_the_session_goes_on() -> None:
    play = Play({ITS_OWN: LATER})
    session = play.session()
    play.mail(session)
    assert len(play.verdicts) == 1
    await until(lambda: ITS_OWN in play.world.asked)
    assert not play.told
    facts = dict(session.facts)
    session.facts.clear()
    session.helo(b"other.example.net")
    play.world.release(LISTED)
    await until(lambda: bool(play.told))
    (judged,) = play.told
    assert judged.facts == facts
    assert judged.txn.envelope.helo == "mail.example.net"
    assert judged.shadow is not None
    assert judged.shadow.recipients[0].outcome.action is Action.MARK


async def test_what_nobody_answered_in_time_is_unknown_to_the_shadow() -> None:
    play = Play({ITS_OWN: LATER}, budget=0.01)
    play.mail(play.session())
    await until(lambda: bool(play.told))
    assert play.told[0].shadow is not None
    (recipient,) = play.told[0].shadow.recipients
    assert [question[0] for question in recipient.outcome.unknown] == ["cop.example"]
    play.world.release(LISTED)
    await asyncio.sleep(0)
    assert len(play.told) == 1


async def test_a_worker_that_leaves_tells_what_still_waits() -> None:
    play = Play({ITS_OWN: LATER})
    session = play.session()
    play.mail(session)
    play.mail(session)
    play.engine.flush()
    assert [judged.shadow is not None for judged in play.told] == [True, True]
    await asyncio.sleep(0)
    play.world.release(LISTED)
    await asyncio.sleep(0)
    assert len(play.told) == 2


async def test_a_fault_of_ours_in_the_shadow_costs_its_opinion_and_nothing_else() -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    play = Play({ITS_OWN: BROKEN})
    play.mail(play.session())
    await until(lambda: bool(play.told))
    (judged,) = play.told
    assert judged.shadow is None
    assert judged.action is Action.ACCEPT
    assert len(play.verdicts) == 1
    assert "the shadow cannot judge" in [failure["message"] for failure in failures]


async def test_a_list_that_both_ask_is_asked_once() -> None:
    play = Play({MAIN_LISTS: LISTED})
    play.mail(play.session())
    await until(lambda: bool(play.told))
    assert play.world.asked.count(MAIN_LISTS) == 1
