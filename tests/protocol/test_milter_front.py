"""What takes more than a dialogue: many rounds, many connections, limits, faults of our own."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from earmark.core.checks.content import ContentKnobs, Scanned
from earmark.core.evidence import Fact, Status
from earmark.core.record import Judged
from earmark.wire.milter import Command, Connect, Steps, packet
from earmark.wire.milter_mta import ALL_STEPS, connect, helo, mail, rcpt
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
