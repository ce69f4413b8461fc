"""What takes more than a dialogue, and holds for both engines: many rounds, many connections, limits."""

import asyncio
import itertools

import pytest

from earmark.wire.milter import Command, Connect, packet
from earmark.wire.milter_mta import connect, helo, macros, mail, rcpt
from fakes.descriptors import room_for
from fakes.dialogues import has_told
from fakes.milter_engines import Scenario, Serve, Words
from fakes.mta import CLIENT, Mta
from fakes.waiting import until

LISTED = [("zone", "7.2.0.192.cop.example A 127.0.0.2"), ("zone", "9.2.0.192.zen.example A 127.0.0.2")]
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


async def accepts(scenario: Scenario) -> None:
    """Assert that the front still serves a whole message."""
    mta = await Mta.open(scenario.path)
    await mta.greet(CLEAN_CLIENT)
    heard = await mta.message()
    assert heard.replies == ["continue"]
    assert heard.end == "continue"
    await mta.quit()


@pytest.mark.parametrize("stages", range(len(STAGES)))
async def test_an_mta_that_vanishes_at_any_stage_leaves_nothing_behind(stages: int, serve: Serve) -> None:
    async with serve([]) as scenario:
        for round_ in range(100):
            mta = await Mta.open(scenario.path)
            said = mta.side.negotiate() + b"".join(STAGES[: stages + 1])
            mta.send(said if round_ % 2 else said[:-1])
            if round_ % 3:
                await mta.hear()
            await mta.vanish()
        await accepts(scenario)
        assert not scenario.logged


async def test_an_mta_that_vanishes_while_a_list_is_asked_is_forgotten(serve: Serve) -> None:
    async with serve([("zone", "7.2.0.192.zen.example LATER")]) as scenario:
        for _ in range(100):
            mta = await Mta.open(scenario.path)
            mta.send(mta.side.negotiate() + b"".join(STAGES[:4]))
            for _ in range(3):
                await mta.hear()
            await mta.vanish()
        await scenario.world("answers")
        await accepts(scenario)


async def test_an_mta_that_vanishes_while_a_message_is_scanned_is_missed_before_the_scan_ends(serve: Serve) -> None:
    words = [("policy", "default clamav=all"), ("fact", "virus ID0000000000 25000000 = LATER")]
    async with serve(words) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet(CLEAN_CLIENT)
        mta.send(mail(b"<a@example.net>") + rcpt(b"<b@example.org>"))
        assert [await mta.hear() for _ in range(2)] == [("continue",)] * 2
        mta.send(packet(Command.EOH) + packet(Command.EOM))
        await until(lambda: _scans(scenario))
        await mta.vanish()
        await has_told(scenario.told, 1, "disconnect accept b@example.org=accept")
        await scenario.world("answers")
        await accepts(scenario)


async def _scans(scenario: Scenario) -> bool:
    return any(question.startswith("virus ") for question in await scenario.asked())


async def test_a_hundred_messages_on_one_connection_each_have_their_own_verdict(serve: Serve) -> None:
    policies = [("policy", "strict.example refuse_at=400"), ("policy", "mild.example mark_at=400")]
    async with serve([*LISTED, *policies]) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet()
        for number in range(100):
            user = b"bob" if number % 4 == 3 else b""
            domain = (b"strict", b"mild", b"other")[number % 3]
            heard = await mta.message(recipients=[b"<b@%b.example>" % domain], user=user)
            scenario.refusals += [reply for reply in heard.replies if reply != "continue"]
            flagged = "insert 0 X-Spam-Flag: YES" in heard.edits
            assert (heard.replies != ["continue"]) is (domain == b"strict" and not user)
            assert flagged is (domain == b"mild" and not user)
        await mta.quit()
        await scenario.asked()
        assert len(scenario.told) == 100


