"""The client of clamd, against small servers that say what clamd may say, and what it never should."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from earmark.clients.clamd import Clamd
from earmark.content import Content
from earmark.core.evidence import Fact, Question, Scanner, Status, VirusScan
from earmark.core.mail import Header
from earmark.wire.clamd import ON_TOP
from fakes.scanners import CUT, HANG, RESET, STALL, ScriptedScanner, scanners
from fakes.waiting import until

END = bytes(4)
OK = b"stream: OK\0"
TOO_LONG = b"INSTREAM size limit exceeded. ERROR\0"
HEADERS = [Header(b"From", b" a@example.org"), Header(b"Subject", b" x\n\ty")]
HEADER = b"From: a@example.org\r\nSubject: x\r\n\ty\r\n\r\n"
LARGE = "100000000"

Runner = Callable[[Coroutine[Any, Any, None]], None]
both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


class Asked:
    """A client that holds one message, and what it has answered."""

    def __init__(self, clamd: Clamd, content: Content) -> None:
        self.clamd = clamd
        self.content = content
        self.answers: list[tuple[Question, Fact]] = []
        clamd.hold("T", content)

    def ask(self, at_most: str = LARGE) -> None:
        self.clamd.ask(VirusScan("T", at_most), lambda question, fact: self.answers.append((question, fact)))

    async def fact(self) -> Fact:
        await until(lambda: bool(self.answers))
        return self.answers[-1][1]

    async def scan(self, at_most: str = LARGE) -> Fact:
        self.ask(at_most)
        return await self.fact()


@asynccontextmanager
async def asked_of(
    servers: Sequence[ScriptedScanner], body: bytes = b"text\r\n", *, whole: bool = True, deadline: float = 5.0
) -> AsyncIterator[Asked]:
    content = Content(HEADERS)
    for at in range(0, len(body), 65535):
        content.add(body[at : at + 65535])
    if whole:
        content.finish()
    clamd = Clamd([str(server.endpoint) for server in servers], at_once=4, deadline=deadline)
    yield Asked(clamd, content)
    clamd.close()
    content.close()


def unchunked(request: bytearray) -> bytes:
    """The message that came to the server, without the line that is sent on top of each."""
    stream = bytes(request).removeprefix(b"zINSTREAM\0")
    message = b""
    while size := int.from_bytes(stream[:4], "big"):
        message += stream[4 : 4 + size]
        stream = stream[4 + size :]
    assert message.startswith(ON_TOP)
    return message.removeprefix(ON_TOP)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_the_raw_message_is_sent_header_and_all_and_what_is_clean_is_none() -> None:
    body = b"\x00\xff.\r\n" * 60_000
    async with scanners([OK], END) as servers, asked_of(servers, body) as asked:
        before = time.time()
        fact = await asked.scan()
        assert fact[:2] == (Status.NONE, ())
        assert fact.source == str(servers[0].endpoint)
        assert before <= fact.at <= time.time()
        assert unchunked(servers[0].requests[0]) == HEADER + body


async def test_the_body_is_sent_while_it_still_comes_in() -> None:
    async with scanners([b"stream: Eicar FOUND\0"], END) as servers, asked_of(servers, whole=False) as asked:
        asked.ask()
        await until(lambda: bool(servers[0].requests) and servers[0].requests[0].endswith(b"text\r\n"))
        asked.content.add(b"more\r\n")
        await until(lambda: servers[0].requests[0].endswith(b"more\r\n"))
        assert not asked.answers
        asked.content.finish()
        assert (await asked.fact())[:2] == (Status.FAIL, ("Eicar",))
        assert unchunked(servers[0].requests[0]) == HEADER + b"text\r\nmore\r\n"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"stream: Can't open file ERROR\0", "stream: Can't open file ERROR"),
        (b"COMMAND READ TIMED OUT\n", "COMMAND READ TIMED OUT"),
        (b"UNKNOWN COMMAND\0", "UNKNOWN COMMAND"),
        (b"stream: O", "half an answer: stream: O"),
        (b"stream: FOUND\0", "FOUND without a name"),
        (b"stream: OK\0stream: OK\0", "not one line: stream: OK?stream: OK?"),
        (b"x" * 1_000_000, "an answer of more than 4096 bytes"),
        (b"\x00\xffHTTP/1.1 200 OK\r\n\r\n", "half an answer: ?\\xffHTTP/1.1 200 OK????"),
        (CUT, "closed without an answer"),
        (b"stream: O" + CUT, "half an answer: stream: O"),
        (RESET, "Connection reset by peer"),
    ],
    ids=lambda value: repr(value)[:24],
)
async def test_what_is_no_result_is_unknown_and_never_clean(said: bytes, why: str) -> None:
    async with scanners([said], END) as servers, asked_of(servers) as asked:
        fact = await asked.scan()
        assert (fact.status, fact.data[0], fact.source) == (Status.TEMPERROR, "failing", "clamav")
        assert abs(float(fact.data[1]) - time.time()) < 5
        if said != RESET:  # where the moment of the reset decides between two words for it
            assert fact.why == f"{servers[0].endpoint}: {why}"


async def test_what_is_said_to_be_clean_before_it_was_sent_whole_is_not_believed() -> None:
    async with scanners([OK + CUT], END) as servers, asked_of(servers, whole=False) as asked:
        asked.ask()
        await until(lambda: bool(servers[0].requests) and not servers[0].connections)
        servers[0].says = b"stream: Eicar FOUND\0"
        asked.content.add(b"a virus\r\n")
        asked.content.finish()
        assert (await asked.fact())[:2] == (Status.FAIL, ("Eicar",))
        assert unchunked(servers[0].requests[-1]).endswith(b"a virus\r\n")


async def test_what_failed_while_a_message_came_in_is_tried_again_when_it_is_whole() -> None:
    async with scanners([CUT], END) as servers, asked_of(servers, whole=False) as asked:
        asked.ask()
        await until(lambda: bool(servers[0].requests) and not servers[0].connections)
        servers[0].says = OK
        asked.content.add(b"more\r\n")
        await until(lambda: servers[0].pings > 0)
        assert not asked.answers
        asked.content.finish()
        assert (await asked.fact()).status is Status.NONE
        assert asked.clamd.counts()["unscanned"] == 0
        assert unchunked(servers[0].requests[-1]) == HEADER + b"text\r\nmore\r\n"


async def test_a_sender_that_takes_longer_than_a_scan_may_is_no_failure_of_clamds() -> None:
    async with scanners([OK], END) as servers, asked_of(servers, whole=False, deadline=0.4) as asked:
        asked.ask()
        await until(lambda: bool(servers[0].requests))
        await until(lambda: not servers[0].connections)
        asked.content.add(b"late\r\n")
        asked.content.finish()
        assert (await asked.fact()).status is Status.NONE
        assert unchunked(servers[0].requests[1]) == HEADER + b"text\r\nlate\r\n"
        assert (servers[0].pings, asked.clamd.counts()["unscanned"]) == (0, 0)


async def test_a_message_whose_sender_gives_up_slowly_is_not_scanned_again() -> None:
    async with scanners([OK], END) as servers, asked_of(servers, whole=False, deadline=0.4) as asked:
        asked.ask()
        await until(lambda: bool(servers[0].requests))
        await until(lambda: not servers[0].connections)
        asked.content.close()
        assert (await asked.fact()).status is Status.TEMPERROR
        assert len(servers[0].requests) == 1


@pytest.mark.parametrize(
    "said", [RESET, CUT, b"stream: X ERROR\0", b"stream: O"], ids=["reset", "eof", "error", "half"]
)
async def test_after_a_failure_the_message_is_sent_to_another_clamd_from_its_beginning(said: bytes) -> None:
    async with scanners([said, OK], END) as servers, asked_of(servers, whole=False) as asked:
        asked.ask()
        if said not in (RESET, CUT):
            asked.content.add(b"more\r\n")
        asked.content.finish()
        fact = await asked.fact()
        assert (fact.status, fact.source) == (Status.NONE, str(servers[1].endpoint))
        assert unchunked(servers[1].requests[0]) == HEADER + b"".join(asked.content.body())


@pytest.mark.parametrize(
    "said", [TOO_LONG, b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0"], ids=["long", "name"]
)
async def test_beyond_clamds_limits_is_neither_a_virus_nor_clean_and_no_other_is_asked(said: bytes) -> None:
    async with scanners([said, OK], END) as servers, asked_of(servers) as asked:
        fact = await asked.scan()
        assert fact[:2] == (Status.TEMPERROR, ("limit",))
        assert "limit exceeded" in fact.why or "MaxFileSize" in fact.why
        assert not servers[1].requests


@both_loops
def test_the_answer_to_a_stream_that_is_too_long_is_read_while_much_is_still_to_be_sent(
    run: Runner, tmp_path: Path
) -> None:
    async def main() -> None:
        async with scanners([TOO_LONG + CUT, TOO_LONG + CUT], END) as servers:
            await servers[1].stop()
            await servers[1].start(tmp_path / "socket")
            for server in [*servers] * 10:
                async with asked_of([server], b"x" * 3_000_000) as asked:
                    assert (await asked.scan())[:2] == (Status.TEMPERROR, ("limit",))

    run(main())


@both_loops
def test_the_answer_is_read_that_came_unseen_before_sending_failed(run: Runner, tmp_path: Path) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "socket"))
            listener.listen()
            listener.setblocking(False)
            clamd = Clamd([f"unix:{tmp_path}/socket"], at_once=1, deadline=5)
            asked = Asked(clamd, Content(HEADERS))
            asked.ask()
            loop = asyncio.get_running_loop()
            connection, _ = await loop.sock_accept(listener)
            received = b""
            while not received.endswith(HEADER):
                received += await loop.sock_recv(connection, 4096)
            connection.sendall(TOO_LONG)
            connection.close()
            asked.content.add(b"x")  # and the event loop has had no chance to look at the connection
            asked.content.finish()
            assert (await asked.fact())[:2] == (Status.TEMPERROR, ("limit",))
            clamd.close()

    run(main())


async def test_a_message_that_is_larger_than_is_asked_for_is_not_sent() -> None:
    async with scanners([OK], END) as servers, asked_of(servers, b"x" * 1000) as asked:
        fact = await asked.scan("1000")
        assert (fact[:2], fact.why) == ((Status.TEMPERROR, ("limit",)), "larger than 1000 bytes")
        assert not servers[0].connections


async def test_a_message_of_exactly_the_size_that_is_asked_for_is_sent() -> None:
    async with scanners([OK], END) as servers, asked_of(servers, b"x" * 1000) as asked:
        size = len(HEADER) + 1000
        assert (await asked.scan(str(size)))[0] is Status.NONE
        assert (await asked.scan(str(size - 1)))[:2] == (Status.TEMPERROR, ("limit",))


async def test_a_message_that_becomes_too_large_is_given_up_at_once() -> None:
    async with scanners([OK], END) as servers, asked_of(servers, whole=False) as asked:
        asked.ask("1000")
        asked.ask("2000")
        await until(lambda: servers[0].connections == 1)
        asked.content.add(b"x" * 1000)
        await until(lambda: len(asked.answers) == 1)
        assert asked.answers[0][0] == VirusScan("T", "1000")
        assert servers[0].connections == 1  # the other one still waits
        asked.content.add(b"x" * 1000)
        assert (await asked.fact())[:2] == (Status.TEMPERROR, ("limit",))
        await until(lambda: servers[0].connections == 0)
        asked.content.finish()
        assert len(asked.answers) == 2
        asked.answers.clear()
        assert (await asked.scan())[0] is Status.NONE  # whoever allows more has it sent again
        assert [fact.status for _, fact in asked.answers] == [Status.NONE]


async def test_a_message_is_sent_once_however_often_it_is_asked_about() -> None:
    async with scanners([OK], END) as servers, asked_of(servers) as asked:
        for at_most in (LARGE, LARGE, "5000"):
            asked.ask(at_most)
        await until(lambda: len(asked.answers) == 3)
        asked.ask("6000")
        assert [fact.status for _, fact in asked.answers] == [Status.NONE] * 4
        assert [question for question, _ in asked.answers] == [
            VirusScan("T", at_most) for at_most in (LARGE, LARGE, "5000", "6000")
        ]
        assert len(servers[0].requests) == 1


async def test_what_was_given_up_before_is_beyond_a_limit_or_failing() -> None:
    async with scanners([OK], END) as servers:
        for content, data in (
            (Content(HEADERS, truncated=True), "limit"),
            (Content(HEADERS, at_most=10), "limit"),
            (Content(HEADERS), "failing"),
        ):
            content.add(b"x")
            if data == "failing":
                content.close()
            async with asked_of(servers) as asked:
                asked.clamd.hold("T", content)
                fact = await asked.scan()
                assert (fact.status, fact.data[0], fact.why) == (Status.TEMPERROR, data, content.why)
        assert not servers[0].requests


async def test_a_message_that_is_given_up_meanwhile_is_not_taken_for_its_first_part() -> None:
    async with scanners([OK], END) as servers, asked_of(servers, whole=False) as asked:
        asked.ask()
        await until(lambda: servers[0].connections == 1)
        asked.content.close()
        assert (await asked.fact())[0] is Status.TEMPERROR
        await until(lambda: servers[0].connections == 0)
        assert not servers[0].requests[0].endswith(END)


@both_loops
def test_a_message_that_is_dropped_ends_its_scan_and_closes_the_connection(run: Runner) -> None:
    async def main() -> None:
        async with scanners([HANG], END) as servers:
            for number in (0, 1, 3_000_000):
                async with asked_of(servers, b"x" * number) as asked:
                    before = open_files()
                    asked.ask()
                    await until(lambda: servers[0].connections == 1)
                    asked.clamd.drop("T")
                    fact = await asked.fact()
                    assert (fact.status, fact.data[0], fact.why) == (Status.TEMPERROR, "failing", "broken off")
                    await until(lambda: servers[0].connections == 0)
                    assert open_files() <= before
                    asked.answers.clear()
                    assert (await asked.scan()).why == "the message is not there"

    run(main())


async def test_a_message_that_is_dropped_before_its_scan_has_begun_is_answered_all_the_same() -> None:
    async with scanners([OK], END) as servers, asked_of(servers) as asked:
        asked.ask()
        asked.clamd.drop("T")
        assert (await asked.fact()).status is Status.TEMPERROR
        assert not servers[0].requests


async def test_closing_the_client_answers_all_who_wait() -> None:
    async with scanners([HANG], END) as servers, asked_of(servers) as asked:
        asked.ask()
        asked.ask()
        await until(lambda: servers[0].connections == 1)
        asked.clamd.close()
        await until(lambda: len(asked.answers) == 2)
        await until(lambda: servers[0].connections == 0)


@pytest.mark.parametrize("said", [HANG, STALL])
async def test_a_clamd_that_hangs_costs_the_deadline_and_no_descriptor(said: bytes) -> None:
    async with scanners([said], END) as servers, asked_of(servers, b"x" * 9_000_000, deadline=0.3) as asked:
        before = open_files()
        fact = await asked.scan()
        assert (fact.status, fact.why) == (Status.TEMPERROR, f"{servers[0].endpoint}: no answer in time")
        asked.clamd.close()
        await until(lambda: open_files() <= before + 1)  # the server's end, where it does not even read


async def test_a_clamd_that_drips_costs_the_deadline_and_no_more() -> None:
    async with scanners([OK], END) as servers, asked_of(servers, deadline=0.3) as asked:
        servers[0].drip = 0.05
        assert (await asked.scan()).why == f"{servers[0].endpoint}: no answer in time"


async def test_whether_the_scanner_answers_is_known_without_waiting() -> None:
    async with scanners([OK], END) as servers, asked_of(servers) as asked:
        told: list[Fact] = []

        def ask() -> Fact:
            asked.clamd.ask(Scanner("clamav"), lambda _, fact: told.append(fact))
            return told[-1]

        assert ask().status is Status.PASS
        await servers[0].stop()
        failed = await asked.scan()
        await until(lambda: ask().status is Status.FAIL)
        assert told[-1].data == failed.data[1:]
        assert asked.clamd.counts()["unscanned"] == 1
        await servers[0].start()
        await until(lambda: ask().status is Status.PASS, seconds=5)


async def test_an_asker_that_fails_does_not_take_the_others_answers_away() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail(_question: Question, _fact: Fact) -> None:
        raise ZeroDivisionError

    async with scanners([OK], END) as servers, asked_of(servers) as asked:
        asked.clamd.ask(VirusScan("T", LARGE), fail)
        assert (await asked.scan()).status is Status.NONE
        assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]
