import asyncio

import pytest

from earmark.clients.dns import Resolver
from earmark.clients.names import Names, host_address, mail_hosts, reverse_name
from earmark.clients.offline import ZoneFile
from earmark.core.evidence import Fact, HostAddress, MailHosts, Question, ReverseName, Status
from fakes.dnsd import dnsd

REVERSE = """
1.2.0.192.in-addr.arpa. PTR one.example.
one.example. A 192.0.2.1
2.2.0.192.in-addr.arpa. PTR two.example.
two.example. A 192.0.2.99
3.2.0.192.in-addr.arpa. SERVFAIL
4.2.0.192.in-addr.arpa. PTR broken.example.
4.2.0.192.in-addr.arpa. PTR other.example.
broken.example. SERVFAIL
other.example. A 192.0.2.99
5.2.0.192.in-addr.arpa. PTR broken.example.
5.2.0.192.in-addr.arpa. PTR five.example.
five.example. A 192.0.2.5
6.2.0.192.in-addr.arpa. PTR a\\032b\\000\\200.example.
7.2.0.192.in-addr.arpa. PTR gone.example.
9.2.0.192.in-addr.arpa. CNAME 9.0-15.2.0.192.in-addr.arpa.
9.0-15.2.0.192.in-addr.arpa. PTR nine.example.
nine.example. CNAME real.example.
real.example. A 192.0.2.9
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR six.example.
six.example. AAAA 2001:db8::1
10.2.0.192.in-addr.arpa. TIMEOUT
"""


@pytest.mark.parametrize(
    ("address", "status", "data"),
    [
        ("192.0.2.1", Status.PASS, ("one.example",)),
        ("2001:db8::1", Status.PASS, ("six.example",)),
        ("192.0.2.9", Status.PASS, ("nine.example",)),
        ("192.0.2.5", Status.PASS, ("five.example",)),
        ("192.0.2.2", Status.FAIL, ("two.example",)),
        ("192.0.2.6", Status.FAIL, ("a\\032b\\000\\200.example",)),
        ("192.0.2.7", Status.FAIL, ("gone.example",)),
        ("192.0.2.8", Status.NONE, ()),
        ("192.0.2.3", Status.TEMPERROR, ()),
        ("192.0.2.4", Status.TEMPERROR, ()),
        ("192.0.2.10", Status.TEMPERROR, ()),
        ("nonsense", Status.TEMPERROR, ()),
    ],
)
async def test_a_reverse_name_counts_when_it_leads_back(address: str, status: Status, data: tuple[str, ...]) -> None:
    fact = await reverse_name(ZoneFile.parse(REVERSE), address)
    assert (fact.status, fact.data) == (status, data)


async def test_only_ten_reverse_names_are_followed() -> None:
    lines = [f"7.2.0.192.in-addr.arpa. PTR n{number:02}.example." for number in range(40)]
    async with dnsd("\n".join(lines)) as server:
        resolver = Resolver([server.address])
        fact = await reverse_name(resolver, "192.0.2.7")
        assert (fact.status, len(fact.data)) == (Status.FAIL, 10)
        assert len([query for query in server.queries if query.rtype == 1]) == 10
        resolver.close()


async def test_a_name_that_leads_back_is_not_held_up_by_one_that_is_silent() -> None:
    text = """
    7.2.0.192.in-addr.arpa. PTR silent.example.
    7.2.0.192.in-addr.arpa. PTR good.example.
    silent.example. TIMEOUT
    good.example. A 192.0.2.7
    """
    async with dnsd(text) as server:
        resolver = Resolver([server.address])
        async with asyncio.timeout(3):  # a look-up would wait for 5 s
            assert (await reverse_name(resolver, "192.0.2.7")).data == ("good.example",)
        resolver.close()


HOSTS = """
both.example. A 192.0.2.1
both.example. AAAA 2001:db8::1
four.example. A 192.0.2.1
half.example. A 192.0.2.1
*.half.example. A 192.0.2.1
text.example. TXT "no address"
broken.example. SERVFAIL
loop.example. CNAME loop.example.
"""


@pytest.mark.parametrize(
    ("name", "status", "data"),
    [
        ("both.example", Status.PASS, ("192.0.2.1", "2001:db8::1")),
        ("four.example", Status.PASS, ("192.0.2.1",)),
        ("text.example", Status.NONE, ()),
        ("absent.example", Status.NONE, ()),
        ("bad name.example", Status.NONE, ()),
        ("broken.example", Status.TEMPERROR, ()),
        ("loop.example", Status.TEMPERROR, ()),
    ],
)
async def test_a_host_has_the_addresses_of_both_families(name: str, status: Status, data: tuple[str, ...]) -> None:
    fact = await host_address(ZoneFile.parse(HOSTS), name)
    assert (fact.status, fact.data) == (status, data)


