"""The watcher's rounds over real DNS, with lists that turn bad, are silent and come back; pauses of milliseconds."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping

from earmark.clients.dns import Resolver
from earmark.clients.health import Health
from earmark.clients.offline import ZoneFile
from earmark.clients.zones import Zones
from earmark.core.canaries import FEWEST, Condition
from earmark.core.evidence import Fact, Listing, Points, Question, Status
from earmark.core.zones import Code, Zone, ZoneKind
from earmark.log import Log
from earmark.service.canary_rounds import CanaryRounds
from fakes.dnsd import Dnsd, dnsd
from fakes.waiting import until

CODES = (
    Code("LISTED", 0x7F000002, 0x7F000004, 0xFFFFFFFF, Points(800), "listed", "address", deep=True),
    Code("TRUSTED", 0x7F000A00, 0x7F000A03, 0xFFFFFFFF, Points(-500), "trusted", "address", deep=False),
)
BLOCK = Zone("bl.test", "one", ZoneKind.BLOCK, CODES[:1], timeout=2.0)
ALLOW = Zone("wl.test", "two", ZoneKind.ALLOW, CODES[1:], timeout=2.0)
HEALTHY = "2.0.0.127.bl.test. A 127.0.0.2\n2.0.0.127.wl.test. A 127.0.10.0\n"
QUICK = (0.03, 0.05)


class Lines:
    """A log's stream that keeps the events."""

    def __init__(self) -> None:
        self.events: list[dict[str, str]] = []

    def write(self, data: bytes) -> int:
        self.events += [json.loads(line) for line in data.splitlines()]
        return len(data)

    def flush(self) -> None:
        return

    def names(self, zone: Zone = BLOCK) -> list[str]:
        return [event["event"] for event in self.events if event["zone"] == zone.name]


class Watched:
    """Two lists, the rounds that watch them, and a client that asks them as a worker does."""

    def __init__(self, server: Dnsd, zones: Mapping[str, Zone], keys: Mapping[str, str]) -> None:
        self.server = server
        self.log = Lines()
        self.health = Health(zones)
        self.rounds = CanaryRounds(zones, [server.address], self.health, Log(self.log), keys=keys, pauses=QUICK)
        self._resolver = Resolver([server.address])
        self.zones = Zones(self._resolver, zones.values(), keys=keys, health=self.health)
        self._asked = 0

    def says(self, text: str) -> None:
        """Have the DNS server say something else from now on."""
        self.server.zone = ZoneFile.parse(text)

    def condition(self, zone: Zone = BLOCK) -> Condition:
        return self.health.state(self.health.place(zone.name)).condition

    async def becomes(self, condition: Condition, zone: Zone = BLOCK) -> None:
        await until(lambda: self.condition(zone) is condition)

    async def answer(self, zone: Zone = BLOCK) -> Fact:
        """Return what a worker is told about a client that it has not asked about yet."""
        self._asked += 1
        future: asyncio.Future[Fact] = asyncio.get_running_loop().create_future()

        def deliver(_: Question, fact: Fact) -> None:
            future.set_result(fact)

        self.zones.ask(Listing(zone.name, f"192.0.2.{self._asked}"), deliver)
        return await future

    def close(self) -> None:
        self._resolver.close()


@contextlib.asynccontextmanager
async def watched(
    text: str = HEALTHY, *, zones: tuple[Zone, ...] = (BLOCK, ALLOW), keys: Mapping[str, str] | None = None
) -> AsyncIterator[Watched]:
    async with dnsd(text) as server:
        made = Watched(server, {zone.name: zone for zone in zones}, keys or {})
        running = asyncio.create_task(made.rounds.run())
        try:
            yield made
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            made.close()


async def test_healthy_lists_are_armed_by_the_first_round() -> None:
    async with watched() as lists:
        assert (await lists.answer()).why == "disarmed: not yet checked"
        await until(lambda: lists.health.settled)
        assert lists.condition() is lists.condition(ALLOW) is Condition.ARMED
        assert (await lists.answer()).status is Status.NONE
        assert lists.log.names() == ["list_armed"]


