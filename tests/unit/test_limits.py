"""Servers that are asked over one connection a request: which one is asked, how long, and when it is asked again."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from earmark.clients.limits import Endpoint, UnansweredError, Upstream, message_key, unreadable
from earmark.content import Content
from earmark.core.evidence import Status
from earmark.core.mail import Header
from earmark.wire import RemoteError
from fakes.scanners import CUT, HANG, RESET, ScriptedScanner, scanners
from fakes.waiting import until

END = b"?\n"


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"well?\n")
    said = await reader.read()
    if not said:
        raise EOFError
    if not said.endswith(b"."):
        raise RemoteError(said.decode())
    return said


async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"zPING\0")
    if await reader.read() != b"PONG\0":
        raise RemoteError("no pong")


@asynccontextmanager
async def upstream_of(
    servers: Sequence[ScriptedScanner], *, at_once: int = 4, deadline: float = 5.0, restart: float = 0.0
) -> AsyncIterator[Upstream]:
    endpoints = [server.endpoint for server in servers]
    upstream = Upstream(endpoints, ping, at_once=at_once, deadline=deadline, restart=restart)
    yield upstream
    upstream.close()


async def fails(upstream: Upstream, key: str = "") -> UnansweredError:
    with pytest.raises(UnansweredError) as caught:
        await upstream.run(ask, key=key)
    return caught.value


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("unix:/run/clamav/clamd.ctl", Endpoint("/run/clamav/clamd.ctl")),
        ("inet:192.0.2.1:3310", Endpoint("192.0.2.1", 3310)),
        ("inet:scanner.example:3310", Endpoint("scanner.example", 3310)),
        ("inet:[2001:db8::1]:783", Endpoint("2001:db8::1", 783)),
    ],
)
def test_an_endpoint_is_written_as_postfix_spells_it(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize("text", ["", "unix:", "unix:run/x", "inet:3310", "inet:h:", "inet:h:0", "inet:h:65536", "h:1"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Endpoint.parse(text)


async def test_the_first_server_answers_over_tcp_and_over_a_unix_socket(tmp_path: Path) -> None:
    async with scanners([b"one.", b"two."], END) as servers:
        async with upstream_of(servers) as upstream:
            assert await upstream.run(ask) == (b"one.", servers[0].endpoint)
        await servers[1].stop()
        await servers[1].start(tmp_path / "socket")
        async with upstream_of(servers[1:]) as upstream:
            assert await upstream.run(ask) == (b"two.", Endpoint(str(tmp_path / "socket")))
            assert upstream.counts() == {"scans": 1, "unscanned": 0, "retried": 0, "failing_seconds": 0}


@pytest.mark.parametrize("bad", [RESET, CUT, b"half" + CUT, b"ERROR"], ids=["reset", "eof", "half", "error"])
async def test_what_one_server_fails_another_does(bad: bytes) -> None:
    async with scanners([bad, b"two."], END) as servers, upstream_of(servers) as upstream:
        assert await upstream.run(ask) == (b"two.", servers[1].endpoint)
        assert upstream.counts()["retried"] == 1
        assert upstream.failing_since is None


async def test_a_request_is_tried_twice_and_not_three_times() -> None:
    async with scanners([b"bad", b"bad", b"three."], END) as servers, upstream_of(servers) as upstream:
        error = await fails(upstream)
        assert [len(server.requests) for server in servers] == [1, 1, 0]
        assert error.why == f"{servers[0].endpoint}: bad; {servers[1].endpoint}: bad"


async def test_a_server_that_hangs_leaves_time_for_another_one() -> None:
    async with scanners([HANG, b"two."], END) as servers, upstream_of(servers, deadline=0.6) as upstream:
        assert await upstream.run(ask) == (b"two.", servers[1].endpoint)


async def test_a_request_fails_at_its_deadline_and_its_connection_is_closed() -> None:
    async with scanners([HANG], END) as servers, upstream_of(servers, deadline=0.2) as upstream:
        before = open_files()
        assert (await fails(upstream)).why == f"{servers[0].endpoint}: no answer in time"
        await until(lambda: len(servers[0].requests) == 1 and servers[0].connections == 1)  # that is the ping
        upstream.close()
        await until(lambda: servers[0].connections == 0)
        assert open_files() == before


async def test_a_request_that_is_given_up_closes_its_connection() -> None:
    async with scanners([HANG], END) as servers, upstream_of(servers) as upstream:
        task = asyncio.create_task(upstream.run(ask))
        await until(lambda: len(servers[0].requests) == 1)
        task.cancel()
        await until(lambda: servers[0].connections == 0)


async def test_no_more_requests_are_under_way_than_may_be() -> None:
    async with scanners([HANG], END) as servers, upstream_of(servers, at_once=3) as upstream:
        tasks = [asyncio.create_task(upstream.run(ask)) for _ in range(10)]
        await until(lambda: servers[0].connections == 3)
        servers[0].says = b"one."
        for task in tasks[:3]:
            task.cancel()
        answers = await asyncio.gather(*tasks[3:])
        assert {said for said, _ in answers} == {b"one."}
        assert servers[0].most_connections == 3


async def test_waiting_for_a_place_counts_towards_the_deadline() -> None:
    async with scanners([HANG], END) as servers, upstream_of(servers, at_once=1, deadline=0.3) as upstream:
        await asyncio.gather(fails(upstream), fails(upstream), fails(upstream))
        assert len(servers[0].requests) <= 2


async def test_while_all_are_down_nobody_waits() -> None:
    async with scanners([b"one.", b"two."], END) as servers, upstream_of(servers, deadline=60) as upstream:
        for server in servers:
            await server.stop()
        await fails(upstream)
        await until(lambda: upstream.failing_since is not None)
        errors = await asyncio.gather(*(fails(upstream) for _ in range(50)))
        assert {error.why for error in errors} == {
            f"{servers[0].endpoint}: Connection refused; {servers[1].endpoint}: Connection refused"
        }
        assert {round(error.since) for error in errors} == {round(upstream.failing_since or 0)}
        fact = upstream.fact("clamav")
        assert (fact.status, fact.data) == (Status.FAIL, (f"{upstream.failing_since or 0:.0f}",))
        assert upstream.counts()["unscanned"] == 51


async def test_a_server_that_is_back_is_used_again_within_5_seconds(tmp_path: Path) -> None:
    async with scanners([b"one."], END) as servers:
        await servers[0].stop()
        await servers[0].start(tmp_path / "socket")
        async with upstream_of(servers) as upstream:
            await servers[0].stop()  # and its file stays
            await fails(upstream)
            await until(lambda: upstream.failing_since is not None)
            (tmp_path / "socket").unlink()
            await servers[0].start()
            await until(lambda: upstream.failing_since is None, seconds=5)
            assert (await upstream.run(ask))[0] == b"one."
            assert upstream.fact("clamav").status is Status.PASS
            assert upstream.counts()["failing_seconds"] > 0


async def test_a_restart_costs_no_request() -> None:
    async with scanners([HANG], END) as servers, upstream_of(servers, at_once=2, deadline=60, restart=30) as upstream:
        running = [asyncio.create_task(upstream.run(ask)) for _ in range(4)]
        await until(lambda: len(servers[0].requests) == 2)
        await servers[0].stop()
        await until(lambda: upstream.failing_since is not None)
        late = asyncio.create_task(upstream.run(ask))
        await asyncio.sleep(0)
        servers[0].says = b"one."
        await servers[0].start()
        assert {said for said, _ in await asyncio.gather(*running, late)} == {b"one."}
        assert upstream.counts()["unscanned"] == 0


async def test_an_outage_that_lasts_longer_than_a_restart_is_not_waited_for() -> None:
    async with scanners([b"one."], END) as servers, upstream_of(servers, deadline=60, restart=0.2) as upstream:
        await servers[0].stop()
        error = await fails(upstream)
        assert error.why == f"{servers[0].endpoint}: Connection refused"
        assert upstream.failing_since is not None
        await fails(upstream)


async def test_a_request_that_its_server_cannot_take_is_no_restart() -> None:
    async with scanners([CUT], END) as servers, upstream_of(servers, deadline=60, restart=60) as upstream:
        assert (await fails(upstream)).why == f"{servers[0].endpoint}: closed without an answer"
        assert len(servers[0].requests) == 1


async def test_what_is_under_way_at_a_server_that_turns_out_to_be_down_is_broken_off() -> None:
    async with scanners([HANG], END) as servers, upstream_of(servers, deadline=60) as upstream:
        waiting = [asyncio.create_task(fails(upstream)) for _ in range(3)]
        await until(lambda: len(servers[0].requests) == 3)
        servers[0].says = RESET
        await fails(upstream)
        await until(lambda: all(task.done() for task in waiting))


async def test_who_comes_while_a_server_is_in_doubt_waits_for_what_it_says() -> None:
    async with scanners([CUT], END) as servers, upstream_of(servers) as upstream:
        await fails(upstream)
        servers[0].says = b"one."
        assert (await upstream.run(ask))[0] == b"one."
        assert servers[0].pings == 1


async def test_a_server_that_does_not_answer_the_ping_gets_no_request() -> None:
    async with scanners([CUT], END) as servers, upstream_of(servers, deadline=60) as upstream:
        await fails(upstream)
        servers[0].says = HANG
        await fails(upstream)
        assert (len(servers[0].requests), servers[0].pings) == (1, 1)


async def test_how_long_a_request_has_been_failing_is_remembered_by_its_key() -> None:
    async with scanners([CUT], END) as servers, upstream_of(servers) as upstream:
        first = await fails(upstream, "deadly")
        await until(lambda: time.time() > first.since + 0.2)
        again = await fails(upstream, "deadly")
        assert again.since == pytest.approx(first.since, abs=0.1)
        assert (await fails(upstream, "another")).since > first.since + 0.1
        servers[0].says = b"one."
        await upstream.run(ask, key="deadly")
        servers[0].says = CUT
        assert (await fails(upstream, "deadly")).since > first.since + 0.1


async def test_a_request_on_which_our_own_code_fails_is_reported_and_remembered_like_any_other() -> None:
    async def wrong(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise LookupError("a bug")

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    async with scanners([b"one."], END) as servers, upstream_of(servers) as upstream:
        since: list[float] = []
        for pause in (0.2, 0.0):
            with pytest.raises(UnansweredError, match="an error of our own") as caught:
                await upstream.run(wrong, key="odd")
            since.append(caught.value.since)
            await asyncio.sleep(pause)  # what is tested is that time which passes changes nothing
        assert since[1] == pytest.approx(since[0], abs=0.1)
        assert [str(error) for error in told] == ["a bug"] * 2
        assert await upstream.run(ask), "and it holds no place"


async def test_what_is_the_requests_own_fault_is_no_failure_of_the_server() -> None:
    async def too_large(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise UnansweredError("too large", limit=True)

    async with scanners([b"one.", b"two."], END) as servers, upstream_of(servers) as upstream:
        with pytest.raises(UnansweredError) as caught:
            await upstream.run(too_large)
        assert caught.value.fact("clamav")[:2] == (Status.TEMPERROR, ("limit",))
        assert upstream.counts() == {"scans": 0, "unscanned": 0, "retried": 0, "failing_seconds": 0}
        assert servers[0].pings == servers[1].pings == 0


async def test_a_message_that_was_not_answered_says_since_when() -> None:
    error = UnansweredError("closed\r\nX: y", since=1_700_000_000.4)
    fact = error.fact("clamav")
    assert (fact.status, fact.data, fact.why) == (Status.TEMPERROR, ("failing", "1700000000"), "closed??X: y")
    assert fact.source == "clamav"


def test_a_message_that_cannot_be_read_is_beyond_a_limit_where_it_always_will_be() -> None:
    large = Content([], at_most=10)
    large.add(b"12345678901")
    cut = Content([], truncated=True)
    closed = Content([])
    closed.close()
    errors = [unreadable(content) for content in (large, cut, closed)]
    assert [(error.why, error.limit) for error in errors] == [
        ("larger than 10 bytes", True),
        ("its header was cut", True),
        ("closed", False),
    ]


def test_a_message_that_comes_again_is_known_whatever_was_written_on_top_of_it() -> None:
    sent = [Header(b"From", b" a@example.org"), Header(b"Message-ID", b" <1@example.org>"), Header(b"X-A", b" b")]
    again = [Header(b"Received", b" from relay.example"), Header(b"from", b" a@example.org"), *sent[1:]]
    other = [Header(b"From", b" a@example.org"), Header(b"Message-ID", b" <2@example.org>")]
    bare = [Header(b"Subject", b" x")]
    keys = [message_key(Content(headers)) for headers in (sent, again, other, bare, [])]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_it_serves_on_the_workers_own_event_loop() -> None:
    async def main() -> None:
        async with scanners([RESET, b"two."], END) as servers, upstream_of(servers) as upstream:
            assert (await upstream.run(ask))[0] == b"two."

    uvloop.run(main())
