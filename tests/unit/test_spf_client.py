"""SPF as a client: limits, what a result says of how it came about, how long it is good for."""

import asyncio
import itertools
import time

import pytest

from earmark.clients.dns import Done, Resolver
from earmark.clients.spf import Spf
from earmark.core.evidence import CheckHost, Fact, Question, Status
from fakes.dnsd import dnsd
from fakes.lookups import CountedLookups

ADDRESS = "192.0.2.7"


def question(domain: str = "a.example", address: str = ADDRESS, sender: str = "") -> CheckHost:
    return CheckHost(address, domain, sender or f"bob@{domain}", "mail.example.net")


async def ask(client: Spf, asked: CheckHost) -> Fact:
    future: asyncio.Future[tuple[Question, Fact]] = asyncio.get_running_loop().create_future()
    client.ask(asked, lambda *answer: future.set_result(answer))
    async with asyncio.timeout(10):
        answered, fact = await future
    assert answered == asked
    return fact


async def check(text: str, asked: CheckHost | None = None) -> Fact:
    return await ask(Spf(CountedLookups(text)), asked or question())


async def test_a_result_names_the_mechanism_and_tells_its_steps() -> None:
    fact = await check("""
        a.example TXT "v=spf1 mx:nowhere.example ip4:203.0.113.1 include:b.example redirect=c.example"
        b.example TXT "v=spf1 ip4:203.0.113.2 -all"
        c.example TXT "v=spf1 a:m.%{d} -all"
        m.c.example A 192.0.2.9
    """)
    assert (fact.status, fact.why) == (Status.FAIL, "-all of c.example")
    assert fact.data == (
        "a.example: v=spf1 mx:nowhere.example ip4:203.0.113.1 include:b.example redirect=c.example",
        "a.example: mx:nowhere.example: no match (nowhere.example)",
        "a.example: include b.example",
        "b.example: v=spf1 ip4:203.0.113.2 -all",
        "b.example: -all: fail",
        "a.example: redirect to c.example",
        "c.example: v=spf1 a:m.%{d} -all",
        "c.example: a:m.%{d}: no match (m.c.example)",
        "c.example: -all: fail",
    )


@pytest.mark.parametrize(
    ("record", "status", "why"),
    [
        ("v=spf1 ip4:192.0.2.0/29 -all", Status.PASS, "ip4:192.0.2.0/29"),
        ("v=spf1 ip4:192.0.2.8/29 ?all", Status.NEUTRAL, "?all"),
        ("v=spf1", Status.NEUTRAL, "default"),
        ("v=spf1 exists:%{l}.%{i}.x.example -all", Status.PASS, "exists:%{l}.%{i}.x.example"),
        ("v=spf1 a:%{p} -all", Status.PASS, "a:%{p}"),
        ("v=spf1 mx:many.example -all", Status.PERMERROR, "many.example has more than 10 mail hosts"),
        ("v=spf1 mx:half.example -all", Status.PASS, "mx:half.example"),
        ("v=spf1 mx:dead.example -all", Status.TEMPERROR, "mail hosts of dead.example: timeout"),
        ("v=spf1 a:silent.example -all", Status.TEMPERROR, "A of silent.example: timeout"),
        ("v=spf1 ptr:broken.example -all", Status.FAIL, "-all"),
        ("v=spf1 include:none.example -all", Status.PERMERROR, "include of a.example: none.example has no SPF record"),
        ("v=spf1 redirect=none.example", Status.PERMERROR, "redirect of a.example: none.example has no SPF record"),
        ("v=spf1 include:a.example -all", Status.PERMERROR, "more than 10 terms that ask the DNS"),
        ("v=spf1 redirect=a.example", Status.PERMERROR, "more than 10 terms that ask the DNS"),
        ("v=spf1 foo -all", Status.PERMERROR, "a.example: foo: an unknown mechanism"),
        ("v=spf1 a:1.n.example a:2.n.example -all", Status.FAIL, "-all"),
        ("v=spf1 a:1.n.example a:2.n.example a:3.n.example -all", Status.PERMERROR,
         "more than 2 look-ups that find nothing"),
        ("v=spf1 a:b..example a:%{l}@.%{l}@.%{l}@.a\\\\b.example a:c..example -all", Status.FAIL, "-all"),
    ],
)  # fmt: skip
async def test_what_a_record_leads_to(record: str, status: Status, why: str) -> None:
    many = "\n".join(f"many.example MX {number} mail.example" for number in range(11))
    fact = await check(f"""
        a.example TXT "{record}"
        bob.192.0.2.7.x.example A 127.0.0.2
        7.2.0.192.in-addr.arpa PTR mail.example
        7.2.0.192.in-addr.arpa PTR broken.example
        mail.example A 192.0.2.7
        broken.example SERVFAIL
        silent.example TIMEOUT
        half.example MX 5 silent.example
        half.example MX 10 mail.example
        dead.example MX 5 silent.example
        dead.example MX 10 bare.example
        bare.example TXT "x"
        none.example TXT "x"
        {many}
    """)
    assert (fact.status, fact.why) == (status, why)


