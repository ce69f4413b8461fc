"""What takes more than a dialogue: many connections, large messages, limits, faults of our own."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from earmark.content import AT_MOST, Content
from earmark.core.checks.content import ContentKnobs, Scanned
from earmark.core.checks.greylist import GreylistKnobs
from earmark.core.checks.rates import Limit, RatesKnobs
from earmark.core.evidence import Fact, Points, Status
from earmark.core.record import Judged
from earmark.wire.exim_message import written_by_exim
from earmark.wire.rspamc import encode_request
from fakes.descriptors import room_for
from fakes.exim_front import REQUEST, RunningEximFront, asked, exim_front, read_as_exim_does, received
from fakes.milter_front import lists_only
from fakes.policy_front import Mta
from fakes.waiting import until
from fakes.world import LATER, FakeWorld, zone_fact

SCANNING = ContentKnobs(clamav=Scanned.ALL)
VIRUS = "virus ID0000000000 25000000"
LISTED = dict([zone_fact("7.2.0.192.zen.example", "A", "127.0.0.4")])


class RememberingWorld(FakeWorld):
    """Keeps what it was given to scan after it has been dropped."""

    def __init__(self) -> None:
        super().__init__({VIRUS: LATER})
        self.given: list[Content] = []

    def hold(self, content_id: str, content: Content) -> None:
        super().hold(content_id, content)
        self.given.append(content)


async def accepts(running: RunningEximFront) -> None:
    """Assert that the front still serves a whole message."""
    report = await running.scan(asked(address=b"192.0.2.8"))
    assert report.action == "accept"


async def test_what_is_scanned_is_what_the_client_sent_by_smtp() -> None:
    world = RememberingWorld()
    fields = ((b"Subject", b" Hello\n\tfolded"), (b"Received", b" from x by mx.example.org"))
    async with exim_front(world, default=lists_only(content=SCANNING)) as running:
        mta = await Mta.open(running.path)
        mta.send(asked(fields, b"one\r\n.two\r\n"))
        await until(lambda: VIRUS in world.asked)
        (content,) = world.given
        expected = b"Subject: Hello\r\n\tfolded\r\nReceived: from x by mx.example.org\r\n\r\none\r\n.two\r\n"
        assert b"".join(content.chunks()) == expected
        world.release()
        assert read_as_exim_does(await mta.hear_all()).action == "accept"
        await mta.vanish()


async def test_an_exim_that_vanishes_anywhere_leaves_nothing_behind() -> None:
    said = asked()
    async with exim_front() as running:
        for end in range(0, len(said), 7):
            mta = await Mta.open(running.path)
            mta.send(said[:end])
            await mta.vanish()
        await asyncio.wait_for(running.front.drained(), 10)
        assert {judged.ended for judged in running.told} == {"disconnect"}
        await accepts(running)


async def test_an_exim_that_vanishes_while_a_scanner_is_asked_is_forgotten() -> None:
    world = RememberingWorld()
    async with exim_front(world, default=lists_only(content=SCANNING)) as running:
        mta = await Mta.open(running.path)
        mta.send(asked())
        await until(lambda: VIRUS in world.asked)
        await mta.vanish()
        await asyncio.wait_for(running.front.drained(), 10)
        assert not world.contents
        world.release()
        assert [judged.ended for judged in running.told] == ["disconnect"]


async def test_what_arrives_byte_by_byte_is_understood_as_well() -> None:
    async with exim_front(FakeWorld(LISTED)) as running:
        mta = await Mta.open(running.path)
        for byte in asked():
            mta.send(bytes([byte]))
            await mta.writer.drain()
            await asyncio.sleep(0)
        assert read_as_exim_does(await mta.hear_all()).action == "mark"
        await mta.vanish()


async def test_two_hundred_at_once_are_all_answered() -> None:
    with room_for(600):
        async with exim_front(FakeWorld(LISTED)) as running:

            async def scan(number: int) -> None:
                report = await running.scan(asked(address=b"192.0.2.%d" % (7 + number % 2)))
                assert report.action == ("accept" if number % 2 else "mark")

            await asyncio.gather(*(scan(number) for number in range(200)))
            assert len(running.told) == 200


def pieces_of(size: int) -> Iterator[bytes]:
    """Yield a request whose body has this many bytes, piece by piece."""
    line = b"x" * 63 + b"\n"
    head = written_by_exim(
        ((b"Subject", b" Large"),), b"", sender=REQUEST.sender, recipients=REQUEST.recipients, received=received()
    )
    request = encode_request(REQUEST, b"")
    yield request.replace(b"Content-length: 0", b"Content-length: %d" % (len(head) + size)) + head
    yield from [line * 1024] * (size // len(line) // 1024)


async def test_a_message_larger_than_can_be_held_is_judged_unscanned() -> None:
    world = RememberingWorld()
    async with exim_front(world, default=lists_only(content=SCANNING)) as running:
        mta = await Mta.open(running.path)
        for piece in pieces_of(AT_MOST + 1024 * 1024):
            mta.send(piece)
            await mta.writer.drain()
        await until(lambda: VIRUS in world.asked)
        assert "larger than" in world.given[0].why
        world.release()
        assert read_as_exim_does(await mta.hear_all()).action == "accept"
        await mta.vanish()


async def test_a_header_beyond_the_limits_is_cut_and_what_is_forged_beyond_them_goes() -> None:
    fields = [(b"X-Long", b" " + b"y" * 60_000)] * 10
    async with exim_front() as running:
        report = await running.scan(asked([*fields, (b"X-Spam-Score", b" 1")]))
        assert report.removed == ["X-Spam-Score"]
        assert running.told[0].txn.message.truncated


async def test_a_thousand_recipients_are_judged_in_one_answer() -> None:
    recipients = tuple(b"b%d@%b.example" % (number, (b"strict", b"mild")[number % 2]) for number in range(1000))
    policies = {"strict.example": lists_only("strict.example", mark_at=400)}
    world = FakeWorld(dict([zone_fact("7.2.0.192.cop.example", "A", "127.0.0.2")]))
    async with exim_front(world, domains=policies) as running:
        report = await running.scan(asked(recipients=recipients))
        assert report.action == "accept"
        assert len(running.told[0].recipients) == 1000
        assert set(report.recipients) < {f"mark {path.decode()}" for path in recipients[::2]}
        assert report.value("cut") == "marks"


async def test_two_recipients_who_look_the_same_to_us_are_never_taken_for_each_other() -> None:
    alike = b'"' + b"x" * 1000
    recipients = (alike + b'y"@strict.example', alike + b'z"@mild.example', b"b@strict.example")
    marking = {"strict.example": lists_only("strict.example", mark_at=400)}
    world = FakeWorld(dict([zone_fact("7.2.0.192.cop.example", "A", "127.0.0.2")]))
    async with exim_front(world, domains=marking) as running:
        report = await running.scan(asked(recipients=recipients, prdr=True))
    assert report.recipients == ["mark b@strict.example"]


async def test_what_is_held_for_one_of_two_who_look_the_same_is_taken_from_neither() -> None:
    alike = b'"' + b"x" * 1000
    recipients = (alike + b'y"@holds.example', alike + b'z"@mild.example')
    world = FakeWorld({VIRUS: Fact(Status.FAIL, ("Eicar",))})
    holding = lists_only("holds.example", content=SCANNING)
    async with exim_front(world, domains={"holds.example": holding}) as running:
        apart = await running.scan(asked(recipients=(b"a@holds.example", b"b@mild.example")))
        report = await running.scan(asked(recipients=recipients))
    assert apart.recipients == ["discard a@holds.example"]
    assert not [line for line in report.recipients if not line.startswith("mark ")]


async def test_what_counts_or_waits_is_neither_asked_nor_written_again() -> None:
    limited = lists_only(
        refuse_at=800,
        rates=RatesKnobs(client=Limit("1/3600"), defer=True),
        greylist=GreylistKnobs(enabled=True, from_score=Points(0)),
    )
    world = FakeWorld()
    async with exim_front(world, default=limited) as running:
        for _ in range(3):
            assert (await running.scan(asked())).action == "accept"
        assert not [question for question in world.asked if question.startswith(("rate ", "greylist "))]
        assert not world.done
        assert all(judged.taken for judged in running.told)


async def test_an_answer_that_is_not_fetched_does_not_keep_the_front() -> None:
    recipients = tuple(b"b%d@%b.example" % (number, (b"strict", b"mild")[number % 2]) for number in range(1000))
    policies = {"strict.example": lists_only("strict.example", mark_at=400)}
    world = FakeWorld(dict([zone_fact("7.2.0.192.cop.example", "A", "127.0.0.2")]))
    async with exim_front(world, domains=policies, idle=0.3) as running:
        mta = await Mta.open(running.path)
        await until(lambda: bool(running.front.open))
        for connection in running.front.open:  # as if much was on its way already
            connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        cast("asyncio.Transport", mta.writer.transport).pause_reading()
        mta.send(asked(recipients=recipients))
        await until(lambda: bool(running.told))
        assert running.front.sessions == 1
        await asyncio.wait_for(running.front.drained(), 10)
        await mta.vanish()


async def test_no_more_is_read_than_can_be_taken() -> None:
    world = FakeWorld({"list cop.example 192.0.2.7": LATER})
    async with exim_front(world) as running:
        mta = await Mta.open(running.path)
        mta.send(next(pieces_of(50 * 1024 * 1024)))
        await until(lambda: any(connection.busy for connection in running.front.open))
        (connection,) = running.front.open
        assert not connection.reading
        world.release()
        assert connection.reading
        await mta.vanish()


async def test_a_store_that_fails_is_logged_and_changes_no_answer() -> None:
    def tell(_judged: Judged) -> None:
        raise OSError("disk full")

    async with exim_front(FakeWorld(LISTED)) as running:
        running.front.engine = replace(running.front.engine, tell=tell)
        assert (await running.scan(asked())).action == "mark"
        assert all(line.startswith("error level=error") and "disk full" in line for line in running.events.lines)
        assert running.events.lines
