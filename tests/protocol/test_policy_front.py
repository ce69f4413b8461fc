"""What takes more than a dialogue: many connections, many requests, half-sent ones, faults of our own."""

import asyncio
from dataclasses import replace

import pytest

from earmark.core.checks.content import ContentKnobs, MixedRecipients, OnVirus
from earmark.core.checks.greylist import GreylistKnobs
from earmark.core.checks.rates import Limit, RatesKnobs
from earmark.core.evidence import Fact, Points, Status
from earmark.core.policy import PolicySet
from earmark.core.record import Judged, make_record
from earmark.core.rederive import differences, rederive
from earmark.wire.attributes import REQUEST_AT_MOST
from fakes.descriptors import room_for
from fakes.milter_front import OWN_SITE, lists_only
from fakes.policies import ZEN, policy
from fakes.policy_front import EXIM, Mta, RunningPolicyFront, answers, policy_front, request
from fakes.waiting import until
from fakes.world import LATER, FakeWorld, zone_fact

LISTED = dict([zone_fact("9.2.0.192.zen.example", "A", "127.0.0.4")])
CLEAN = "192.0.2.8"


async def serves(running: RunningPolicyFront) -> None:
    """Assert that the front still answers."""
    mta = await Mta.open(running.path)
    assert await mta.ask(request(client_address=CLEAN)) == b"action=DUNNO"
    await mta.vanish()


async def test_an_mta_that_vanishes_anywhere_in_a_request_leaves_nothing_behind() -> None:
    whole = request() + request()
    async with policy_front(FakeWorld(dict([zone_fact("7.2.0.192.zen.example", "LATER")]))) as running:
        for cut in range(0, len(whole) + 1, 7):
            mta = await Mta.open(running.path)
            mta.send(whole[:cut])
            await mta.vanish()
        await asyncio.wait_for(running.front.drained(), 10)
        assert not running.told
        assert {line.partition(" ")[0] for line in running.events.lines} <= {"protocol_error"}
        running.world.release()
        await serves(running)


async def test_what_arrives_byte_by_byte_is_understood_as_well() -> None:
    async with policy_front() as running:
        mta = await Mta.open(running.path)
        for byte in request(client_address=CLEAN):
            mta.send(bytes([byte]))
            await mta.writer.drain()
            await asyncio.sleep(0)
        assert await mta.hear() == b"action=DUNNO"
        await mta.vanish()


async def test_three_hundred_connections_at_once_are_all_answered_each_by_its_own_request() -> None:
    with room_for(800):
        async with policy_front(FakeWorld(LISTED)) as running:

            async def connection(number: int) -> None:
                mta = await Mta.open(running.path)
                for _ in range(3):
                    listed = number % 5 == 0
                    raw = request(client_address="192.0.2.9" if listed else CLEAN, recipient=f"b{number}@example.org")
                    heard = (await mta.ask(raw)).decode()
                    assert heard.startswith("action=550" if listed else "action=DUNNO")
                    running.refusals += [heard.removeprefix("action=")] if listed else []
                await mta.vanish()

            await asyncio.gather(*(connection(number) for number in range(300)))
            assert len(running.told) == 900


async def test_a_thousand_requests_sent_ahead_are_answered_in_order() -> None:
    async with policy_front() as running:
        mta = await Mta.open(running.path)
        raw = [request(client_address=CLEAN, recipient=f"b{number}@example.org") for number in range(1000)]
        mta.send(b"".join(raw))
        assert [await mta.hear() for _ in raw] == [b"action=DUNNO"] * 1000
        assert [judged.recipients[0].address.local for judged in running.told] == [f"b{n}" for n in range(1000)]
        await mta.vanish()


async def test_two_hundred_calls_of_exim_each_on_a_connection_of_its_own_are_all_answered() -> None:
    with room_for(600):
        async with policy_front(FakeWorld(LISTED)) as running:
            calls = (
                running.alone(request(EXIM, client_address="192.0.2.9" if number % 2 else CLEAN))
                for number in range(200)
            )
            heard = [dict(answers(raw)) for raw in await asyncio.gather(*calls)]
            assert [one["action"] for one in heard] == ["accept", "reject"] * 100
            assert all(one["end"] == "1" for one in heard)
            assert len({one["id"] for one in heard}) == 200