async def test_the_name_of_an_ipv6_client_is_validated_by_its_own_family() -> None:
    nibbles = ".".join(reversed("20010db8" + "0" * 23 + "7"))
    text = f"""
        a.example TXT "v=spf1 ptr:b.example -all"
        {nibbles}.ip6.arpa PTR host.b.example
        host.b.example AAAA 2001:db8::7
    """
    assert (await check(text, question(address="2001:db8::7"))).why == "ptr:b.example"


@pytest.mark.parametrize(
    "domain", ["localhost", "", "[192.0.2.7]", "a..example", f"{'a' * 64}.example", "a." * 130 + "b"]
)
async def test_what_is_no_domain_has_no_result_and_is_not_asked(domain: str) -> None:
    lookups = CountedLookups("")
    fact = await ask(Spf(lookups), question(domain))
    assert (fact.status, fact.ttl, lookups.asked) == (Status.NONE, 60, [])


POINTERS = """
    7.2.0.192.in-addr.arpa PTR mail.other.example
    7.2.0.192.in-addr.arpa PTR mail.notb.example
    7.2.0.192.in-addr.arpa PTR {}
    mail.other.example A 192.0.2.7
    mail.notb.example A 192.0.2.7
    mail.b.example A 192.0.2.7
    b.example A 192.0.2.7
    b.example TXT "v=spf1 exists:%{{p}}.x.example exists:%{{p}}.y.example ptr ~all"
    a.example TXT "v=spf1 ptr:tb.example ptr:r.example redirect=b.example"
    {}.x.example A 127.0.0.2
"""


@pytest.mark.parametrize("name", ["b.example", "mail.b.example"])
async def test_the_macro_p_is_the_domain_itself_or_a_name_below_it(name: str) -> None:
    fact = await check(POINTERS.format(name, name))
    assert (fact.status, fact.why) == (Status.PASS, "exists:%{p}.x.example of b.example")
    assert (await check(POINTERS.format("nobody.example", "mail.other.example"))).why.startswith("exists:%{p}.x")


async def test_the_clients_names_are_asked_for_once() -> None:
    lookups = CountedLookups(POINTERS.format("mail.b.example", "nobody"))
    assert (await ask(Spf(lookups), question())).why == "ptr of b.example"
    assert [rtype for _, rtype in lookups.asked].count("PTR") == 1


async def test_what_is_no_address_is_unknown() -> None:
    fact = await check("", question(address="nobody"))
    assert (fact.status, fact.why) == (Status.TEMPERROR, "not an address")


async def test_the_worst_record_asks_a_bounded_number_of_times() -> None:
    hosts = [f"m.example MX {number} h{number}.example" for number in range(10)]
    hosts += [f"h{number}.example A 203.0.113.{number}" for number in range(10)]
    names = [f"7.2.0.192.in-addr.arpa PTR h{number}.example" for number in range(20)]
    terms = " ".join(["mx:m.example"] * 5 + ["mx:m.%{p}.example"] + ["mx:m.example"] * 5)
    alias = "m.unknown.example CNAME m.example"
    lookups = CountedLookups("\n".join([f'a.example TXT "v=spf1 {terms} -all"', *hosts, *names, alias]))
    fact = await ask(Spf(lookups), question())
    assert (fact.status, fact.why) == (Status.PERMERROR, "more than 10 terms that ask the DNS")
    assert len(lookups.asked) == 122


async def test_every_step_is_a_short_printable_line() -> None:
    fact = await check(
        """
        a.example TXT "v=spf1 a:x.example include:b.example " "{}=1" " {}=1"
        b.example TXT "v=spf1 \\007\\200 ~all"
        x.example A 203.0.113.9
    """.format("y" * 200, "z" * 200)
    )
    assert (fact.status, fact.why) == (Status.PERMERROR, "b.example: ??: neither a mechanism nor a modifier")
    assert fact.data[0].startswith("a.example: v=spf1 a:x.example include:b.example yyy")
    assert fact.data[-1] == "b.example: v=spf1 ?? ~all"
    for line in fact.data:
        assert line.isascii()
        assert line.isprintable()
        assert len(line) <= 120


