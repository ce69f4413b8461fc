import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from earmark.clients.dns import Resolver
from earmark.core.evidence import Fact, Status
from earmark.core.text import printable
from fakes.dnsd import Dnsd, dnsd
from fakes.waiting import until

Runner = Callable[[Coroutine[Any, Any, None]], None]
both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@contextlib.asynccontextmanager
async def resolving(
    text: str = "", *, tcp: bool = True, cache_size: int = 1000
) -> AsyncIterator[tuple[Dnsd, Resolver]]:
    async with dnsd(text, tcp=tcp) as server:
        resolver = Resolver([server.address], cache_size=cache_size)
        try:
            async with asyncio.timeout(30):
                yield server, resolver
        finally:
            resolver.close()


async def ask(fault: str, *, rtype: str = "A", give_up: float = 2.0, tcp: bool = True) -> Fact:
    async with resolving(tcp=tcp) as (_, resolver):
        return await resolver.get(f"2.0.0.127.{fault}.fault.test", rtype, give_up=give_up)


@both_loops
def test_an_answer_carries_data_ttl_time_and_resolver(run: Runner) -> None:
    async def main() -> None:
        async with resolving("2.0.0.127.zen.example. A 127.0.0.2") as (server, resolver):
            fact = await resolver.get("2.0.0.127.ZEN.example.", "A")
            assert (fact.status, fact.data, fact.ttl) == (Status.PASS, ("127.0.0.2",), 300)
            assert fact.source == server.address
            assert fact.at > 1e9

    run(main())


async def test_records_of_all_types_come_as_plain_text() -> None:
    text = """
    host.example. A 192.0.2.7
    host.example. AAAA 2001:DB8:0:0::7
    example. MX 10 MAIL.example.
    null.example. MX 0 .
    7.2.0.192.in-addr.arpa. PTR Host.Example.
    example. TXT "v=spf1 " "-all"
    """
    wanted = [
        ("host.example", "A", ("192.0.2.7",)),
        ("host.example", "AAAA", ("2001:db8::7",)),
        ("example", "MX", ("10 mail.example",)),
        ("null.example", "MX", ("0 .",)),
        ("7.2.0.192.in-addr.arpa", "PTR", ("host.example",)),
        ("example", "TXT", ("v=spf1 -all",)),
    ]
    async with resolving(text) as (_, resolver):
        for name, rtype, data in wanted:
            assert (await resolver.get(name, rtype)).data == data


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("servfail", "SERVFAIL"),
        ("refused", "REFUSED"),
        ("formerr", "FORMERR"),
        ("cnameloop", "CNAME loop"),
        ("referral", "referral: the resolver does not look names up for us"),
    ],
)
async def test_an_error_is_unknown_and_remembered_for_seconds(fault: str, why: str) -> None:
    async with resolving() as (server, resolver):
        fact = await resolver.get(f"x.{fault}.fault.test", "A")
        asked = len(server.queries)
        again = await resolver.get(f"x.{fault}.fault.test", "A")
        assert (fact.status, fact.why, fact.ttl) == (Status.TEMPERROR, why, 5)
        assert again == fact
        assert len(server.queries) == asked


@pytest.mark.parametrize(
    ("fault", "why", "ttl"),
    [
        ("nx", "NXDOMAIN", 60),
        ("nodata", "NODATA", 60),
        ("nxsoa", "NXDOMAIN", 120),
        ("nodatasoa", "NODATA", 100),
        ("cnamenowhere", "NXDOMAIN", 300),
    ],
)
async def test_a_negative_answer_is_remembered_as_long_as_its_soa_says(fault: str, why: str, ttl: int) -> None:
    fact = await ask(fault)
    assert (fact.status, fact.why, fact.ttl) == (Status.NONE, why, ttl)


@pytest.mark.parametrize(("fault", "ttl"), [("ttl0", 60), ("ttl31", 3600), ("ttlhuge", 60), ("cname", 90)])
async def test_ttls_are_kept_between_a_minute_and_an_hour(fault: str, ttl: int) -> None:
    fact = await ask(fault)
    assert (fact.status, fact.data, fact.ttl) == (Status.PASS, ("127.0.0.2",), ttl)