async def test_half_of_a_hosts_addresses_is_unknown() -> None:
    fact = await host_address(ZoneFile.parse("half.example. A 192.0.2.1\nhalf.example. SERVFAIL"), "half.example")
    assert (fact.status, fact.why) == (Status.TEMPERROR, "SERVFAIL")


MAIL = """
a.example. MX 20 backup.example.
a.example. MX 10 mail.example.
mail.example. A 192.0.2.1
backup.example. A 192.0.2.2
null.example. MX 0 .
implicit.example. A 192.0.2.3
implicit6.example. AAAA 2001:db8::3
private.example. MX 10 inside.example.
inside.example. A 10.0.0.1
lost.example. MX 10 absent.example.
text.example. TXT "nothing"
broken.example. SERVFAIL
halfbroken.example. MX 10 broken.example.
halfbroken.example. MX 20 mail.example.
doubtful.example. MX 10 broken.example.
doubtful.example. MX 20 inside.example.
noaddress.example. MX 10 broken.example.
"""


@pytest.mark.parametrize(
    ("domain", "status", "data", "why"),
    [
        ("a.example", Status.PASS, ("192.0.2.1",), ""),
        ("null.example", Status.POLICY, (), "null MX"),
        ("implicit.example", Status.PASS, ("192.0.2.3",), ""),
        ("implicit6.example", Status.PASS, ("2001:db8::3",), ""),
        ("private.example", Status.PASS, ("10.0.0.1",), ""),
        ("lost.example", Status.NONE, (), "its mail hosts have no address"),
        ("text.example", Status.NONE, (), "neither MX nor address"),
        ("absent.example", Status.NONE, (), "NXDOMAIN"),
        ("not a domain", Status.NONE, (), "not a domain name"),
        ("broken.example", Status.TEMPERROR, (), "SERVFAIL"),
        ("halfbroken.example", Status.PASS, ("192.0.2.1",), ""),
        ("doubtful.example", Status.TEMPERROR, (), "SERVFAIL"),
        ("noaddress.example", Status.TEMPERROR, (), "SERVFAIL"),
        ("[192.0.2.1]", Status.PASS, ("192.0.2.1",), ""),
        ("[IPv6:2001:db8::1]", Status.PASS, ("2001:db8::1",), ""),
        ("[x]", Status.NONE, (), "not an address literal"),
    ],
)
async def test_mail_goes_to_the_best_hosts(domain: str, status: Status, data: tuple[str, ...], why: str) -> None:
    fact = await mail_hosts(ZoneFile.parse(MAIL), domain)
    assert (fact.status, fact.data[:1], fact.why) == (status, data, why)


async def test_only_five_mail_hosts_are_asked_for() -> None:
    lines = [f"a.example. MX {number} h{number}.example." for number in range(40)]
    async with dnsd("\n".join(lines)) as server:
        resolver = Resolver([server.address])
        await mail_hosts(resolver, "a.example")
        assert {query.name for query in server.queries} == {"a.example", *(f"h{number}.example" for number in range(5))}
        resolver.close()


async def ask(names: Names, question: ReverseName | HostAddress | MailHosts) -> tuple[Question, Fact]:
    future: asyncio.Future[tuple[Question, Fact]] = asyncio.get_running_loop().create_future()
    names.ask(question, lambda *answer: future.set_result(answer))
    async with asyncio.timeout(10):
        return await future


async def test_what_is_asked_twice_is_worked_on_once_and_remembered() -> None:
    async with dnsd(REVERSE) as server:
        resolver = Resolver([server.address])
        names = Names(resolver)
        question = ReverseName("192.0.2.1")
        first, second = await asyncio.gather(ask(names, question), ask(names, question))
        assert first == second
        assert first[1].ttl > 290
        later: list[tuple[Question, Fact]] = []
        names.ask(question, lambda *answer: later.append(answer))
        assert later == [first]
        assert len(server.queries) == 2
        names.close()
        resolver.close()


async def test_what_is_unknown_is_asked_again() -> None:
    names = Names(ZoneFile.parse(REVERSE))
    assert (await ask(names, ReverseName("192.0.2.3")))[1].status is Status.TEMPERROR
    later: list[Fact] = []
    names.ask(ReverseName("192.0.2.3"), lambda _, fact: later.append(fact))
    assert not later
    names.close()


async def test_closing_tells_all_who_wait_and_leaves_no_task() -> None:
    async with dnsd("*. TIMEOUT") as server:
        resolver = Resolver([server.address])
        names = Names(resolver)
        questions = (ReverseName("192.0.2.7"), HostAddress("a.example"), MailHosts("b.example"))
        waiting = [asyncio.ensure_future(ask(names, question)) for question in questions]
        await asyncio.sleep(0)
        names.close()
        assert {fact.why for _, fact in await asyncio.gather(*waiting)} == {"closed"}
        assert not names._tasks
        resolver.close()
