"""A hundred recipients of fifty domains whose policies contradict each other: their order decides nothing."""

import asyncio
import itertools
import random
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.core.evidence import Fact, Question, question_text
from earmark.core.mail import Address, Client, Envelope, Header, Message, Transaction, parse_path
from earmark.core.policy import Mode, OnError, PolicySet
from earmark.core.received import read_chain
from earmark.core.record import Judged
from earmark.core.verdict import Edit, Verdict
from earmark.engine import Engine
from fakes.policies import ALL_ZONES, COP, SITE, TRUST, ZEN, policy
from fakes.strategies import known_worlds
from fakes.world import FakeWorld

ZONES = ((), (ZEN,), (COP, TRUST), ALL_ZONES)
# every seventh of all combinations, so that neighbours differ in more than their last setting
CONTRARY = list(itertools.product(ZONES, Mode, OnError, (400, 800, 1200), (100, 400), ("", "[SPAM]")))[::7][:50]
POLICIES = {
    f"d{number}.example": policy(
        f"d{number}.example", zones=zones, mode=mode, on_error=on_error, refuse_at=refuse, mark_at=mark, subject_tag=tag
    )
    for number, (zones, mode, on_error, refuse, mark, tag) in enumerate(CONTRARY)
}
RECIPIENTS = [parse_path(f"<{user}@{domain}>".encode()) for user in ("bob", "eve") for domain in POLICIES]

CLIENT, HELO, SENDER = Client("192.0.2.7"), b"mail.example.net", parse_path(b"<a@example.net>")
HEADERS = (Header(b"Received", b" from x (y [192.0.2.8]) by z.example with ESMTP id 1"), Header(b"Subject", b" Hello"))
TRANSACTION = Transaction(
    Envelope(CLIENT, SITE, helo=HELO.decode(), sender=SENDER),
    Message(HEADERS, read_chain(HEADERS, SITE, CLIENT.address)),
)


def test_the_policies_are_fifty_and_all_different() -> None:
    assert len(POLICIES) == len(set(CONTRARY)) == 50
    assert {one.mode for one in POLICIES.values()} == set(Mode)


async def judged(facts: Mapping[Question, Fact], order: Sequence[Address]) -> tuple[Judged, tuple[Edit, ...]]:
    """Play the transaction with its recipients in this order; every answer is there at once."""
    told: list[Judged] = []
    verdicts: list[Verdict] = []
    world = FakeWorld({question_text(question): fact for question, fact in facts.items()})
    engine = Engine(PolicySet(policy(), POLICIES, SITE), world, "f00d" * 16, told.append, new_id=lambda: "0123456789AB")
    session = engine.session()
    session.connect(CLIENT)
    session.helo(HELO)
    session.mail(SENDER)
    for recipient in order:
        session.rcpt(recipient, lambda _outcome: None)
    session.header(HEADERS)
    session.end_of_message(verdicts.append)
    (verdict,) = verdicts
    return told[0], verdict.edits


@settings(max_examples=30)
@given(st.data(), st.randoms(use_true_random=False))
def test_the_order_of_a_hundred_recipients_changes_no_refusal_and_no_edit(
    data: st.DataObject, chance: random.Random
) -> None:
    facts = data.draw(known_worlds(TRANSACTION, tuple(POLICIES.values())))
    first, edits = asyncio.run(judged(facts, RECIPIENTS))
    shuffled = list(RECIPIENTS)
    chance.shuffle(shuffled)
    again, edits_again = asyncio.run(judged(facts, shuffled))
    outcomes = {address.text: outcome for address, _, outcome in first.recipients}
    assert {address.text: outcome for address, _, outcome in again.recipients} == outcomes
    assert len(outcomes) == 100
    assert again.verdict.action is first.verdict.action
    assert edits_again == edits


@settings(max_examples=30)
@given(st.data())
def test_each_of_a_hundred_recipients_is_answered_as_if_it_were_alone(data: st.DataObject) -> None:
    facts = data.draw(known_worlds(TRANSACTION, tuple(POLICIES.values())))
    together, _ = asyncio.run(judged(facts, RECIPIENTS))
    position = data.draw(st.integers(0, 99))
    alone, _ = asyncio.run(judged(facts, [RECIPIENTS[position]]))
    (_, _, by_itself), (_, _, among) = alone.recipients[0], together.recipients[position]
    assert among.reply == by_itself.reply
    assert together.verdict.action <= by_itself.action
