"""The engine: look-ups start early, waiting happens once, late answers never refuse."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

import pytest

from earmark.core.evidence import Fact, Listing, Question, ReverseName, Status
from earmark.core.mail import Client, Header, parse_path
from earmark.core.policy import Mode, Policy, PolicySet
from earmark.core.record import Judged
from earmark.core.verdict import Action, InsertHeader, Outcome, Verdict
from earmark.engine import Engine, Session, new_verdict_id
from fakes.policies import COP, SITE, ZEN, policy
from fakes.world import Holding

IP = "192.0.2.7"
LISTED = Fact(Status.FAIL, ("127.0.0.4",), 60)
CLEAN = Fact(Status.NONE, (), 60)
ZEN_OF_IP = Listing("zen.example", IP)
BOB = parse_path(b"<bob@a.example>")
EVE = parse_path(b"<eve@b.example>")


class Held(Holding):
    """A world whose answers are held back until the test lets them go."""

    def __init__(self, held: set[Question] | None = None, facts: dict[Question, Fact] | None = None) -> None:
        super().__init__()
        self.held = held or set()
        self.facts = facts or {}
        self.asked: list[Question] = []
        self.waiting: list[tuple[Question, Callable[[Question, Fact], None]]] = []

    def ask(self, question: Question, deliver: Callable[[Question, Fact], None]) -> None:
        self.asked.append(question)
        if question in self.held:
            self.waiting.append((question, deliver))
        else:
            deliver(question, self.facts.get(question, CLEAN))

    def release(self, fact: Fact) -> None:
        waiting, self.waiting = self.waiting, []
        for question, deliver in waiting:
            deliver(question, fact)


def engine(world: Held, told: list[Judged], *, budget: float = 5.0, **domains: Policy) -> Engine:
    by_name = {name.replace("_", "."): one for name, one in domains.items()}
    policies = PolicySet(policy(zones=(ZEN, COP)), by_name, SITE)
    return Engine(policies, world, "f00d" * 16, told.append, budget)


def connected(used: Engine, address: str = IP) -> Session:
    session = used.session()
    session.connect(Client(address), Fact(Status.PASS, ("mail.example.net",)))
    session.helo(b"mail.example.net")
    session.mail(parse_path(b"<a@example.net>"))
    return session


async def rcpt(session: Session, recipient: object = BOB) -> Outcome:
    answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    session.rcpt(recipient, answer.set_result)  # type: ignore[arg-type]
    return await asyncio.wait_for(answer, 5)


async def eom(session: Session, *headers: Header) -> Verdict:
    answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    session.header(headers)
    session.end_of_message(answer.set_result)
    return await asyncio.wait_for(answer, 5)


async def test_look_ups_start_at_connect_helo_and_mail_without_waiting() -> None:
    world = Held({ZEN_OF_IP})
    session = engine(world, []).session()
    session.connect(Client(IP))
    assert {question.kind for question in world.asked} == {"list", "iprev"}
    connected = len(world.asked)
    session.helo(b"mail.example.net")
    greeted = len(world.asked)
    assert {question.kind for question in world.asked[connected:]} == {"host"}
    session.mail(parse_path(b"<a@example.net>"))
    of_sender = {question.kind for question in world.asked[greeted:]} - {"iprev"}  # an old answer is asked for again
    assert of_sender == {"mx", "spf", "domain-list"}


async def test_what_the_mta_already_knows_is_not_asked() -> None:
    world = Held()
    connected(engine(world, []))
    assert ReverseName(IP) not in world.asked


async def test_a_listed_client_is_refused_at_rcpt_with_the_reason() -> None:
    told: list[Judged] = []
    session = connected(engine(Held(facts={ZEN_OF_IP: LISTED}), told))
    outcome = await rcpt(session)
    assert outcome.action is Action.REJECT
    assert str(outcome.reply).startswith("550 5.7.1 Refused: 192.0.2.7 is listed by zen.example")
    assert f"(id {session.id})" in str(outcome.reply)
    session.close()
    assert [(judged.ended, judged.action) for judged in told] == [("disconnect", Action.REJECT)]


async def test_rcpt_waits_for_an_answer_under_way() -> None:
    world = Held({ZEN_OF_IP})
    session = connected(engine(world, []))
    waiting = asyncio.create_task(rcpt(session))
    await asyncio.sleep(0)
    assert not waiting.done()
    world.release(LISTED)
    assert (await waiting).action is Action.REJECT


async def test_a_question_is_asked_once_however_many_wait() -> None:
    world = Held({ZEN_OF_IP})
    session = connected(engine(world, []))
    waiting = asyncio.create_task(rcpt(session))
    await asyncio.sleep(0)
    world.release(CLEAN)
    await waiting
    await rcpt(session, EVE)
    assert world.asked.count(ZEN_OF_IP) == 1


async def test_an_answer_that_misses_the_deadline_is_unknown_and_said_so() -> None:
    session = connected(engine(Held({ZEN_OF_IP}), [], budget=0.01))
    outcome = await rcpt(session)
    assert outcome.action is Action.ACCEPT
    assert outcome.unknown == (ZEN_OF_IP,)
    verdict = await eom(session)
    trace = next(edit for edit in verdict.edits if isinstance(edit, InsertHeader) and edit.name == "X-Earmark")
    assert "unchecked=zen.example" in trace.value.replace("\n\t", "")


async def test_a_late_answer_marks_and_never_refuses_whoever_comes_next() -> None:
    world = Held({ZEN_OF_IP})
    told: list[Judged] = []
    session = connected(engine(world, told, budget=0.01, b_example=policy("b", zones=(ZEN,))))
    assert (await rcpt(session)).action is Action.ACCEPT
    world.release(LISTED)
    assert (await rcpt(session, EVE)).action is Action.ACCEPT
    verdict = await eom(session)
    assert verdict.action is Action.MARK
    assert all(outcome.refuse_score < 800 <= outcome.mark_score for outcome in verdict.outcomes)
    assert told[0].facts[ZEN_OF_IP].late


async def test_an_unknown_is_asked_again_for_the_next_transaction() -> None:
    world = Held({ZEN_OF_IP})
    session = connected(engine(world, [], budget=0.01))
    await rcpt(session)
    session.abort()
    world.held.clear()
    world.release(Fact(Status.TEMPERROR, why="SERVFAIL"))
    world.facts[ZEN_OF_IP] = LISTED
    session.mail(parse_path(b"<a@example.net>"))
    assert (await rcpt(session)).action is Action.REJECT
    assert world.asked.count(ZEN_OF_IP) == 2


async def test_a_list_that_is_disarmed_between_two_messages_of_a_connection_counts_nothing_for_the_second() -> None:
    world = Held(facts={ZEN_OF_IP: LISTED._replace(at=time.time())})
    session = connected(engine(world, []))
    assert (await rcpt(session)).action is Action.REJECT
    assert world.asked.count(ZEN_OF_IP) == 1
    session.abort()
    world.facts[ZEN_OF_IP] = Fact(Status.TEMPERROR, why="lists the world")
    session.mail(parse_path(b"<a@example.net>"))
    outcome = await rcpt(session)
    assert outcome.action is Action.ACCEPT
    assert outcome.unknown == (ZEN_OF_IP,)


async def test_a_second_transaction_has_nothing_of_the_first() -> None:
    told: list[Judged] = []
    session = connected(engine(Held(), told))
    await rcpt(session)
    await eom(session, Header(b"X-Spam-Flag", b" YES"))
    first = session.facts
    session.mail(parse_path(b"<>"))
    assert not any(question.kind == "mx" for question in session.facts)
    assert session.facts is not first
    await rcpt(session, EVE)
    verdict = await eom(session)
    assert not any(edit.kind == "remove" for edit in verdict.edits)
    assert told[0].id != told[1].id
    assert [str(address.text) for address, _, _ in told[1].recipients] == ["eve@b.example"]


async def test_an_authenticated_session_is_exempt_and_the_next_one_is_not() -> None:
    world = Held(facts={ZEN_OF_IP: LISTED})
    session = engine(world, []).session()
    session.connect(Client(IP))
    session.mail(parse_path(b"<a@example.net>"), user="bob")
    assert (await rcpt(session)).action is Action.ACCEPT
    assert session.envelope.exempt == "authenticated as bob"
    session.mail(parse_path(b"<a@example.net>"))
    assert (await rcpt(session)).action is Action.REJECT


async def test_an_own_network_and_a_local_client_are_exempt_and_ask_nothing() -> None:

    for address in ("198.51.100.77", ""):
        world = Held()
        used = engine(world, [])
        used = replace(used, policies=PolicySet(policy(), {}, SITE._replace(networks=(ip_network("198.51.100.0/24"),))))
        session = used.session()
        session.connect(Client(address))
        session.mail(parse_path(b"<a@example.net>"))
        assert (await rcpt(session)).action is Action.ACCEPT
        assert session.envelope.exempt
        assert world.asked == []


async def test_a_relay_of_ours_is_not_refused_for_what_it_passes_on() -> None:

    world = Held(facts={ZEN_OF_IP: LISTED})
    used = engine(world, [])
    used = replace(used, policies=PolicySet(policy(), {}, SITE._replace(relays=(ip_network("192.0.2.0/24"),))))
    session = connected(used)
    assert (await rcpt(session)).action is Action.ACCEPT
    assert world.asked == []


async def test_each_recipient_is_decided_by_its_own_policy() -> None:
    milder = policy("b", zones=(ZEN,), mode=Mode.MARK)
    told: list[Judged] = []
    session = connected(engine(Held(facts={ZEN_OF_IP: LISTED}), told, b_example=milder))
    assert (await rcpt(session)).action is Action.REJECT
    assert (await rcpt(session, EVE)).action is Action.ACCEPT
    verdict = await eom(session)
    assert verdict.action is Action.MARK
    actions = {address.text: outcome.action for address, _, outcome in told[0].recipients}
    assert actions == {"bob@a.example": Action.REJECT, "eve@b.example": Action.MARK}
    assert told[0].action is Action.REJECT


async def test_a_transaction_without_a_recipient_is_not_told() -> None:
    told: list[Judged] = []
    session = connected(engine(Held(), told))
    session.abort()
    session.close()
    assert told == []


async def test_closing_while_an_answer_is_awaited_calls_nobody() -> None:
    world = Held({ZEN_OF_IP})
    session = connected(engine(world, []))
    called: list[Outcome] = []
    session.rcpt(BOB, called.append)
    session.close()
    world.release(LISTED)
    assert called == []


def test_verdict_ids_are_twelve_unmistakable_digits() -> None:
    ids = {new_verdict_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 12 and not set(one) & set("ILOU") for one in ids)


def test_a_verdict_that_cannot_be_told_is_no_fault_of_the_next_transaction() -> None:
    def tell(judged: Judged) -> None:
        told.append(judged.id)
        if len(told) == 1:
            raise OSError("no room")

    told: list[str] = []
    used = Engine(PolicySet(policy(zones=(ZEN,)), {}, SITE), Held(), "f00d" * 16, tell, 5.0)
    session = connected(used)
    first = session.id
    session.rcpt(BOB, lambda _: None)
    with pytest.raises(OSError, match="no room"):
        session.abort()
    session.mail(parse_path(b"<a@example.net>"))
    session.rcpt(BOB, lambda _: None)
    session.close()
    assert told[0] == first
    assert len(set(told)) == len(told) == 2
