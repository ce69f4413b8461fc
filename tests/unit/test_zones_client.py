import asyncio

import pytest

from earmark.clients.dns import Resolver
from earmark.clients.health import Health
from earmark.clients.offline import ZoneFile
from earmark.clients.zones import FAILURES_AT_MOST, Zones
from earmark.core.canaries import Condition, State
from earmark.core.evidence import DomainListing, Fact, Listing, Points, Question, Status
from earmark.core.zones import Code, Zone, ZoneKind
from fakes.dnsd import dnsd

LISTED = Code("LISTED", 0x7F000002, 0x7F000004, 0xFFFFFFFF, Points(400), "listed", "address", deep=True)


def zone(name: str, kind: ZoneKind = ZoneKind.BLOCK, *, timeout: float = 2.0) -> Zone:
    return Zone(name, "owner", kind, (LISTED,), ipv6=True, timeout=timeout)


async def ask(zones: Zones, question: Listing | DomainListing) -> Fact:
    future: asyncio.Future[tuple[Question, Fact]] = asyncio.get_running_loop().create_future()
    zones.ask(question, lambda *answer: future.set_result(answer))
    asked, fact = await future
    assert asked == question
    return fact


async def answer_of(fault: str, *, timeout: float = 2.0) -> Fact:  # noqa: ASYNC109 - the zone's
    name = f"{fault}.fault.test"
    async with dnsd() as server:
        resolver = Resolver([server.address])
        try:
            return await ask(Zones(resolver, [zone(name, timeout=timeout)]), Listing(name, "192.0.2.7"))
        finally:
            resolver.close()


@pytest.mark.parametrize(
    ("fault", "status", "data"),
    [
        ("ok", Status.FAIL, ("127.0.0.2",)),
        ("many", Status.FAIL, ("127.0.0.2", "127.0.0.3", "127.0.0.4")),
        ("oddandlisted", Status.FAIL, ("127.0.0.2",)),
        ("nx", Status.NONE, ()),
        ("nodata", Status.NONE, ()),
        ("cnamenowhere", Status.NONE, ()),
    ],
)
async def test_a_listing_is_what_the_code_book_knows(fault: str, status: Status, data: tuple[str, ...]) -> None:
    fact = await answer_of(fault)
    assert (fact.status, fact.data) == (status, data)
    assert fact.ttl >= 60
    assert fact.source.startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("err252", "error code 127.255.255.252"),
        ("err254", "error code 127.255.255.254"),
        ("err255", "error code 127.255.255.255"),
        ("one", "code 127.0.0.1 is not in the code book"),
        ("pub", "answer 203.0.113.250 is outside 127.0.0.0/8"),
        ("odd", "answer 0.0.0.0 is outside 127.0.0.0/8"),
        ("servfail", "SERVFAIL"),
        ("cnameloop", "CNAME loop"),
    ],
)
async def test_an_error_of_a_list_is_no_listing_and_says_why(fault: str, why: str) -> None:
    fact = await answer_of(fault)
    assert (fact.status, fact.data) == (Status.TEMPERROR, ())
    assert fact.why.startswith(why)


async def test_a_list_is_waited_for_as_long_as_its_own_timeout() -> None:
    fact = await answer_of("slow", timeout=0.1)
    assert (fact.status, fact.why) == (Status.TEMPERROR, "timeout")


async def test_an_allow_list_says_pass() -> None:
    zones = Zones(ZoneFile.parse("7.2.0.192.allow.example. A 127.0.0.3"), [zone("allow.example", ZoneKind.ALLOW)])
    assert (await ask(zones, Listing("allow.example", "192.0.2.7"))).status is Status.PASS


async def test_an_ipv6_address_is_asked_by_nibbles() -> None:
    nibbles = ".".join(reversed("20010db8" + "0" * 23 + "7"))
    zones = Zones(ZoneFile.parse(f"{nibbles}.bl.example. A 127.0.0.2"), [zone("bl.example")])
    assert (await ask(zones, Listing("bl.example", "2001:db8::7"))).status is Status.FAIL