async def test_the_order_of_recipients_changes_no_reply(serve: Serve) -> None:
    words: Words = [*LISTED, *(("policy", f"d{number}.example refuse_at={200 * number}") for number in range(1, 5))]
    async with serve(words) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet()
        recipients = [b"<b@d%d.example>" % number for number in range(1, 5)]
        for order in itertools.permutations(recipients):
            heard = await mta.message(recipients=order)
            scenario.refusals += [reply for reply in heard.replies if reply != "continue"]
            refused = {recipient for recipient, reply in zip(order, heard.replies, strict=True) if reply != "continue"}
            assert refused == set(recipients[:2])
        await mta.quit()


async def test_the_recipient_after_the_thousandth_is_told_to_come_again(serve: Serve) -> None:
    async with serve([]) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet(CLEAN_CLIENT)
        heard = await mta.message(recipients=[b"<b%d@example.org>" % number for number in range(1002)])
        assert heard.replies[:1000] == ["continue"] * 1000
        assert heard.replies[1000:] == ["452 4.5.3 Too many recipients"] * 2
        assert heard.end == "continue"
        await mta.quit()


async def test_ten_thousand_esmtp_parameters_are_carried_and_a_hundred_thousand_macros_are_not(serve: Serve) -> None:
    async with serve([]) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet()
        assert await mta.say(Command.MAIL, mail(b"<a@example.net>", [b"X=1"] * 10_000)) == "continue"
        mta.send(macros(Command.MAIL, {b"m%d" % number: b"v" for number in range(100_000)}))
        with pytest.raises((EOFError, ConnectionError)):
            await mta.hear()
        await mta.vanish()
        await accepts(scenario)


async def test_a_header_beyond_the_limits_is_cut_and_said_to_be(serve: Serve) -> None:
    async with serve([]) as scenario:
        mta = await Mta.open(scenario.path)
        await mta.greet()
        fields = [(b"X-Long", b" " + b"y" * 60_000)] * 5
        heard = await mta.message(headers=[*fields, (b"X-Spam-Score", b" 1")])
        assert heard.edits[0] == "remove 1 X-Spam-Score"
        await has_told(scenario.told, 1, "*truncated")
        await mta.quit()


async def test_a_thousand_sessions_at_once_are_all_answered(serve: Serve) -> None:
    with room_for(2200):
        async with serve(LISTED) as scenario:
            mtas = [await Mta.open(scenario.path) for _ in range(1000)]

            async def session(mta: Mta, *, listed: bool) -> None:
                await mta.greet(Connect(b"x", "4", 1, b"192.0.2.9") if listed else CLEAN_CLIENT)
                heard = await mta.message()
                scenario.refusals.extend(reply for reply in heard.replies if reply != "continue")
                assert heard.replies[0].startswith("550" if listed else "continue")
                await mta.quit()

            await asyncio.gather(*(session(mta, listed=number % 5 == 0) for number, mta in enumerate(mtas)))


async def test_a_thousand_sessions_that_wait_for_a_list_are_all_answered(serve: Serve) -> None:
    with room_for(2200):
        async with serve([("zone", "7.2.0.192.zen.example LATER")]) as scenario:
            mtas = [await Mta.open(scenario.path) for _ in range(1000)]
            for mta in mtas:
                mta.send(mta.side.negotiate() + b"".join(STAGES[:4]))
            for mta in mtas:
                assert len([await mta.hear() for _ in range(3)]) == 3
            await accepts(scenario)
            answers = asyncio.gather(*(mta.hear() for mta in mtas))
            while not answers.done():  # those whom libmilter had wait for others ask only now
                await scenario.world("answers")
                await asyncio.wait([answers], timeout=0.1)
            assert set(await answers) == {("continue",)}
            for mta in mtas:
                await mta.vanish()


async def test_what_arrives_byte_by_byte_is_understood_as_well(serve: Serve) -> None:
    async with serve([]) as scenario:
        mta = await Mta.open(scenario.path)
        for byte in mta.side.negotiate() + b"".join(STAGES):
            mta.send(bytes([byte]))
            await mta.writer.drain()
            await asyncio.sleep(0)
        heard = [await mta.hear() for _ in range(4)]
        assert len(heard) == 4
        await mta.vanish()