async def turns(bad: str, condition: Condition, zone: Zone = BLOCK) -> Watched:
    """Play a list that turns bad and is mended: nobody is listed wrongly, and it is believed again in time."""
    async with watched() as lists:
        await lists.becomes(Condition.ARMED, zone)
        lists.says(HEALTHY + bad)
        await lists.becomes(condition, zone)
        assert (await lists.answer(zone)).status is Status.TEMPERROR
        rounds = lists.rounds.rounds
        await until(lambda: lists.rounds.rounds > rounds + 5)
        assert lists.condition(zone) is condition
        assert lists.log.names(zone) == ["list_armed", "list_disarmed"], "said once"
        lists.says(HEALTHY)
        rounds = lists.rounds.rounds
        await lists.becomes(Condition.ARMED, zone)
        assert lists.rounds.rounds - rounds >= FEWEST - 1  # the round under way may be good already
        assert (await lists.answer(zone)).status is Status.NONE
        assert lists.log.names(zone)[2:] == ["list_armed"]
        return lists


async def test_a_list_that_lists_the_world_is_disarmed() -> None:
    lists = await turns("*.bl.test. A 127.0.0.2", Condition.LISTS_WORLD)
    (event,) = [event for event in lists.log.events if event["event"] == "list_disarmed"]
    assert event["reason"] == "lists the world"
    assert event["why"] == "127.0.0.2 for all of 16 addresses drawn at random"
    assert lists.condition(ALLOW) is Condition.ARMED


async def test_an_allow_list_that_trusts_the_world_is_disarmed() -> None:
    lists = await turns("*.wl.test. A 127.0.10.3", Condition.TRUSTS_WORLD, ALLOW)
    assert lists.condition() is Condition.ARMED


async def test_a_list_that_answers_error_codes_is_disarmed() -> None:
    await turns("2.0.0.127.bl.test. A 127.255.255.252\n*.bl.test. A 127.255.255.252", Condition.REFUSES)


async def test_a_list_that_answers_an_open_resolver_by_a_code_is_disarmed_and_says_so() -> None:
    await turns("*.bl.test. A 127.255.255.254", Condition.PUBLIC_RESOLVER)


async def test_a_list_without_its_test_entry_is_disarmed() -> None:
    async with watched() as lists:
        await lists.becomes(Condition.ARMED)
        lists.says("2.0.0.127.wl.test. A 127.0.10.0")
        await lists.becomes(Condition.NO_ENTRY)
        assert lists.condition(ALLOW) is Condition.ARMED


async def test_a_resolver_that_rewrites_nxdomain_is_told_from_a_list_that_is_gone() -> None:
    await turns("*.bl.test. A 203.0.113.250", Condition.OUTSIDE)
    async with watched() as lists:
        await lists.becomes(Condition.ARMED)
        lists.says("*. A 203.0.113.250")
        await lists.becomes(Condition.REWRITTEN)
        await lists.becomes(Condition.REWRITTEN, ALLOW)


async def test_a_resolver_that_strips_127_is_told_from_lists_without_entries() -> None:
    async with watched("2.0.0.127.bl.test. TXT a\n2.0.0.127.wl.test. TXT a") as lists:
        await lists.becomes(Condition.STRIPPED)
        assert lists.condition(ALLOW) is Condition.STRIPPED


async def silent(fault: str) -> None:
    name = f"{fault}.fault.test"
    dead = BLOCK._replace(name=name, listed_canary=False, timeout=0.3)
    async with watched(zones=(dead, ALLOW)) as lists:
        await until(lambda: lists.health.settled)
        assert lists.health.is_open(0)
        assert lists.condition(ALLOW) is Condition.ARMED
        rounds = lists.rounds.rounds
        await until(lambda: lists.rounds.rounds > rounds + 2)
        assert lists.log.names(dead) == ["list_silent"]
        assert (await lists.answer(dead)).why == "breaker open: it does not answer"
        assert not lists.server.count(".2.0.192."), "mail costs it no query"


async def test_a_dead_list_is_left_out_and_not_disarmed() -> None:
    await silent("timeout")
    await silent("servfail")
    await silent("refused")


