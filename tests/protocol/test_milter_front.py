"""What takes more than a dialogue: many rounds, many connections, limits, faults of our own."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from earmark.core.checks.content import ContentKnobs, Scanned
from earmark.core.evidence import Fact, Status
from earmark.core.record import Judged
from earmark.wire.milter import Command, Connect, Steps, packet
from earmark.wire.milter_mta import ALL_STEPS, connect, helo, macros, mail, rcpt
from fakes.descriptors import room_for
from fakes.milter_front import RunningFront, lists_only, milter_front
from fakes.mta import CLIENT, DEADLINE, Mta, text_of
from fakes.world import LATER, FakeWorld, zone_fact

LISTED = dict(
    [zone_fact("7.2.0.192.cop.example", "A", "127.0.0.2"), zone_fact("9.2.0.192.zen.example", "A", "127.0.0.2")]
)
CLEAN_CLIENT = Connect(b"clean.example.net", "4", 25, b"192.0.2.8")
# A whole message, one packet for each of the ten stages after negotiation.
STAGES = (
    connect(CLIENT),
    helo(b"mail.example.net"),
    mail(b"<a@example.net>"),
    rcpt(b"<b@example.org>"),
    packet(Command.DATA),
    packet(Command.HEADER, b"Subject\0 Hello\0"),
    packet(Command.EOH),
    packet(Command.BODY, b"Hello\r\n"),
    packet(Command.EOM),
    packet(Command.ABORT),
)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition of the front holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for knows nothing of tests
            await asyncio.sleep(0.005)


async def accepts(running: RunningFront) -> None:
    """Assert that the front still serves a whole message."""
    mta = await Mta.open(running.path)
    await mta.greet(CLEAN_CLIENT)
    heard = await mta.message()
    assert heard.replies == ["continue"]
    assert heard.end == "continue"
    await mta.quit()


@pytest.mark.parametrize("stages", range(len(STAGES)))
async def test_an_mta_that_vanishes_at_any_stage_leaves_nothing_behind(stages: int) -> None:
    async with milter_front() as running:
        for round_ in range(100):
            mta = await Mta.open(running.path)
            said = mta.side.negotiate() + b"".join(STAGES[: stages + 1])
            mta.send(said if round_ % 2 else said[:-1])
            if round_ % 3:
                await mta.hear()
            await mta.vanish()
        await asyncio.wait_for(running.front.drained(), 10)
        await accepts(running)
        assert not running.events.lines


async def test_an_mta_that_vanishes_while_a_list_is_asked_is_forgotten() -> None:
    world = FakeWorld(dict([zone_fact("7.2.0.192.zen.example", "LATER")]))
    async with milter_front(world) as running:
        for _ in range(100):
            mta = await Mta.open(running.path)
            mta.send(mta.side.negotiate() + b"".join(STAGES[:4]))
            for _ in range(3):
                await mta.hear()
            await mta.vanish()
        await asyncio.wait_for(running.front.drained(), 10)
        world.release()
        await accepts(running)


async def test_a_hundred_messages_on_one_connection_each_have_their_own_verdict() -> None:
    strict, mild = lists_only("strict.example", refuse_at=400), lists_only("mild.example", mark_at=400)
    async with milter_front(FakeWorld(LISTED), domains={"strict.example": strict, "mild.example": mild}) as running:
        mta = await Mta.open(running.path)
        await mta.greet()
        for number in range(100):
            user = b"bob" if number % 4 == 3 else b""
            domain = (b"strict", b"mild", b"other")[number % 3]
            heard = await mta.message(recipients=[b"<b@%b.example>" % domain], user=user)
            running.refusals += [reply for reply in heard.replies if reply != "continue"]
            flagged = "insert 0 X-Spam-Flag: YES" in heard.edits
            assert (heard.replies != ["continue"]) is (domain == b"strict" and not user)
            assert flagged is (domain == b"mild" and not user)
        await mta.quit()
        assert len(running.told) == 100


async def test_the_order_of_recipients_changes_no_reply() -> None:
    policies = {
        f"d{number}.example": lists_only(f"d{number}.example", refuse_at=200 * number) for number in range(1, 5)
    }
    async with milter_front(FakeWorld(LISTED), domains=policies) as running:
        mta = await Mta.open(running.path)
        await mta.greet()
        recipients = [b"<b@%b>" % domain.encode() for domain in policies]
        for order in itertools.permutations(recipients):
            heard = await mta.message(recipients=order)
            running.refusals += [reply for reply in heard.replies if reply != "continue"]
            refused = {recipient for recipient, reply in zip(order, heard.replies, strict=True) if reply != "continue"}
            assert refused == set(recipients[:2])
        await mta.quit()


async def test_the_recipient_after_the_thousandth_is_told_to_come_again() -> None:
    async with milter_front() as running:
        mta = await Mta.open(running.path)
        await mta.greet(CLEAN_CLIENT)
        heard = await mta.message(recipients=[b"<b%d@example.org>" % number for number in range(1002)])
        assert heard.replies[:1000] == ["continue"] * 1000
        assert heard.replies[1000:] == ["452 4.5.3 Too many recipients"] * 2
        assert heard.end == "continue"
        await mta.quit()


async def test_ten_thousand_esmtp_parameters_are_carried_and_a_hundred_thousand_macros_are_not() -> None:
    async with milter_front() as running:
        mta = await Mta.open(running.path)
        await mta.greet()
        assert await mta.say(Command.MAIL, mail(b"<a@example.net>", [b"X=1"] * 10_000)) == "continue"
        mta.send(macros(Command.MAIL, {b"m%d" % number: b"v" for number in range(100_000)}))
        with pytest.raises((EOFError, ConnectionError)):
            await mta.hear()
        await mta.vanish()
        await accepts(running)


async def test_of_recipients_who_are_alike_in_all_that_we_keep_only_the_first_shares_a_message() -> None:
    """What becomes of one is done to him by the path that the MTA gave: it would be done to one of them only."""
    long = b"<" + b"a" * 1000
    async with milter_front() as running:
        mta = await Mta.open(running.path)
        await mta.greet(CLEAN_CLIENT)
        recipients = (long + b"1@example.org>", long + b"2@example.org>", long + b"1@example.org>", b"<b@example.org>")
        heard = await mta.message(recipients=recipients)
        assert [reply[:9] for reply in heard.replies] == ["continue", "452 4.5.3", "continue", "continue"]
        assert heard.end == "continue"
        await mta.quit()


@pytest.mark.parametrize(
    "said",
    [
        packet(Command.EOH) + packet(Command.BODY, b"one") + packet(Command.EOM, b"two"),
        packet(Command.BODY, b"one") + packet(Command.BODY, b"two") + packet(Command.EOM),
        packet(Command.EOM, b"onetwo"),
    ],
    ids=["last part with the end", "no end of header", "all with the end"],
)
async def test_no_part_of_the_body_is_missed_however_it_comes(said: bytes) -> None:
    """A scanner would not see it, and what is held would lack it."""
    world = FakeWorld({"virus ID0000000000 25000000": Fact(Status.FAIL, ("Eicar",))})
    async with milter_front(world, default=lists_only(content=ContentKnobs(clamav=Scanned.ALL))) as running:
        mta = await Mta.open(running.path)
        await mta.greet(CLEAN_CLIENT)
        mta.send(mail(b"<a@example.net>") + rcpt(b"<b@example.org>") + packet(Command.HEADER, b"Subject\0 x\0") + said)
        assert [text_of(await mta.hear()) for _ in range(3)] == ["continue", "continue", "discard"]
        assert [raw for _, raw in world.kept] == [b"Subject: x\r\n\r\nonetwo"]
        await mta.quit()


@pytest.mark.parametrize("late", [packet(Command.EOH), packet(Command.HEADER, b"Subject\0 y\0")], ids=["eoh", "header"])
async def test_a_header_that_has_ended_does_not_go_on(late: bytes) -> None:
    async with milter_front() as running:
        mta = await Mta.open(running.path)
        await mta.greet(CLEAN_CLIENT)
        mta.send(mail(b"<a@example.net>") + rcpt(b"<b@example.org>") + packet(Command.EOH) + late)
        await mta.hear()
        await mta.hear()
        with pytest.raises(EOFError):
            await mta.hear()
        await mta.vanish()


async def test_a_header_beyond_the_limits_is_cut_and_said_to_be() -> None:
    fields = [(b"X-Long", b" " + b"y" * 60_000)] * 5
    async with milter_front() as running:
        mta = await Mta.open(running.path)
        await mta.greet()
        heard = await mta.message(headers=[*fields, (b"X-Spam-Score", b" 1")])
        assert heard.edits[0] == "remove 1 X-Spam-Score"
        assert running.told[0].txn.message.truncated
        assert sum(len(header.value) for header in running.told[0].txn.message.headers) <= 256 * 1024
        await mta.quit()


async def test_five_hundred_slow_connections_are_closed_and_others_served_meanwhile() -> None:
    with room_for(1200):
        async with milter_front(idle=0.2) as running:
            slow = [await Mta.open(running.path) for _ in range(500)]

            async def drip() -> None:
                for byte in packet(Command.BODY, bytes(60_000)):
                    for mta in slow:
                        mta.send(bytes([byte]))
                    await asyncio.sleep(0.05)

            dripping = asyncio.create_task(drip())
            await accepts(running)
            for mta in slow:
                with pytest.raises((EOFError, ConnectionError)):
                    await mta.hear()
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
            for mta in slow:
                await mta.vanish()


async def test_a_thousand_sessions_at_once_are_all_answered() -> None:
    with room_for(2200):
        async with milter_front(FakeWorld(LISTED)) as running:
            mtas = [await Mta.open(running.path) for _ in range(1000)]

            async def session(mta: Mta, *, listed: bool) -> None:
                await mta.greet(Connect(b"x", "4", 1, b"192.0.2.9") if listed else CLEAN_CLIENT)
                heard = await mta.message()
                running.refusals.extend(reply for reply in heard.replies if reply != "continue")
                assert heard.replies[0].startswith("550" if listed else "continue")
                await mta.quit()

            await asyncio.gather(*(session(mta, listed=number % 5 == 0) for number, mta in enumerate(mtas)))


async def test_an_mta_that_does_not_read_is_not_read_from() -> None:
    async with milter_front() as running:
        mta = await Mta.open(running.path)
        await mta.greet(CLEAN_CLIENT)
        flood = (mail(b"<a@example.net>") + packet(Command.ABORT)) * 2000

        async def keep_sending() -> None:
            while True:
                mta.send(flood)
                await mta.writer.drain()

        sending = asyncio.create_task(keep_sending())
        connection = next(iter(running.front.open))
        await until(lambda: not connection.reading)
        sending.cancel()
        mta.writer.transport.abort()
        await mta.vanish()
        await accepts(running)


async def test_what_arrives_byte_by_byte_is_understood_as_well() -> None:
    async with milter_front() as running:
        mta = await Mta.open(running.path)
        for byte in mta.side.negotiate() + b"".join(STAGES):
            mta.send(bytes([byte]))
            await mta.writer.drain()
            await asyncio.sleep(0)
        heard = [await mta.hear() for _ in range(4)]
        assert len(heard) == 4
        await mta.vanish()


async def test_a_store_that_fails_does_not_change_what_is_answered() -> None:
    def tell(_judged: Judged) -> None:
        raise OSError("disk full")

    async with milter_front() as running:
        shared = running.front.shared
        shared.engine = replace(shared.engine, tell=tell)
        mta = await Mta.open(running.path)
        await mta.greet(CLEAN_CLIENT)
        for _ in range(2):
            heard = await mta.message()
            assert heard.replies == ["continue"]
            assert heard.end == "continue"
            assert any(edit.startswith("insert 0 X-Spam-Score:") for edit in heard.edits)
        mta.send(mail(b"<a@example.net>") + rcpt(b"<b@example.org>"))
        assert [await mta.hear() for _ in range(2)]
        await mta.vanish()
        await asyncio.wait_for(running.front.drained(), 10)
        assert all(line.startswith("error level=error") and "disk full" in line for line in running.events.lines)


async def test_a_fault_when_an_answer_arrives_reaches_neither_the_world_nor_another_session() -> None:
    world = FakeWorld({"list cop.example 192.0.2.7": LATER})
    async with milter_front(world) as running:
        mta, other = await Mta.open(running.path), await Mta.open(running.path)
        await mta.greet()
        await other.greet(CLEAN_CLIENT)
        mta.send(mail(b"<a@example.net>"))
        await mta.hear()
        mta.send(rcpt(b"<b@example.org>"))
        await mta.writer.drain()
        await until(lambda: any(connection.session.waiting for connection in running.front.open))
        world.release(Fact(Status.FAIL, ("not an address",)))
        assert (await mta.hear()) == ("continue",)
        assert any(line.startswith("error ") for line in running.events.lines)
        assert (await other.message()).end == "continue"
        await mta.quit()
        await other.quit()


async def test_an_mta_that_sends_ahead_is_answered_in_order() -> None:
    world = FakeWorld(dict([zone_fact("7.2.0.192.zen.example", "LATER")]))
    async with milter_front(world) as running:
        mta = await Mta.open(running.path, steps=ALL_STEPS & ~Steps.NO_BODY)
        mta.send(mta.side.negotiate() + b"".join(STAGES[:4]))
        for _ in range(3):
            await mta.hear()
        for stage in (*STAGES[4:7], *[packet(Command.BODY, b"x" * 60_000)] * 20, STAGES[8]):
            mta.send(stage)
        world.release()
        assert (await mta.hear()) == ("continue",)
        async with asyncio.timeout(DEADLINE):
            while (await mta.hear()) != ("continue",):
                pass
        assert [judged.ended for judged in running.told] == ["eom"]
        await mta.quit()


async def test_a_drained_front_is_empty_when_its_sessions_have_ended() -> None:
    async with milter_front() as running:
        front = running.front
        mta = await Mta.open(running.path)
        await mta.greet(CLEAN_CLIENT)
        assert front.sessions == 1
        front.drain()
        assert (await mta.message()).end == "continue"
        assert front.sessions == 1
        await mta.quit()
        await asyncio.wait_for(front.drained(), 10)
        assert front.sessions == 0