async def test_slow_connections_are_closed_and_others_served_meanwhile() -> None:
    async with policy_front(idle=0.2) as running:
        slow = [await Mta.open(running.path) for _ in range(50)]

        async def drip() -> None:
            for byte in b"a=" + b"x" * 1000:
                for mta in slow:
                    mta.send(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        await serves(running)
        for mta in slow:
            with pytest.raises((EOFError, ConnectionError)):
                await mta.hear()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        for mta in slow:
            await mta.vanish()
        assert any(line.startswith("idle front=policy") for line in running.events.lines)


async def test_an_mta_that_does_not_read_is_not_read_from() -> None:
    async with policy_front() as running:
        mta = await Mta.open(running.path)
        flood = request(client_address=CLEAN, protocol_state="DATA") * 500

        async def keep_sending() -> None:
            while True:
                mta.send(flood)
                await mta.writer.drain()

        sending = asyncio.create_task(keep_sending())
        await until(lambda: any(not connection.reading for connection in running.front.open))
        sending.cancel()
        mta.writer.transport.abort()
        await mta.vanish()
        await serves(running)


async def test_a_request_that_never_ends_is_cut_off() -> None:
    async with policy_front() as running:
        mta = await Mta.open(running.path)
        mta.send(b"a=" + b"x" * 2 * REQUEST_AT_MOST)
        with pytest.raises((EOFError, ConnectionError)):
            await mta.hear()
        await mta.vanish()
        assert any("more than 65536 bytes" in line for line in running.events.lines)


async def test_a_list_that_does_not_answer_costs_the_budget_and_no_refusal() -> None:
    async with policy_front(FakeWorld(dict([zone_fact("7.2.0.192.zen.example", "LATER")])), budget=0.1) as running:
        mta = await Mta.open(running.path)
        assert await mta.ask(request()) == b"action=DUNNO"
        (judged,) = running.told
        assert [question.kind for question in judged.recipients[0].outcome.unknown] == ["list"]
        running.world.release(Fact(Status.FAIL, ("127.0.0.4",)))
        assert await mta.ask(request(client_address=CLEAN)) == b"action=DUNNO"
        await mta.vanish()


async def test_a_history_that_fails_does_not_change_what_is_answered() -> None:
    def tell(_judged: Judged) -> None:
        raise OSError("disk full")

    async with policy_front() as running:
        running.front.engine = replace(running.front.engine, tell=tell)
        mta = await Mta.open(running.path)
        for _ in range(2):
            assert await mta.ask(request(client_address=CLEAN)) == b"action=DUNNO"
        await mta.vanish()
        assert len([line for line in running.events.lines if "disk full" in line]) == 2


async def test_a_fault_when_an_answer_arrives_ends_that_connection_only() -> None:
    world = FakeWorld({"list cop.example 192.0.2.7": LATER})
    async with policy_front(world) as running:
        mta, other = await Mta.open(running.path), await Mta.open(running.path)
        assert await other.ask(request(client_address=CLEAN)) == b"action=DUNNO"
        mta.send(request())
        await until(lambda: any(connection.busy for connection in running.front.open))
        world.release(Fact(Status.FAIL, ("not an address",)))
        with pytest.raises(EOFError):
            await mta.hear()
        assert any(line.startswith("error level=error front=policy") for line in running.events.lines)
        assert await other.ask(request(client_address=CLEAN)) == b"action=DUNNO"
        await mta.vanish()
        await other.vanish()


async def test_a_drained_front_closes_what_rests_and_is_empty_at_once() -> None:
    async with policy_front() as running:
        mta = await Mta.open(running.path)
        assert await mta.ask(request(client_address=CLEAN)) == b"action=DUNNO"
        running.front.drain()
        await asyncio.wait_for(running.front.drained(), 10)
        with pytest.raises(EOFError):
            await mta.hear()
        await mta.vanish()


async def test_greylisting_and_rates_are_kept_here_and_told_in_the_answer() -> None:
    default = lists_only(
        greylist=GreylistKnobs(enabled=True, from_score=Points(0)), rates=RatesKnobs(client=Limit("30/60"), defer=True)
    )
    world = FakeWorld({"greylist mail.example.net example.net example.org": Fact(Status.NONE)})
    async with policy_front(world, default=default) as running:
        mta = await Mta.open(running.path)
        heard = (await mta.ask(request())).decode()
        assert heard.startswith("action=451 4.7.1 greylisted")
        running.refusals.append(heard.removeprefix("action="))
        assert [effect.kind for effect in world.done] == ["attempt"]
        assert any(text.startswith("rate client 192.0.2.7") for text in world.asked)
        await mta.vanish()


async def test_at_rcpt_only_what_the_recipients_own_policy_asks_is_looked_up() -> None:
    async with policy_front(domains={"few.example": policy("few.example", zones=(ZEN,))}) as running:
        mta = await Mta.open(running.path)
        assert await mta.ask(request(recipient="a@few.example")) == b"action=DUNNO"
        assert [text for text in running.world.asked if text.startswith("list ")] == ["list zen.example 192.0.2.7"]
        assert await mta.ask(request(protocol_state="MAIL", recipient=None)) == b"action=DUNNO"
        assert "list cop.example 192.0.2.7" in running.world.asked
        await mta.vanish()


async def test_why_a_recipient_wanted_a_message_of_his_own_is_derived_again() -> None:
    content = ContentKnobs(mixed_recipients=MixedRecipients.SEPARATE, virus=OnVirus.REJECT)
    domains = {"alone.example": lists_only("alone.example", content=content)}
    async with policy_front(domains=domains) as running:
        before = ",".join(f"b{number}@example.org" for number in range(100))
        raw = await running.alone(request(EXIM, recipient="a@alone.example", recipients=f"c@alone.example,{before}"))
        assert dict(answers(raw))["code"] == "452"
        record = make_record(running.told[0])
        assert [address.text for address in record.others] == ["c@alone.example", "b0@example.org"]
        policies = PolicySet(lists_only(), domains, OWN_SITE)
        assert not list(differences(record, rederive(record, policies)))


async def test_the_record_of_a_request_is_derived_again_with_the_same_outcome() -> None:
    policies = PolicySet(lists_only(), {}, OWN_SITE)
    async with policy_front(FakeWorld(LISTED)) as running:
        raw = await running.alone(request(EXIM, client_address="192.0.2.9"))
        assert dict(answers(raw))["action"] == "reject"
        record = make_record(running.told[0])
        assert record.ended == "policy"
        assert not list(differences(record, rederive(record, policies)))
