"""The engine and the content: scans begin as early as they can, and what is to be held is on disk before the answer."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from earmark.content import Content
from earmark.core.checks.content import ContentKnobs, MixedRecipients, OnVirus, Scanned, SpamUser, WhenUnscanned
from earmark.core.evidence import (
    DmarcRecords,
    Fact,
    Points,
    Question,
    Release,
    ReverseName,
    Scanner,
    SpamScan,
    Status,
    VirusScan,
    question_from_text,
    question_text,
)
from earmark.core.held import Held
from earmark.core.mail import Client, Header, parse_path
from earmark.core.policy import Policy, PolicySet
from earmark.core.record import Judged, make_record
from earmark.core.rederive import differences, rederive
from earmark.core.verdict import Action, InsertHeader, Outcome, RemoveRecipient, Verdict
from earmark.engine import Engine, Session
from fakes.policies import SITE, policy
from fakes.world import Holding

ID = "0123456789AB"
IP = "192.0.2.7"
BOB, EVE = parse_path(b"<bob@a.example>"), parse_path(b"<eve@b.example>")
CONTENT = ContentKnobs(clamav=Scanned.ALL, spamassassin=Scanned.STRANGERS, virus=OnVirus.QUARANTINE)
VIRUS = VirusScan(ID, "25000000")
SPAM = SpamScan(ID, "", "500000", "whole")
CONFIRMING = SPAM._replace(view="without-path")
INFECTED = Fact(Status.FAIL, ("Eicar",))
DOWN = Fact(Status.TEMPERROR, ("failing", "0"), why="refused")
ALL_SCANNED = SITE._replace(scanners=frozenset({"clamav", "spamassassin"}))


class World(Holding):
    """Answers what a test has given it, and the rest with NONE; what is in `later` waits for `release`."""

    def __init__(self, facts: dict[Question, Fact], *later: Question) -> None:
        super().__init__()
        self.facts = facts
        self.later = set(later)
        self.asked: list[Question] = []
        self.waiting: list[Callable[[], None]] = []
        self.received: dict[str, bytes] = {}

    def ask(self, question: Question, deliver: Callable[[Question, Fact], None]) -> None:
        self.asked.append(question)
        if isinstance(question, SpamScan):
            self.received[question.content] = self.contents[question.content].received
        fact = self.facts.get(question, Fact(Status.NONE))
        if question in self.later:
            self.waiting.append(lambda: deliver(question, fact))
        else:
            deliver(question, fact)

    def release(self) -> None:
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()


class NeverWritten(World):
    """A disk that does not come back."""

    def keep(self, held: Held, content: Content, done: Callable[[str], None]) -> None:
        """Take it, and say nothing."""


def scored(score: str, last_external: str = IP) -> Fact:
    return Fact(Status.PASS, (score, last_external, "RULE=" + score))


NAMED = Fact(Status.PASS, ("mail.example.net",))


def session_over(
    world: World,
    told: list[Judged] | None = None,
    budget: float = 5.0,
    reverse: Fact = NAMED,
    **domains: ContentKnobs,
) -> Session:
    by_name: dict[str, Policy] = {
        name.replace("_", "."): policy(name.replace("_", "."), zones=(), content=knobs)
        for name, knobs in domains.items()
    }
    policies = PolicySet(policy(zones=(), content=CONTENT), by_name, ALL_SCANNED)
    engine = Engine(policies, world, "f00d" * 16, (told if told is not None else []).append, budget, new_id=lambda: ID)
    session = engine.session()
    session.connect(Client(IP), reverse)
    session.helo(b"mail.example.net")
    session.mail(parse_path(b"<a@example.net>"))
    return session


async def rcpt(session: Session, *recipients: object) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for recipient in recipients:
        session.rcpt(recipient, outcomes.append)  # type: ignore[arg-type]
    return outcomes


async def eom(session: Session, *headers: Header) -> Verdict:
    answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    assert session.header(headers)
    session.body(b"hello\r\n")
    session.end_of_message(answer.set_result)
    return await asyncio.wait_for(answer, 5)


async def test_the_virus_scan_begins_with_the_header_and_the_spam_scan_with_the_whole_message() -> None:
    world = World({})
    session = session_over(world)
    await rcpt(session, BOB)
    assert session.header([Header(b"Subject", b" x")])
    assert VIRUS in world.asked
    assert SPAM not in world.asked
    assert ID in world.contents
    session.end_of_message(lambda _verdict: None)
    assert SPAM in world.asked
    assert not world.contents


async def test_spamassassin_gets_our_own_received_field_on_top() -> None:
    world = World({SPAM: scored("1.00")})
    session = session_over(world)
    session.queue_id = "4XyZ"
    await rcpt(session, BOB)
    await eom(session)
    assert b"mail.example.net" in world.received[ID]
    assert b"[192.0.2.7]" in world.received[ID]
    assert b"4XyZ" in world.received[ID]


async def test_nothing_is_scanned_when_nobody_is_left_or_asks() -> None:
    world = World({})
    session = session_over(world, a_example=ContentKnobs())
    await rcpt(session, BOB)
    session.header([])
    session.end_of_message(lambda _verdict: None)
    assert not [question for question in world.asked if isinstance(question, VirusScan | SpamScan | Scanner)]


async def test_one_scan_serves_all_recipients_with_the_same_preferences() -> None:
    world = World({SPAM: scored("6.00")})
    session = session_over(
        world,
        a_example=replace(CONTENT, spam_reject_score=Points(500)),
        b_example=replace(CONTENT, spam_user=SpamUser("b")),
    )
    await rcpt(session, BOB, EVE, parse_path(b"<c@c.example>"))
    await eom(session)
    scans = [question_text(question) for question in world.asked if isinstance(question, SpamScan)]
    assert sorted(scans) == sorted(map(question_text, (SPAM, SPAM._replace(user="b"), CONFIRMING)))


async def test_a_virus_is_held_before_the_answer_and_told_to_be_dropped() -> None:
    told: list[Judged] = []
    world = World({VIRUS: INFECTED})
    session = session_over(world, told)
    await rcpt(session, BOB)
    verdict = await eom(session, Header(b"Subject", b" x"))
    assert verdict.action is Action.QUARANTINE
    assert not verdict.edits
    ((held, raw),) = world.kept
    assert (held.id, held.sender, held.client, held.subject) == (ID, "a@example.net", IP, "x")
    assert [(one.address, one.infected, one.would) for one in held.recipients] == [
        ("bob@a.example", True, "quarantine")
    ]
    assert raw == b"Subject: x\r\n\r\nhello\r\n"
    assert told[0].action is Action.QUARANTINE


async def test_who_takes_it_gets_it_and_who_does_not_has_it_held() -> None:
    world = World({VIRUS: INFECTED})
    strict, mild = replace(CONTENT, virus=OnVirus.REJECT), replace(CONTENT, virus=OnVirus.MARK)
    session = session_over(world, a_example=strict, b_example=mild)
    await rcpt(session, BOB, EVE)
    verdict = await eom(session)
    assert verdict.action is Action.MARK
    assert verdict.reply is None
    assert RemoveRecipient("bob@a.example") in verdict.edits
    assert InsertHeader("X-Spam-Flag", "YES") in verdict.edits
    ((held, _),) = world.kept
    assert [(one.address, one.would) for one in held.recipients] == [("bob@a.example", "reject")]


async def test_a_relay_of_ours_is_not_refused_and_need_not_send_anything_back() -> None:
    world = World({VIRUS: INFECTED})
    session = session_over(world, a_example=replace(CONTENT, virus=OnVirus.REJECT))
    session.envelope.relay = "own relay"
    await rcpt(session, BOB)
    assert (await eom(session)).action is Action.QUARANTINE
    assert [one.would for one in world.kept[0][0].recipients] == ["reject"]


async def test_what_is_larger_than_we_can_hold_is_marked_and_the_next_message_is_held() -> None:
    """Else it would be put off for all its recipients until the sender gives up."""
    told: list[Judged] = []
    world = World({VIRUS: INFECTED})
    session = session_over(world, told)
    await rcpt(session, BOB)
    session.header([], truncated=True)
    answers: list[Verdict] = []
    session.end_of_message(answers.append)
    assert answers[0].action is Action.MARK
    again = rederive(make_record(told[0]), PolicySet(policy(zones=(), content=CONTENT), {}, ALL_SCANNED))
    assert not list(differences(make_record(told[0]), again))
    session.mail(parse_path(b"<a@example.net>"))
    await rcpt(session, BOB)
    assert (await eom(session)).action is Action.QUARANTINE


async def test_all_who_refuse_refuse() -> None:
    world = World({VIRUS: INFECTED})
    strict = replace(CONTENT, virus=OnVirus.REJECT)
    session = session_over(world, a_example=strict, b_example=strict)
    await rcpt(session, BOB, EVE)
    verdict = await eom(session)
    assert str(verdict.reply) == f"550 5.7.1 Refused: ClamAV found Eicar (id {ID})"
    assert not world.kept


@pytest.mark.parametrize("disk", [World, NeverWritten])
async def test_what_cannot_be_held_is_put_off_and_the_record_gives_the_same_again(disk: type[World]) -> None:
    told: list[Judged] = []
    world = disk({VIRUS: INFECTED})
    world.cannot_keep = "no space"
    session = session_over(world, told, budget=0.05)
    await rcpt(session, BOB)
    verdict = await eom(session)
    assert str(verdict.reply) == f"451 4.3.0 Cannot be taken now; try again later (id {ID})"
    record = make_record(told[0])
    assert record.not_kept
    assert record.action == "defer"
    again = rederive(record, PolicySet(policy(zones=(), content=CONTENT), {}, ALL_SCANNED))
    assert not list(differences(record, again))


async def test_what_is_no_scan_has_the_ordinary_budget_and_the_scanners_have_theirs() -> None:
    records = DmarcRecords("example.net")
    told: list[Judged] = []
    world = World({SPAM: scored("7.00")}, SPAM, records)
    session = session_over(world, told, budget=0.01)
    await rcpt(session, BOB)
    asyncio.get_running_loop().call_later(0.1, world.release)
    verdict = await eom(session, Header(b"From", b" a@example.net"))
    assert verdict.action is Action.MARK
    assert told[0].facts[SPAM].status is Status.PASS
    assert told[0].facts[records].late, "it was not waited for so long"


async def test_look_ups_that_hang_do_not_cost_the_budget_of_the_scanners() -> None:
    session = session_over(World({}, DmarcRecords("example.net")), budget=0.01)
    await rcpt(session, BOB)
    assert (await eom(session, Header(b"From", b" a@example.net"))).action is Action.ACCEPT


async def test_a_client_that_leaves_while_its_message_is_written_is_told_nothing() -> None:
    world = NeverWritten({VIRUS: INFECTED})
    answers: list[Verdict] = []
    session = session_over(world, budget=0.01)
    await rcpt(session, BOB)
    session.header([])
    session.end_of_message(answers.append)
    session.close()
    await asyncio.sleep(0.05)  # longer than the budget: what would be told by then has no event when it is not
    assert not answers


async def test_what_was_not_held_since_the_client_left_is_not_recorded_as_held() -> None:
    told: list[Judged] = []
    session = session_over(NeverWritten({VIRUS: INFECTED}), told)
    await rcpt(session, BOB)
    session.header([])
    session.end_of_message(lambda _verdict: None)
    session.close()
    record = make_record(told[0])
    assert (record.ended, record.action) == ("disconnect", "accept")
    again = rederive(record, PolicySet(policy(zones=(), content=CONTENT), {}, ALL_SCANNED))
    assert not list(differences(record, again))


async def test_a_verdict_that_cannot_be_told_to_the_log_stands() -> None:
    """Else a virus that is held would be delivered as well."""

    class Full(list[Judged]):
        def append(self, _judged: Judged) -> None:
            raise OSError("disk full")

    world = World({VIRUS: INFECTED})
    session = session_over(world, Full())
    await rcpt(session, BOB)
    answers: list[Verdict] = []
    session.header([])
    with pytest.raises(OSError, match="disk full"):
        session.end_of_message(answers.append)
    assert [verdict.action for verdict in answers] == [Action.QUARANTINE]
    assert len(world.kept) == 1
    assert not session.id


async def test_the_confirming_scan_is_asked_only_when_the_score_would_refuse() -> None:
    for score, asked in (("4.99", False), ("5.00", True)):
        world = World({SPAM: scored(score), CONFIRMING: scored("4.00")})
        session = session_over(world, a_example=replace(CONTENT, spam_reject_score=Points(500)))
        await rcpt(session, BOB)
        verdict = await eom(session)
        assert (CONFIRMING in world.asked) is asked
        assert verdict.reply is None


async def test_a_score_that_stands_without_the_path_refuses_and_one_of_a_misled_scan_does_not() -> None:
    for last_external, refused in ((IP, True), ("198.51.100.9", False)):
        world = World({SPAM: scored("9.00", last_external), CONFIRMING: scored("7.00", last_external)})
        session = session_over(world, a_example=replace(CONTENT, spam_reject_score=Points(500)))
        await rcpt(session, BOB)
        assert ((await eom(session)).action is Action.REJECT) is refused


async def test_a_reverse_name_that_cannot_be_looked_up_is_held_against_nobody() -> None:
    """SpamAssassin gives points for a client without a name."""
    unknown = Fact(Status.TEMPERROR, why="SERVFAIL")
    world = World({SPAM: scored("9.00"), CONFIRMING: scored("9.00"), ReverseName(IP): unknown})
    session = session_over(world, reverse=unknown, a_example=replace(CONTENT, spam_reject_score=Points(500)))
    await rcpt(session, BOB)
    assert (await eom(session)).action is Action.MARK
    assert b"(mail.example.net [192.0.2.7])" in world.received[ID]


async def test_no_answer_from_the_confirming_scan_marks() -> None:
    world = World({SPAM: scored("9.00"), CONFIRMING: DOWN})
    session = session_over(world, a_example=replace(CONTENT, spam_reject_score=Points(500)))
    await rcpt(session, BOB)
    assert (await eom(session)).action is Action.MARK


async def test_a_scanner_that_is_known_to_be_down_defers_at_rcpt_whom_it_concerns() -> None:
    waiting = replace(CONTENT, virus_unscanned=WhenUnscanned.DEFER, virus_defer_for=86_400)
    now = Fact(Status.FAIL, ("99999999999",))
    world = World({Scanner("clamav"): now})
    session = session_over(world, a_example=waiting)
    first, second = await rcpt(session, BOB, EVE)
    assert str(first.reply).startswith("451 4.7.1 The content scanner does not answer")
    assert second.action is Action.ACCEPT


async def test_who_wants_a_message_of_its_own_is_told_so_and_nobody_else_is() -> None:
    alone = replace(CONTENT, mixed_recipients=MixedRecipients.SEPARATE)
    session = session_over(World({}), a_example=alone)
    first, second = await rcpt(session, EVE, BOB)
    assert first.action is Action.ACCEPT
    assert str(second.reply).startswith("452 4.5.3 ")
    session = session_over(World({}), a_example=alone)
    assert [one.action for one in await rcpt(session, BOB, BOB, EVE)] == [Action.ACCEPT] * 3


def test_the_new_questions_are_read_as_they_are_written() -> None:
    for question in (VIRUS, SPAM, SPAM._replace(user="b"), Scanner("clamav"), Release(ID, "00ff")):
        assert question_from_text(question_text(question)) == question
