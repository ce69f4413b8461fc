"""The laws of the shadow: it changes nothing, asks nothing twice, and says what it would have said in force."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from earmark.core.evidence import ArcChain, Fact, Greylisting, Question, Signatures, Status, Taking
from earmark.core.mail import Address, Header, Transaction, parse_path
from earmark.core.policy import Policy, PolicySet
from earmark.core.record import Judged, make_record
from earmark.core.verdict import Action, Outcome, Verdict
from earmark.engine import Engine
from earmark.log import verdict_fields
from fakes.policies import SITE
from fakes.strategies import facts_for, policies, transactions
from fakes.world import Holding

NOT_FOR_A_SHADOW = (Signatures, ArcChain, Greylisting, Taking)
RECIPIENTS = [parse_path(path) for path in (b"<bob@example.org>", b"<eve@other.example>", b"<postmaster@example.org>")]


class DrawnWorld(Holding):
    """Draws each answer once, or without `data` says "none"; what was asked is kept in order.

    A shadow asks from a turn of the loop of its own, where nothing can be drawn: the loop would catch how that ends.
    """

    def __init__(self, known: dict[Question, Fact], data: st.DataObject | None = None) -> None:
        super().__init__()
        self.asked: list[Question] = []
        self._data = data
        self.known = known

    def ask(self, question: Question, deliver: Callable[[Question, Fact], None]) -> None:
        self.asked.append(question)
        if question not in self.known:
            self.known[question] = self._answer(question)
        deliver(question, self.known[question])

    def _answer(self, question: Question) -> Fact:
        if isinstance(question, NOT_FOR_A_SHADOW):
            return Fact(Status.TEMPERROR)
        return self._data.draw(facts_for(question)) if self._data else Fact(Status.NONE)


class Played(NamedTuple):
    outcomes: list[Outcome]
    verdict: Verdict | None
    judged: Judged
    world: DrawnWorld


async def play(engine: Engine, txn: Transaction, recipients: Sequence[Address], world: DrawnWorld) -> Played:
    told: asyncio.Future[Judged] = asyncio.get_running_loop().create_future()
    session = replace(engine, world=world, tell=told.set_result).session()
    session.connect(txn.envelope.client)
    if txn.envelope.helo is not None:
        session.helo(txn.envelope.helo.encode())
    session.mail(txn.envelope.sender, user="bob" if txn.envelope.exempt else "")
    outcomes: list[Outcome] = []
    for recipient in recipients:
        session.rcpt(recipient, outcomes.append)
    verdicts: list[Verdict] = []
    if any(outcome.action is Action.ACCEPT for outcome in outcomes):
        session.header([header for header in txn.message.headers if header.name != b"Received"] + [PATH])
        session.end_of_message(verdicts.append)
    session.close()
    return Played(outcomes, verdicts[0] if verdicts else None, await told, world)


PATH = Header(
    b"Received", b" from pc (unknown [192.0.2.8]) by mail.example.net with ESMTP id 1; Sun, 1 Nov 2026 10:00:00 +0100"
)


def both(
    data: st.DataObject,
    txn: Transaction,
    in_force: Sequence[Policy],
    shadow: Sequence[Policy],
    recipients: list[Address],
) -> tuple[Played, Played, Played]:
    """The transaction under the policies in force, under them with the shadow, and under the shadow's in force."""
    sets = [PolicySet(one, {"example.org": two}, SITE) for one, two in (in_force, shadow)]
    known: dict[Question, Fact] = {}
    made: dict[str, Any] = {"generation": "GEN", "tell": print, "new_id": lambda: "0123456789AB", "clock": lambda: 0.0}
    first, second = (Engine(each, DrawnWorld(known), **made) for each in sets)

    async def all_three() -> tuple[Played, Played, Played]:
        alone = await play(first, txn, recipients, DrawnWorld(known, data))
        in_its_place = await play(second, txn, recipients, DrawnWorld(known, data))
        shadowed = replace(first, shadow=sets[1], shadow_generation="NEXT")
        return alone, await play(shadowed, txn, recipients, DrawnWorld(known)), in_its_place

    return asyncio.run(all_three())


pairs = st.tuples(policies(), policies("example.org"))
paths = st.lists(st.sampled_from(RECIPIENTS), min_size=1, max_size=3, unique=True)


def own_part(judged: Judged) -> dict[str, Any]:
    """All that is kept of a transaction but what the shadow says, and how long it took."""
    record = make_record(replace(judged, shadow=None, elapsed=0.0))
    return {name: getattr(record, name) for name in record.__slots__} | verdict_fields(record)


@given(st.data(), transactions(), pairs, pairs, paths)
def test_a_shadow_changes_no_reply_no_edit_no_effect_no_log_line_and_no_record(
    data: st.DataObject,
    txn: Transaction,
    in_force: tuple[Policy, Policy],
    shadow: tuple[Policy, Policy],
    recipients: list[Address],
) -> None:
    alone, together, _ = both(data, txn, in_force, shadow, recipients)
    assert together.outcomes == alone.outcomes
    assert together.verdict == alone.verdict
    assert together.world.done == alone.world.done
    assert own_part(together.judged) == own_part(alone.judged)


@given(st.data(), transactions(), pairs, pairs, paths)
def test_a_shadow_asks_after_all_others_and_only_what_nobody_else_asked(
    data: st.DataObject,
    txn: Transaction,
    in_force: tuple[Policy, Policy],
    shadow: tuple[Policy, Policy],
    recipients: list[Address],
) -> None:
    alone, together, _ = both(data, txn, in_force, shadow, recipients)
    asked = together.world.asked
    assert asked[: len(alone.world.asked)] == alone.world.asked
    its_own = asked[len(alone.world.asked) :]
    assert len(set(its_own)) == len(its_own)
    again = set(its_own) & set(alone.world.asked)
    assert all(together.world.known[question].status is Status.TEMPERROR for question in again), (
        "unknown, so asked again"
    )
    assert not [question for question in its_own if isinstance(question, NOT_FOR_A_SHADOW)]


@given(st.data(), transactions(), pairs, pairs, paths)
def test_a_shadow_says_what_its_policies_would_have_said_in_force(
    data: st.DataObject,
    txn: Transaction,
    in_force: tuple[Policy, Policy],
    shadow: tuple[Policy, Policy],
    recipients: list[Address],
) -> None:
    _, together, in_its_place = both(data, txn, in_force, shadow, recipients)
    assert together.judged.shadow is not None
    said = [(path, policy.name, outcome) for path, policy, outcome in together.judged.shadow.recipients]
    if (together.verdict is None) == (in_its_place.verdict is None):  # else only one of the two has seen the message
        assert said == [(path, policy.name, outcome) for path, policy, outcome in in_its_place.judged.recipients]
