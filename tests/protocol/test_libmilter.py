"""What is libmilter's own: bytes that pymilter makes no text of, threads that wait, a front that drains."""

import asyncio
from pathlib import Path

from earmark.wire.milter import Command, Connect, packet
from earmark.wire.milter_mta import body, connect, helo, mail, rcpt
from fakes.descriptors import room_for
from fakes.dialogues import has_logged, has_told
from fakes.milter_engines import LibmilterProcess, Scenario
from fakes.mta import CLIENT, Mta, text_of
from fakes.waiting import until

CLEAN = Connect(b"clean.example.net", "4", 25, b"192.0.2.8")


async def serves(scenario: Scenario) -> None:
    """Assert that another MTA is served."""
    mta = await Mta.open(scenario.path)
    await mta.greet(CLEAN)
    assert (await mta.message()).end == "continue"
    await mta.vanish()


async def test_a_client_of_whom_nothing_can_be_known_is_let_in_and_said_to_be_unjudged(
    libmilter: LibmilterProcess,
) -> None:
    async with libmilter([("zone", "7.2.0.192.zen.example A 127.0.0.2")]) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet(Connect(b"h\xff.example.net", "4", 25, b"192.0.2.7"))
        heard = await mta.message(headers=[(b"X-Spam-Flag", b" YES")])
        assert heard.replies == ["continue"]
        assert heard.edits == []
        await has_logged(scenario.logged, "error *UnicodeDecodeError*")
        await mta.vanish()
        await serves(scenario)


async def test_who_cannot_be_named_to_pymilter_gets_his_copy_marked_instead_of_held(
    libmilter: LibmilterProcess,
) -> None:
    words = [
        ("policy", "default clamav=all virus=mark"),
        ("policy", "example.org clamav=all"),
        ("fact", "virus ID0000000000 25000000 = fail Eicar"),
    ]
    async with libmilter(words) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet(CLEAN)
        heard = await mta.message(recipients=[b"<b\xff@example.org>", b"<eve@example.com>"])
        assert heard.end == "continue"
        assert "insert 0 X-Spam-Flag: YES" in heard.edits
        await has_told(scenario.told, 1, "eom mark *=mark,eve@example.com=mark *")
        await mta.vanish()


async def test_a_loop_that_hangs_costs_no_mail_and_the_message_says_that_nobody_judged_it(
    libmilter: LibmilterProcess,
) -> None:
    words = [("front", "budget=0.05 scan_budget=0.05"), ("zone", "7.2.0.192.zen.example A 127.0.0.2")]
    async with libmilter(words) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet()
        mta.send(mail(b"<a@example.net>"))
        await mta.hear()
        await scenario.hang(5)
        mta.send(rcpt(b"<b@example.org>"))
        assert await mta.hear() == ("continue",)
        mta.send(mta.side.header(b"X-Spam-Flag", b" YES") + packet(Command.EOH) + packet(Command.EOM))
        assert text_of(await mta.hear()) == "remove 1 X-Spam-Flag"
        assert text_of(await mta.hear()).endswith("unchecked=error")
        assert await mta.hear() == ("continue",)
        await scenario.asked()  # it has woken
        assert (await mta.message()).replies[0].startswith("550 ")
        await mta.vanish()


async def test_five_hundred_connections_that_stop_in_a_packet_are_gone_when_they_hang_up(
    libmilter: LibmilterProcess,
) -> None:
    """Each holds a thread, and while they do others may have to wait for one: libmilter's way."""
    with room_for(1200):
        async with libmilter([]) as scenario:
            slow = [await Mta.open(scenario.path) for _ in range(500)]
            for byte in packet(Command.BODY, bytes(60_000))[:3]:
                for mta in slow:
                    mta.send(bytes([byte]))
            for mta in slow:
                await mta.vanish()
            await serves(scenario)