async def test_an_address_that_makes_a_name_too_long_is_never_asked() -> None:
    name = ".".join(["a" * 49] * 4)
    async with dnsd("*. A 127.0.0.2") as server:
        resolver = Resolver([server.address])
        fact = await ask(Zones(resolver, [zone(name)]), Listing(name, "2001:db8::7"))
        assert (fact.status, fact.why) == (Status.NONE, "not a domain name")
        assert not server.queries
        assert (await ask(Zones(resolver, [zone(name)]), Listing(name, "192.0.2.7"))).status is Status.FAIL
        resolver.close()


NOT_PUBLIC = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.0.0.2", "169.254.0.1", "172.16.0.1", "172.31.255.255",
    "192.0.0.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "64:ff9b::c000:207", "64:ff9b:1::1", "100::1", "2001::1", "2002:c000:207::1", "fc00::1", "fd00::1",
    "fe80::1", "fec0::1", "ff02::1", "", "not an address", "192.0.2.7.evil.example", "192.0.2",
]  # fmt: skip


async def test_no_query_leaves_for_an_address_that_is_not_public() -> None:
    async with dnsd("*. A 127.0.0.2") as server:
        resolver = Resolver([server.address])
        zones = Zones(resolver, [zone("bl.example")])
        for address in NOT_PUBLIC:
            assert (await ask(zones, Listing("bl.example", address))).status is Status.TEMPERROR, address
        assert not server.queries
        for address in ("192.0.2.7", "198.51.100.7", "203.0.113.7", "2001:db8::7"):
            assert (await ask(zones, Listing("bl.example", address))).status is Status.FAIL, address
        assert len(server.queries) == 4
        resolver.close()


async def test_no_query_leaves_for_an_unknown_list() -> None:
    async with dnsd("*. A 127.0.0.2") as server:
        resolver = Resolver([server.address])
        fact = await ask(Zones(resolver, [zone("bl.example")]), Listing("evil.example", "192.0.2.7"))
        assert (fact.status, fact.why) == (Status.TEMPERROR, "not a known zone")
        assert not server.queries
        resolver.close()


async def test_fifty_connections_of_one_client_cost_one_query_a_list() -> None:
    async with dnsd() as server:
        resolver = Resolver([server.address])
        zones = Zones(resolver, [zone("a.slow.fault.test"), zone("b.slow.fault.test")])
        questions = [Listing(name, "192.0.2.7") for name in ("a.slow.fault.test", "b.slow.fault.test")] * 50
        facts = await asyncio.gather(*(ask(zones, question) for question in questions))
        assert {fact.status for fact in facts} == {Status.NONE}
        assert len(server.queries) == 2
        resolver.close()


NO_NAMES = [
    "192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "0x7f000001", "1.0x7f", "127.1", "[192.0.2.7]", "", "example",
    "a..example", "-.1", "evil example.org", "a\x00.example", "x" * 64 + ".example", "b\u00fccher.example", "." * 300,
]  # fmt: skip


async def test_a_list_of_names_is_never_asked_about_an_address_nor_the_other_way_round() -> None:
    async with dnsd("*. A 127.0.0.2") as server:
        resolver = Resolver([server.address])
        zones = Zones(resolver, [zone("names.example")._replace(names=True), zone("bl.example")])
        for name in NO_NAMES:
            for question in (DomainListing("names.example", name), Listing("names.example", name)):
                fact = await ask(zones, question)
                assert (fact.status, fact.why) == (Status.TEMPERROR, "not a domain name"), name
        assert (await ask(zones, DomainListing("bl.example", "example.org"))).why == "not a public address"
        assert not server.queries
        assert (await ask(zones, DomainListing("names.example", "mail.example.org"))).status is Status.FAIL
        assert [query.name for query in server.queries] == ["mail.example.org.names.example"]
        resolver.close()


KEY = "sekretkey0123456789abcdefg"


async def test_a_key_stands_in_the_query_and_nowhere_else() -> None:
    async with dnsd(f"7.2.0.192.{KEY}.bl.example. A 127.0.0.2\n*.bl.example. SERVFAIL") as server:
        resolver = Resolver([server.address])
        zones = Zones(resolver, [zone("bl.example")], keys={"bl.example": KEY.upper()})
        facts = [await ask(zones, Listing("bl.example", f"192.0.2.{last}")) for last in (7, 8)]
        assert [fact.status for fact in facts] == [Status.FAIL, Status.TEMPERROR]
        assert [query.name for query in server.queries] == [f"{last}.2.0.192.{KEY}.bl.example" for last in (7, 8)]
        assert KEY not in f"{facts} {zones.counts()}".lower()
        resolver.close()