async def test_a_long_story_is_cut_in_the_middle() -> None:
    fact = await check('a.example TXT "v=spf1 ?include:a.example ~all"')
    assert len(fact.data) == 20
    assert fact.data[14] == "(2 steps left out)"


async def test_it_is_good_for_as_long_as_the_shortest_of_its_look_ups() -> None:
    async with dnsd('a.example TXT "v=spf1 a -all"\na.example A 192.0.2.1') as server:
        resolver = Resolver([server.address])
        fact = await ask(Spf(resolver), question())
        assert fact.status is Status.FAIL
        assert 60 <= fact.ttl <= 300
        assert fact.source == server.address
        resolver.close()


async def test_a_result_that_a_failed_look_up_has_a_part_in_is_soon_looked_up_again() -> None:
    fact = await check('a.example TXT "v=spf1 ptr -all"\n7.2.0.192.in-addr.arpa TIMEOUT')
    assert (fact.status, fact.ttl) == (Status.FAIL, 60)


async def test_a_check_that_two_ask_for_at_once_is_made_once_and_remembered() -> None:
    lookups = CountedLookups('a.example TXT "v=spf1 a -all"\na.example A 192.0.2.1')
    client = Spf(lookups)
    first, second = await asyncio.gather(ask(client, question()), ask(client, question()))
    assert first == second == await ask(client, question())
    assert len(lookups.asked) == 2
    await ask(client, question(sender="eve@a.example"))
    assert len(lookups.asked) == 4


async def test_a_clock_that_is_set_back_makes_no_result_immortal() -> None:
    class Tomorrows(CountedLookups):
        def lookup(self, name: str, rtype: str, done: Done, *, give_up: float = 5.0) -> None:
            tomorrow = time.time() + 86_400
            super().lookup(name, rtype, lambda fact: done(fact._replace(at=tomorrow)), give_up=give_up)

    client = Spf(Tomorrows('a.example TXT "v=spf1 -all"'))
    fact = await ask(client, question())
    now = time.monotonic()
    assert client._cache.get(question(), now) is fact
    assert client._cache.get(question(), now + fact.ttl) is None


async def test_an_unknown_is_not_remembered() -> None:
    lookups = CountedLookups("a.example TIMEOUT")
    client = Spf(lookups)
    for _ in range(2):
        fact = await ask(client, question())
        assert (fact.status, fact.ttl, fact.why) == (Status.TEMPERROR, 0, "TXT of a.example: timeout")
    assert len(lookups.asked) == 2


async def test_closing_tells_who_waits() -> None:
    async with dnsd("*. TIMEOUT") as server:
        resolver = Resolver([server.address])
        client = Spf(resolver)
        waiting = asyncio.ensure_future(ask(client, question()))
        await asyncio.sleep(0)
        client.close()
        assert (await waiting).why == "closed"
        resolver.close()


async def test_a_local_part_of_any_characters_becomes_a_name_that_is_asked() -> None:
    text = 'a.example TXT "v=spf1 exists:%{l}.x.example -all"\nbob+list=b%%c.x.example A 127.0.0.2'
    async with dnsd(text) as server:
        resolver = Resolver([server.address])
        assert (await ask(Spf(resolver), question(sender="Bob+list=b%%c@a.example"))).status is Status.PASS
        resolver.close()


@pytest.mark.parametrize("sender", ["\xfc@a.example", "a b@a.example", "\x00\r\n@a.example", "\ud800@a.example", ""])
async def test_a_local_part_that_makes_no_name_matches_nothing(sender: str) -> None:
    text = """
        a.example TXT "v=spf1 exists:%{l}.x.example exists:%{s}.x.example exists:%{L}.%{o}.y.example -all"
        *.x.example A 127.0.0.2
    """
    assert (await check(text, CheckHost(ADDRESS, "a.example", sender, ""))).status is Status.FAIL


async def test_all_lengths_of_a_network_are_told_apart() -> None:
    for length, other in itertools.product((0, 8, 25, 31, 32), ("192.0.2.6", "192.0.2.7", "192.1.2.7")):
        fact = await check(f'a.example TXT "v=spf1 a:x.example/{length} -all"\nx.example A {other}')
        same = f"{int.from_bytes(bytes(map(int, other.split('.'))), 'big'):032b}"[:length]
        mine = f"{int.from_bytes(bytes(map(int, ADDRESS.split('.'))), 'big'):032b}"[:length]
        assert (fact.status is Status.PASS) == (same == mine), (length, other)
