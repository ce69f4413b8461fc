"""spamd as it is asked: what it gets to see, and what its silence and its answers come to."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from earmark.clients.spamd import Spamd
from earmark.content import Content
from earmark.core.evidence import Fact, Question, Scanner, SpamScan, Status
from earmark.core.mail import Header
from earmark.core.spam_score import read_spam_score
from fakes.scanners import CUT, HANG, RESET, ScriptedScanner, scanners
from fakes.spamd import framed, reply
from fakes.waiting import until

END = b"the end.\r\n"
RECEIVED = (
    b"X-Envelope-From: <alice@example.net>\r\nReceived: from a (a [192.0.2.7])\r\n\tby mx (Postfix) with ESMTP;\r\n"
)
HEADERS = (
    Header(b"Received", b" from home (home [198.51.100.1])\n\tby relay.example.net; Sun, 22 Nov 2026 09:00:00 +0000"),
    Header(b"Subject", b" Lab\n\tand more"),
    Header(b"X-Originating-IP", b" [198.51.100.1]"),
)
WHOLE = SpamScan("m", "", "500000", "whole")
WITHOUT_PATH = WHOLE._replace(view="without-path")


def message(*body: bytes, headers: Sequence[Header] = HEADERS, in_memory: int = 1 << 20) -> Content:
    content = Content(headers, in_memory=in_memory)
    for chunk in (*body, END):
        content.add(chunk)
    content.finish()
    content.received = RECEIVED
    return content


@asynccontextmanager
async def client_of(
    servers: Sequence[ScriptedScanner], content: Content | None = None, *, at_once: int = 4, deadline: float = 5.0
) -> AsyncIterator[Spamd]:
    client = Spamd([str(server.endpoint) for server in servers], at_once=at_once, deadline=deadline)
    client.hold("m", content or message())
    yield client
    client.close()


async def answer(client: Spamd, question: SpamScan | Scanner = WHOLE) -> Fact:
    facts = asked(client, question)
    await until(lambda: bool(facts))
    return facts[0]


def asked(client: Spamd, question: SpamScan | Scanner = WHOLE) -> list[Fact]:
    """Ask, and return the list that the answer will stand in."""
    facts: list[Fact] = []

    def deliver(answered: Question, fact: Fact) -> None:
        assert answered == question
        facts.append(fact)

    client.ask(question, deliver)
    return facts


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_score_comes_back_with_its_rules_and_where_it_is_from() -> None:
    before = time.time()
    async with scanners([reply(external="2001:DB8:0::7")], END) as servers, client_of(servers) as client:
        fact = await answer(client)
        assert fact.status is Status.PASS
        assert fact.source == str(servers[0].endpoint)
    assert before <= fact.at <= time.time()
    found = read_spam_score(fact.data)
    assert (found.score, found.last_external) == (496, "2001:db8::7")
    assert found.rules == (("RULE_B", "3.46"), ("RULE_A", "1.5"))


async def test_spamd_sees_the_message_whole_under_the_field_of_our_mta() -> None:
    content = message(b"Hello\r\n")
    async with scanners([reply()], END) as servers, client_of(servers, content) as client:
        await answer(client, WHOLE._replace(user="bob@example.org"))
        seen = RECEIVED + b"".join(content.chunks())
        head = b"REPORT SPAMC/1.5\r\nContent-length: %d\r\nUser: bob@example.org\r\n\r\n" % len(seen)
        assert bytes(servers[0].requests[0]) == head + seen


@pytest.mark.parametrize(
    "field",
    [
        Header(b"Received", b" from a\n\t(b [198.51.100.1])\n by c; Sun, 22 Nov 2026 09:00:00 +0000"),
        Header(b"rEcEiVeD", b" from a"),
        Header(b"Received \t", b" from a"),
        Header(b"X-ORIGINATING-IP", b" [198.51.100.1]"),
        Header(b"x-originating-ip  ", b"\n [198.51.100.1]"),
        Header(b"X-Yahoo-Post-IP", b" 198.51.100.1"),
        Header(b"X-Sender-IP", b" 198.51.100.1"),
        Header(b"X-Client-IP", b" 198.51.100.1"),
        Header(b"X-Received", b" by 198.51.100.1"),
        Header(b"X-MS-Exchange-CrossTenant-OriginalAttributedTenantConnectingIp", b" Ip=[198.51.100.1]"),
    ],
    ids=lambda field: repr(field.name),
)
async def test_the_other_view_lacks_every_field_of_the_claimed_path(field: Header) -> None:
    others = [Header(b"Subject", b" Lab\n\tand more"), Header(b"X-Receivedx", b" 1"), Header(b"Received-By", b" 2")]
    content = message(b"Received: from x\r\n", headers=[field, others[0], field, *others[1:], field])
    async with scanners([reply()], END) as servers, client_of(servers, content) as client:
        await answer(client, WITHOUT_PATH)
        seen = RECEIVED + b"".join(message(b"Received: from x\r\n", headers=others).chunks())
        head = b"REPORT SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(seen)
        assert bytes(servers[0].requests[0]) == head + seen


@pytest.mark.parametrize("value", [b" a\nReceived: from b", b" a\r\nReceived: from b", b" a\n\nReceived: from b"])
async def test_no_line_of_a_field_becomes_a_field_of_the_path(value: bytes) -> None:
    content = message(headers=[Header(b"Subject", value)])
    async with scanners([reply()], END) as servers, client_of(servers, content) as client:
        await answer(client, WITHOUT_PATH)
        head = bytes(servers[0].requests[0]).partition(RECEIVED)[2].partition(b"\r\n\r\n")[0]
        assert head.startswith(b"Subject: a\r\n ")
        assert head.endswith(b"\r\n Received: from b")


async def test_the_end_of_the_message_is_said_by_closing_our_half() -> None:
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.read(-1))  # up to the end, which only a half-close brings
        writer.write(reply())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        client = Spamd([f"inet:127.0.0.1:{server.sockets[0].getsockname()[1]}"], at_once=1, deadline=5)
        client.hold("m", message())
        assert (await answer(client)).status is Status.PASS
        client.close()
    assert requests[0].endswith(END)


@pytest.mark.parametrize("view", [WHOLE, WITHOUT_PATH])
async def test_a_body_that_is_kept_in_a_file_is_never_in_memory_whole(view: SpamScan) -> None:
    size = 16 << 20
    content = message(*[b"x" * (1 << 16)] * (size >> 16), in_memory=1 << 16)
    got = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        while piece := await reader.read(1 << 16):
            got += len(piece)
        writer.write(reply())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        client = Spamd([f"inet:127.0.0.1:{server.sockets[0].getsockname()[1]}"], at_once=1, deadline=30)
        client.hold("m", content)
        tracemalloc.start()
        fact = await answer(client, view._replace(at_most="99999999"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        client.close()
    assert fact.status is Status.PASS
    assert got > size
    assert peak < 2 << 20
    content.close()


async def test_what_is_asked_twice_is_scanned_once_and_each_view_and_user_once() -> None:
    async with scanners([HANG], END) as servers, client_of(servers) as client:
        twice = [asked(client), asked(client), asked(client, WHOLE._replace(at_most="600000"))]
        others = [asked(client, WITHOUT_PATH), asked(client, WHOLE._replace(user="bob"))]
        await until(lambda: len(servers[0].requests) == 3)
        client.drop("m")
        await until(lambda: all([*twice, *others]))
        assert [len(facts) for facts in (*twice, *others)] == [1] * 5
        assert len(servers[0].requests) == 3


async def test_a_message_over_the_size_is_not_sent() -> None:
    content = message()
    async with scanners([reply()], END) as servers, client_of(servers, content) as client:
        fact = await answer(client, WHOLE._replace(at_most=str(content.size - 1)))
        assert (fact.status, fact.data) == (Status.TEMPERROR, ("limit",))
        assert fact.why == f"too big to scan: {content.size} bytes of at most {content.size - 1}"
        assert not servers[0].requests
        assert (await answer(client, WHOLE._replace(at_most=str(content.size)))).status is Status.PASS


async def test_a_message_that_is_not_there_or_not_whole_is_unknown() -> None:
    cut = Content(HEADERS, truncated=True)
    closed = message()
    closed.close()
    async with scanners([reply()], END) as servers, client_of(servers) as client:
        client.hold("cut", cut)
        client.hold("closed", closed)
        client.drop("m")
        facts = [await answer(client, WHOLE._replace(content=name)) for name in ("m", "cut", "closed")]
    assert [fact.status for fact in facts] == [Status.TEMPERROR] * 3
    assert [fact.why for fact in facts] == ["the message is not there", "its header was cut", "closed"]
    assert facts[1].data == ("limit",)
    assert [time.time() - float(facts[at].data[1]) < 60 for at in (0, 2)] == [True, True]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        reply()[:-5],
        b"SPAMD/1.0 76 Bad header line: (Content-Length mismatch: Expected 5 bytes, got 4 bytes)\r\n",
        b"SPAMD/1.0 79 Timeout: (30 second socket timeout reading input from client)\r\n",
        reply(shown="nan"),
        reply("A=9.9"),
        b"x" * 200_000,
        b"garbage" + CUT,
        RESET,
        HANG,
    ],
    ids=lambda said: repr(said[:40]),
)
async def test_what_is_no_score_is_unknown_and_never_0(said: bytes) -> None:
    before = descriptors()
    async with scanners([said], END) as servers:
        async with client_of(servers, deadline=0.5) as client:
            fact = await answer(client)
            assert fact.status is Status.TEMPERROR
            assert fact.data[0] == "failing"
            assert time.time() - float(fact.data[1]) < 60
            assert str(servers[0].endpoint) in fact.why
        await until(lambda: servers[0].connections == 0)
    await until(lambda: descriptors() == before)


async def test_a_spamd_without_our_configuration_is_named_as_one() -> None:
    async with scanners([framed(b"Content preview: earmark\n\n")], END) as servers, client_of(servers) as client:
        fact = await answer(client)
        assert fact.status is Status.TEMPERROR
        assert fact.why.endswith("its site configuration lacks earmark.cf: see docs/spamassassin.md")


async def test_another_spamd_is_tried_where_one_fails() -> None:
    async with scanners([b"SPAMD/1.0 75 EX_TEMPFAIL\r\n", reply()], END) as servers, client_of(servers) as client:
        fact = await answer(client)
        assert (fact.status, fact.source) == (Status.PASS, str(servers[1].endpoint))


async def test_whether_it_answers_is_known_without_asking() -> None:
    async with scanners([reply()], END) as servers, client_of(servers, deadline=0.5) as client:

        def known() -> Fact:
            return asked(client, Scanner("spamassassin"))[0]

        assert known().status is Status.PASS
        await servers[0].stop()
        assert (await answer(client)).status is Status.TEMPERROR
        await until(lambda: known().status is Status.FAIL)
        assert time.time() - float(known().data[0]) < 60
        await servers[0].start()
        await until(lambda: known().status is Status.PASS)
        assert (await answer(client)).status is Status.PASS


async def test_a_dropped_message_is_broken_off_at_once() -> None:
    async with scanners([HANG], END) as servers, client_of(servers) as client:
        facts = asked(client)
        await until(lambda: len(servers[0].requests) == 1)
        client.drop("m")
        await until(lambda: bool(facts))
        assert (facts[0].status, facts[0].why) == (Status.TEMPERROR, "broken off")
        await until(lambda: servers[0].connections == 0)


async def test_a_closed_client_answers_who_still_waits() -> None:
    async with scanners([HANG], END) as servers, client_of(servers) as client:
        facts = asked(client)
        client.close()
        assert [fact.why for fact in facts] == ["closed"]


async def test_a_message_that_is_given_up_half_way_never_looks_whole() -> None:
    ends: list[str] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(6)).startswith(b"PING"):
            writer.write(b"SPAMD/1.5 0 PONG\r\n")
            writer.close()
            return
        begun.set()
        await go_on.wait()
        try:
            await reader.read(-1)
            ends.append("looks whole")
        except ConnectionResetError:
            ends.append("reset")
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        content = message(*[b"x" * 65536] * 320, in_memory=1)
        client = Spamd([f"inet:127.0.0.1:{server.sockets[0].getsockname()[1]}"], at_once=1, deadline=10)
        client.hold("m", content)
        facts = asked(client, WHOLE._replace(at_most="99999999"))
        await begun.wait()
        client.drop("m")
        content.close()
        await until(lambda: bool(facts))
        go_on.set()
        await until(lambda: bool(ends))
        client.close()
    assert ends == ["reset"]


async def test_a_message_whose_file_cannot_be_read_is_unknown() -> None:
    content = message(b"x" * 100, in_memory=1)
    async with scanners([reply()], END) as servers, client_of(servers, content) as client:
        facts = asked(client)
        content.close()
        await until(lambda: bool(facts))
        assert (facts[0].status, facts[0].why) == (Status.TEMPERROR, "closed")


async def test_an_answer_that_nobody_can_take_is_reported_and_the_others_get_theirs() -> None:
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))

    def broken(_: Question, __: Fact) -> None:
        raise RuntimeError

    async with scanners([reply()], END) as servers, client_of(servers) as client:
        client.ask(WHOLE, broken)
        assert (await answer(client)).status is Status.PASS
    assert reported == ["taking an answer about spam"]


def test_it_serves_on_the_workers_own_event_loop_and_by_a_unix_socket(tmp_path: Path) -> None:
    async def main() -> Fact:
        server = ScriptedScanner(reply(), END)
        await server.start(tmp_path / "s")
        async with client_of([server]) as client:
            fact = await answer(client)
        await server.stop()
        return fact

    assert uvloop.run(main()).source == f"unix:{tmp_path}/s"


@pytest.mark.parametrize(
    ("date", "shown"),
    [
        (b" Sat, 21 Nov 2026 09:00:00 +0100", b"Sat, 21 Nov 2026 08:00:00 +0000"),
        (b" Mon, 23 Nov 2026 09:00:00 +0000", b"Sun, 22 Nov 2026 09:00:00 +0000"),
        (b" yesterday", b"Sun, 22 Nov 2026 09:00:00 +0000"),
        (b" Sat, 21 Nov 99999999999 09:00:00", b"Sun, 22 Nov 2026 09:00:00 +0000"),
    ],
)
async def test_without_its_path_a_message_has_come_when_it_says_that_it_was_written(date: bytes, shown: bytes) -> None:
    """Else a message that has waited in a queue on its way would look as if it had lied about its date."""
    content = message(b"hello\r\n", headers=(*HEADERS, Header(b"Date", date)))
    content.received = RECEIVED.removesuffix(b"\r\n") + b"\r\n\tSun, 22 Nov 2026 09:00:00 +0000\r\n"
    async with scanners([reply()], END) as servers, client_of(servers, content) as client:
        await answer(client, WITHOUT_PATH)
        await answer(client, WHOLE)
        without_path, whole = (bytes(request) for request in servers[0].requests)
    assert b"with ESMTP;\r\n\t" + shown + b"\r\n" in without_path
    assert content.received in whole