@pytest.mark.parametrize("key", ["two words", "k" * 64, "a..b", "\u00fc"])
def test_a_key_that_is_no_label_is_refused_without_being_told(key: str) -> None:
    with pytest.raises(ValueError, match=r"bl\.example") as raised:
        Zones(ZoneFile.parse(""), [zone("bl.example")], keys={"bl.example": key})
    assert key not in str(raised.value)
    assert raised.value.__suppress_context__


def armed(*zones: str) -> Health:
    health = Health(zones)
    for place in range(len(zones)):
        health.set_state(place, State(Condition.ARMED))
    return health


async def test_a_list_that_is_not_armed_is_unknown_at_once_and_not_asked() -> None:
    async with dnsd("*. A 127.0.0.2") as server:
        resolver = Resolver([server.address])
        health = armed("a.example", "b.example")
        zones = Zones(resolver, [zone("b.example"), zone("a.example")], health=health)
        assert (await ask(zones, Listing("a.example", "192.0.2.7"))).status is Status.FAIL
        health.set_state(health.place("a.example"), State(Condition.LISTS_WORLD, 0, 3))
        fact = await ask(zones, Listing("a.example", "192.0.2.7"))
        assert (fact.status, fact.why) == (Status.TEMPERROR, "disarmed: lists the world"), "what a cache holds too"
        assert (await ask(zones, Listing("b.example", "192.0.2.7"))).status is Status.FAIL
        health.set_state(health.place("a.example"), State(Condition.ARMED, 0, 3))
        assert (await ask(zones, Listing("a.example", "192.0.2.7"))).status is Status.FAIL
        assert len(server.queries) == 2
        resolver.close()


async def test_a_list_counts_nothing_before_its_first_good_round() -> None:
    zones = Zones(ZoneFile.parse("*. A 127.0.0.2"), [zone("bl.example")], health=Health(["bl.example"]))
    fact = await ask(zones, Listing("bl.example", "192.0.2.7"))
    assert (fact.status, fact.why) == (Status.TEMPERROR, "disarmed: not yet checked")


@pytest.mark.parametrize("fault", ["servfail", "timeout"])
async def test_the_breaker_opens_after_failures_in_a_row_and_then_a_dead_list_costs_nothing(fault: str) -> None:
    name = f"{fault}.fault.test"
    health = armed(name)
    async with dnsd() as server:
        resolver = Resolver([server.address])
        zones = Zones(resolver, [zone(name, timeout=0.1)], health=health)
        for last in range(FAILURES_AT_MOST):
            assert not health.is_open(0)
            await ask(zones, Listing(name, f"192.0.2.{last}"))
        assert health.is_open(0)
        asked = len(server.queries)
        fact = await ask(zones, Listing(name, "192.0.2.200"))
        assert (fact.status, fact.why) == (Status.TEMPERROR, "breaker open: it does not answer")
        assert len(server.queries) == asked
        assert health.state(0).condition is Condition.ARMED, "silence disarms nothing"
        resolver.close()


async def test_failures_between_answers_open_no_breaker() -> None:
    names = "".join(f"{last}.2.0.192.bl.example. SERVFAIL\n" for last in range(0, 40, 2))
    health = armed("bl.example")
    async with dnsd(names) as server:
        resolver = Resolver([server.address])
        zones = Zones(resolver, [zone("bl.example")], health=health)
        for last in range(40):
            await ask(zones, Listing("bl.example", f"192.0.2.{last}"))
        assert not health.is_open(0)
        assert zones.counts() == {"bl.example": (40, 0, 20)}
        resolver.close()


async def test_only_what_left_for_the_resolver_is_counted_and_once() -> None:
    async with dnsd() as server:
        resolver = Resolver([server.address])
        zones = Zones(resolver, [zone("ok.fault.test"), zone("a.slow.fault.test")])
        for last in (7, 8, 7, 8):
            await ask(zones, Listing("ok.fault.test", f"192.0.2.{last}"))
        await asyncio.gather(*(ask(zones, Listing("a.slow.fault.test", "192.0.2.7")) for _ in range(10)))
        assert zones.counts() == {"ok.fault.test": (2, 2, 0), "a.slow.fault.test": (1, 0, 0)}
        assert len(server.queries) == 3
        resolver.close()