async def test_many_records_are_all_read() -> None:
    assert len((await ask("many")).data) == 78


@pytest.mark.parametrize(
    "fault",
    [
        "timeout", "wrongid", "wrongport", "wrongq", "notresponse", "garbage", "garbageid", "short", "empty", "ptrloop",
        "rdlen",
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_ignored_until_time_is_up(fault: str) -> None:
    fact = await ask(fault, give_up=0.2)
    assert (fact.status, fact.why, fact.data) == (Status.TEMPERROR, "timeout", ())


@pytest.mark.parametrize("fault", ["wrongidthennx", "wrongportthennx"])
async def test_a_forged_answer_is_ignored_and_the_true_one_taken(fault: str) -> None:
    assert (await ask(fault)).why == "NXDOMAIN"


async def test_a_flood_of_forged_answers_lists_nobody() -> None:
    assert (await ask("flood", give_up=1.0)).status in {Status.NONE, Status.TEMPERROR}


async def test_a_late_answer_is_neither_taken_nor_remembered() -> None:
    async with resolving() as (server, resolver):
        late = await resolver.get("x.late.fault.test", "A", give_up=0.1)
        server.queries.clear()
        await resolver.get("x.slow.fault.test", "A")  # its answer comes after the late one
        again = await resolver.get("x.late.fault.test", "A", give_up=0.1)
        assert (late.why, again.why) == ("timeout", "timeout")
        assert server.count("late") == 1


async def test_a_lost_query_is_sent_again() -> None:
    async with resolving() as (server, resolver):
        fact = await resolver.get("x.lossy.fault.test", "A")
        first, second = server.queries
        assert fact.data == ("127.0.0.2",)
        assert first.number != second.number


async def test_a_look_up_that_took_two_tries_leaves_nothing_behind() -> None:
    async with resolving() as (_, resolver):
        assert (await resolver.get("x.lossy.fault.test", "A")).status is Status.PASS
        sent_by = resolver._servers[0]._present
        assert sent_by is not None
        assert not sent_by.waiting


async def test_a_resolver_that_fears_edns_is_asked_without() -> None:
    async with resolving() as (server, resolver):
        assert (await resolver.get("x.formerredns.fault.test", "A")).data == ("127.0.0.2",)
        assert len(server.queries) == 2


async def test_a_truncated_answer_comes_again_by_tcp() -> None:
    async with resolving() as (server, resolver):
        fact = await resolver.get("x.big.fault.test", "A")
        assert fact.data == ("127.0.0.2",)
        assert [query.over_tcp for query in server.queries] == [False, True]


async def test_a_truncated_answer_without_tcp_is_unknown_at_once() -> None:
    fact = await ask("trunc", tcp=False, give_up=60)
    assert (fact.status, fact.why) == (Status.TEMPERROR, "truncated; ConnectionRefusedError by TCP")


async def test_a_truncated_answer_whose_tcp_is_closed_without_a_word_is_unknown() -> None:
    fact = await ask("trunc", give_up=60)
    assert (fact.status, fact.why) == (Status.TEMPERROR, "truncated; IncompleteReadError by TCP")


async def test_text_that_could_break_lines_stays_data_and_leaves_printable() -> None:
    async with resolving('x.example. TXT "a\\013\\010b %s $x <b>\\255"') as (_, resolver):
        (text,) = (await resolver.get("x.example", "TXT")).data
        assert text.startswith("a\r\nb")
        assert text.endswith("\xff")
        assert printable(text) == "a??b %s $x <b>?"


async def test_what_many_ask_at_once_is_asked_once() -> None:
    async with resolving() as (server, resolver):
        facts = await asyncio.gather(*(resolver.get("x.slow.fault.test", "A") for _ in range(50)))
        assert {fact.why for fact in facts} == {"NXDOMAIN"}
        assert len(server.queries) == 1


async def test_each_waits_only_as_long_as_it_wants() -> None:
    async with resolving() as (server, resolver):
        short, long = await asyncio.gather(
            resolver.get("x.slow.fault.test", "A", give_up=0.1), resolver.get("x.slow.fault.test", "A", give_up=5)
        )
        assert (short.why, long.why) == ("timeout", "NXDOMAIN")
        assert len(server.queries) == 1


async def test_a_remembered_answer_is_given_at_once_and_unchanged() -> None:
    async with resolving() as (server, resolver):
        learnt = await resolver.get("x.ok.fault.test", "A")
        given: list[Fact] = []
        resolver.lookup("x.ok.fault.test", "A", given.append)
        assert given == [learnt]
        assert len(server.queries) == 1


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", f"{'a' * 64}.example", "a." * 127 + "a", "a b.example", "ä.example", "x\r\n"]
)
async def test_what_is_no_domain_name_is_never_asked(name: str) -> None:
    async with resolving("*. A 127.0.0.2") as (server, resolver):
        fact = await resolver.get(name, "A")
        assert (fact.status, fact.why) == (Status.NONE, "not a domain name")
        assert not server.queries


async def test_one_waiter_that_fails_harms_no_other() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    failure = RuntimeError("ours")

    def fail(_: Fact) -> None:
        raise failure

    async with resolving() as (_, resolver):
        resolver.lookup("x.ok.fault.test", "A", fail)
        assert (await resolver.get("x.ok.fault.test", "A")).status is Status.PASS
    assert reported == [failure]


async def test_ids_and_ports_are_hard_to_guess() -> None:
    async with resolving("*. A 127.0.0.2") as (server, resolver):
        for start in range(0, 1000, 50):
            await asyncio.gather(*(resolver.get(f"n{start + step}.example", "A") for step in range(50)))
        assert len({query.number for query in server.queries}) > 950
        assert len({query.port for query in server.queries}) >= 15
        steps = {
            after.number - before.number for before, after in zip(server.queries, server.queries[1:], strict=False)
        }
        assert len(steps) > 900


async def test_memory_and_sockets_stay_bounded() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with dnsd("*. A 127.0.0.2") as server:
        before = open_files()
        resolver = Resolver([server.address], cache_size=50)
        for start in range(0, 2000, 100):
            await asyncio.gather(*(resolver.get(f"n{start + step}.example", "A") for step in range(100)))
        assert 25 <= len(resolver._cache) <= 50
        assert not resolver._open
        await until(lambda: open_files() <= before + 4)
        resolver.close()
        assert open_files() == before


async def test_too_many_look_ups_under_way_are_unknown_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = Resolver([f"127.0.0.1:{silent.getsockname()[1]}"])
        facts: list[Fact] = []
        for number in range(20_001):
            resolver.lookup(f"n{number}.example", "A", facts.append, give_up=60)
        assert [fact.why for fact in facts] == ["too many look-ups under way"]
        resolver.close()
        assert len(facts) == 20_001


async def test_a_waiter_may_close_the_resolver_that_calls_it() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with resolving("*. A 127.0.0.2") as (_, resolver):
        over = asyncio.Event()

        def close(_: Fact) -> None:
            resolver.close()
            over.set()

        for number in range(40):
            resolver.lookup(f"n{number}.example", "A", close)
        async with asyncio.timeout(5):
            await over.wait()
        assert not resolver._open
    assert not reported


async def test_closing_tells_all_who_wait() -> None:
    async with resolving() as (_, resolver):
        waiting = asyncio.gather(resolver.get("x.timeout.fault.test", "A"), resolver.get("x.big.fault.test", "A"))
        await asyncio.sleep(0)
        resolver.close()
        assert {fact.why for fact in await waiting} == {"closed"}
        assert (await resolver.get("x.ok.fault.test", "A")).why == "closed"


async def test_twenty_slow_lists_take_the_time_of_one() -> None:
    async with resolving() as (_, resolver):
        facts = await asyncio.gather(
            *(resolver.get(f"x{number}.slow.fault.test", "A", give_up=2.0) for number in range(20))
        )
        assert {fact.why for fact in facts} == {"NXDOMAIN"}  # one after the other would take 6 s
