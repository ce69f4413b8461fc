"""A stored verdict comes out the same again: driven through the real engine, with answers early, late and never."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from earmark.core.checks.client import ClientKnobs
from earmark.core.evidence import Fact, Question, Status
from earmark.core.mail import Client, Header, parse_path
from earmark.core.policy import Policy, PolicySet
from earmark.core.recipients import Means
from earmark.core.record import Judged, Record, make_record
from earmark.core.rederive import differences, obstacles, rederive
from earmark.engine import Engine, Session
from earmark.serial import decode, encode
from fakes.policies import SCANNING
from fakes.strategies import HELOS, RELEASE, SENDERS, addresses, content_knobs, facts_for, policies
from fakes.world import Holding

OUR_SITE = SCANNING._replace(networks=(ip_network("10.0.0.0/8"),), relays=(ip_network("198.51.100.9/32"),))
RECIPIENTS = [b"<u@a.example>", b"<v@a.example>", b"<u@b.example>", b"<Postmaster@a.example>", b"<abuse+x@b.example>",
              b"<u@sub.b.example>", b"<nodomain>", b"<" + 600 * b"\xff" + b"@a.example>"]  # fmt: skip
ENDS = ["eom", "eom", "eom", "abort", "mail", "disconnect"]
Deliver = Callable[[Question, Fact], None]


class DrawnWorld(Holding):
    """Answers what Hypothesis draws: at once, within the deadline, after it, or never."""

    def __init__(self, data: st.DataObject) -> None:
        super().__init__()
        self._data = data
        self._answers: dict[Question, Fact] = {}
        self._late: list[tuple[Question, Deliver]] = []

    def ask(self, question: Question, deliver: Deliver) -> None:
        fact = self._answers.get(question)
        if fact is None:
            fact = self._answers[question] = self._data.draw(facts_for(question))
        when = self._data.draw(st.sampled_from(["now", "now", "soon", "late", "never"]))
        if when == "now":
            deliver(question, fact)
        elif when == "soon":
            asyncio.get_running_loop().call_soon(deliver, question, fact)
        elif when == "late":
            self._late.append((question, deliver))

    def release(self) -> None:
        late, self._late = self._late, []
        for question, deliver in late:
            deliver(question, self._answers[question])


def domain_policies(name: str) -> st.SearchStrategy[Policy]:
    def without_client_check(policy: Policy) -> Policy:
        return replace(policy, knobs={**policy.knobs, "client": ClientKnobs()})

    of_all = policies(name, content=content_knobs())
    return st.one_of(of_all, of_all.map(without_client_check))


def headers() -> st.SearchStrategy[list[Header]]:
    line = " from h.example (h.example [{}]) by mx.example.net (Postfix) with {} id 1; Mon, 6 Jan 2025 10:00:00 +0000"
    received = st.builds(
        lambda address, word: Header(b"Received", line.format(address, word).encode()),
        addresses,
        st.sampled_from(["ESMTP", "ESMTPSA"]),
    )
    others = st.builds(Header, st.sampled_from([b"Received", b"Message-ID", b"X-Spam-Flag"]), st.binary(max_size=20))
    return st.lists(st.one_of(received, others, st.just(RELEASE)), max_size=6)


async def transaction(session: Session, world: DrawnWorld, data: st.DataObject) -> None:
    session.mail(parse_path(data.draw(st.sampled_from(SENDERS))), user=data.draw(st.sampled_from(["", "", "", "bob"])))
    for raw in data.draw(st.lists(st.sampled_from(RECIPIENTS), min_size=1, max_size=4)):
        decided = asyncio.Event()
        session.rcpt(parse_path(raw), lambda _, decided=decided: decided.set())  # type: ignore[misc]
        await asyncio.wait_for(decided.wait(), 5)
        if data.draw(st.booleans()):
            world.release()
    match data.draw(st.sampled_from(ENDS)):
        case "eom":
            decided = asyncio.Event()
            session.header(data.draw(headers()))
            session.end_of_message(lambda _: decided.set())
            await asyncio.wait_for(decided.wait(), 5)
        case "abort":
            session.abort()
        case "disconnect":
            session.close()


async def session_of(policy_set: PolicySet, data: st.DataObject) -> list[Record]:
    world, told = DrawnWorld(data), list[Record]()

    def tell(judged: Judged) -> None:
        told.append(make_record(judged))

    # the scanners get a second more than scan_budget says, so that nobody waits here for what never comes
    session = Engine(policy_set, world, "f00d" * 16, tell, budget=0.0, scan_budget=-1.0).session()
    session.means = Means(data.draw(st.booleans()), data.draw(st.booleans()), data.draw(st.booleans()))
    world.cannot_keep = data.draw(st.sampled_from(["", "no space"]))
    reverse = Fact(data.draw(st.sampled_from([Status.PASS, Status.FAIL, Status.TEMPERROR])), ("mail.example.net",))
    session.connect(Client(data.draw(addresses)), reverse if data.draw(st.booleans()) else None)
    helo = data.draw(st.sampled_from(HELOS))
    if helo is not None:
        session.helo(helo.encode())
    for _ in range(data.draw(st.integers(1, 2))):
        await transaction(session, world, data)
        world.release()
    session.close()
    return told


@given(st.data())
def test_a_stored_verdict_comes_out_the_same_again(data: st.DataObject) -> None:
    named = {"a.example": data.draw(domain_policies("a.example")), "b.example": data.draw(domain_policies("b.example"))}
    pattern = {"*.b.example": named["b.example"]}
    policy_set = PolicySet(data.draw(domain_policies("default")), {**named, **pattern}, OUR_SITE)
    records = asyncio.run(session_of(policy_set, data))
    assert records
    for record in records:
        stored = decode(encode(record), Record)
        again = rederive(stored, policy_set)
        assert list(obstacles(stored)) == []
        assert list(differences(stored, again)) == []
        assert [outcome["action"] for outcome in make_record(again).recipients] == [
            outcome["action"] for outcome in record.recipients
        ]