async def test_who_comes_while_others_wait_for_a_list_may_wait_for_them_and_is_answered(
    libmilter: LibmilterProcess,
) -> None:
    """libmilter gives a connection to a thread that is taken already; it is answered when some thread is free."""

    async def session(mta: Mta) -> None:
        for said in (mta.side.negotiate(), connect(CLIENT), helo(b"x") + mail(b"<>"), rcpt(b"<b@example.org>")):
            mta.send(said)
            await mta.hear()
        await mta.vanish()

    async with libmilter([("front", "budget=0.5"), ("zone", "7.2.0.192.zen.example LATER")]) as scenario:
        for _ in range(2):
            mtas = [await Mta.open(scenario.path) for _ in range(100)]
            await asyncio.gather(*map(session, mtas))


async def test_the_threads_of_those_who_waited_end(libmilter: LibmilterProcess) -> None:
    def threads() -> int:
        return sum(1 for _ in Path(f"/proc/{libmilter.pid}/task").iterdir())

    async with libmilter([("front", "budget=0.5"), ("zone", "7.2.0.192.zen.example LATER")]) as scenario:
        mtas = [await Mta.open(scenario.path) for _ in range(50)]
        for mta in mtas:
            mta.send(mta.side.negotiate() + connect(CLIENT) + helo(b"x") + mail(b"<>") + rcpt(b"<b@example.org>"))
        for mta in mtas:
            assert [text_of(await mta.hear()) for _ in range(4)][-1] == "continue"
            await mta.vanish()
    await until(lambda: threads() < 20, 30)


async def test_a_long_body_is_handed_over_as_it_comes(libmilter: LibmilterProcess) -> None:
    words = [("policy", "default clamav=all"), ("fact", "virus ID0000000000 25000000 = none")]
    async with libmilter(words) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet(CLEAN)
        mta.send(mail(b"<a@example.net>") + rcpt(b"<b@example.org>"))
        assert [await mta.hear() for _ in range(2)] == [("continue",)] * 2
        mta.send(packet(Command.EOH) + body(b"x" * 65_535))
        await until(lambda: _is_asked(scenario, "virus*"))
        mta.send(packet(Command.EOM))
        while (await mta.hear()) != ("continue",):
            pass
        await mta.vanish()


async def _is_asked(scenario: Scenario, pattern: str) -> bool:
    return any(question.startswith(pattern.rstrip("*")) for question in await scenario.asked())


async def test_who_connects_while_a_front_drains_is_left_to_the_other_workers(libmilter: LibmilterProcess) -> None:
    async with libmilter([]) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet(CLEAN)
        scenario.drain()
        await scenario.asked()
        other = await Mta.open(scenario.path)
        other.send(other.side.negotiate())
        assert (await mta.message()).end == "continue"
        assert other.side.agreed is None
        await mta.quit()
        await other.vanish()


async def test_what_still_comes_when_the_time_to_drain_is_over_is_put_off(libmilter: LibmilterProcess) -> None:
    async with libmilter([]) as scenario:
        mta, other = await Mta.open(scenario.path), await Mta.open(scenario.path)
        await mta.greet(CLEAN)
        await other.greet(CLEAN)
        assert await mta.say(Command.MAIL, mail(b"<a@example.net>")) == "continue"
        assert await mta.say(Command.RCPT, rcpt(b"<b@example.org>")) == "continue"
        await scenario.close()
        mta.send(packet(Command.EOH) + packet(Command.EOM))
        assert text_of(await mta.hear()) == "tempfail"
        assert await other.say(Command.MAIL, mail(b"<a@example.net>")) == "tempfail"
        await has_told(scenario.told, 1, "disconnect accept b@example.org=accept")
        await mta.vanish()
        await other.vanish()


async def test_a_message_that_waits_for_a_scan_when_the_time_to_drain_is_over_is_put_off_at_once(
    libmilter: LibmilterProcess,
) -> None:
    words = [("policy", "default clamav=all"), ("fact", "virus ID0000000000 25000000 = LATER")]
    async with libmilter(words) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet(CLEAN)
        mta.send(mail(b"<a@example.net>") + rcpt(b"<b@example.org>"))
        assert [await mta.hear() for _ in range(2)] == [("continue",)] * 2
        mta.send(packet(Command.EOH) + packet(Command.EOM))
        await until(lambda: _is_asked(scenario, "virus*"))
        await scenario.close()
        assert text_of(await mta.hear()) == "tempfail"
        await mta.vanish()