async def test_a_list_that_dies_and_comes_back_is_used_again_without_having_to_prove_itself() -> None:
    dead = "".join(f"*.{zone}.test. SERVFAIL\n2.0.0.127.{zone}.test. SERVFAIL\n" for zone in ("bl", "wl"))
    async with watched() as lists:
        await lists.becomes(Condition.ARMED)
        lists.says(dead)
        await until(lambda: lists.health.is_open(0))
        assert lists.condition() is Condition.ARMED
        assert (await lists.answer()).why == "breaker open: it does not answer"
        lists.says(HEALTHY)
        await until(lambda: not lists.health.is_open(0))
        assert (await lists.answer()).status is Status.NONE
        assert lists.log.names() == ["list_armed", "list_silent", "list_answers"]


async def test_a_breaker_that_a_worker_opened_is_closed_when_the_list_answers() -> None:
    async with watched() as lists:
        await lists.becomes(Condition.ARMED)
        lists.health.set_open(0, is_open=True)
        await until(lambda: not lists.health.is_open(0))
        assert lists.log.names() == ["list_armed"]


async def test_a_list_that_answers_slowly_stays_armed() -> None:
    slow = BLOCK._replace(name="slow.fault.test", listed_canary=False)
    async with watched(zones=(slow, ALLOW)) as lists:
        await until(lambda: lists.rounds.rounds > 2)
        assert lists.condition(slow) is Condition.ARMED
        assert (lists.rounds.lines["slow.fault.test"].milliseconds or 0) >= 300


async def test_a_flapping_list_is_not_believed_while_it_flaps() -> None:
    flap = asyncio.Event()

    async def flapping(says: Callable[[str], None]) -> None:
        while not flap.is_set():
            for bad in ("*.bl.test. A 127.0.0.2\n", ""):
                says(HEALTHY + bad)
                await asyncio.sleep(0.05)

    async with watched() as lists:
        await lists.becomes(Condition.ARMED)
        flapper = asyncio.create_task(flapping(lists.says))
        await lists.becomes(Condition.LISTS_WORLD)
        rounds = lists.rounds.rounds
        await until(lambda: lists.rounds.rounds > rounds + 20)
        flap.set()
        await flapper
        assert lists.log.names().count("list_armed") <= 3
        await lists.becomes(Condition.ARMED)


async def test_the_fixed_entries_are_asked_in_the_first_round_and_then_rarely() -> None:
    async with watched() as lists:
        await until(lambda: lists.rounds.rounds > 8)
        assert lists.server.count("2.0.0.127.bl.test") == 1
        assert lists.server.count(".bl.test") >= 8 + 2
        assert len({query.name for query in lists.server.queries}) == len(lists.server.queries), "no cache would help"


async def test_canaries_are_asked_with_the_key_and_a_list_whose_key_is_missing_is_not_asked() -> None:
    keyed = BLOCK._replace(name="dqs.test", key_file="/nowhere")
    text = "2.0.0.127.sekret0123.dqs.test. A 127.0.0.2"
    async with watched(text, zones=(keyed,), keys={"dqs.test": "sekret0123"}) as lists:
        await lists.becomes(Condition.ARMED, keyed)
        assert all(".sekret0123.dqs.test" in query.name for query in lists.server.queries)
        told = f"{lists.log.events} {lists.rounds.lines['dqs.test'].told()}"
        assert "sekret" not in told
    async with watched(zones=(keyed, ALLOW)) as lists:
        await until(lambda: lists.rounds.rounds > 2)
        assert lists.condition(keyed) is Condition.NO_KEY
        assert lists.condition(ALLOW) is Condition.ARMED
        assert not lists.server.count("dqs.test")


async def test_a_watcher_that_was_replaced_goes_on_with_what_the_one_before_knew() -> None:
    async with watched() as lists:
        await lists.becomes(Condition.ARMED)
        lists.says(HEALTHY + "*.bl.test. A 127.0.0.2")
        await lists.becomes(Condition.LISTS_WORLD)
        log = Lines()
        again = CanaryRounds({"bl.test": BLOCK}, [lists.server.address], lists.health, Log(log), keys={})
        await again.round()
        assert lists.condition() is Condition.LISTS_WORLD
        assert not log.events, "it has been said"
