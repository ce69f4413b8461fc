"""The DNS Tree Walk (RFC 9989 section 4.10) over zone text and a real server."""

import asyncio
from collections import Counter

import pytest

from earmark.clients.dmarc import Dmarc
from earmark.clients.dns import Resolver
from earmark.clients.offline import ZoneFile
from earmark.core.evidence import DmarcRecords, Fact, Question, Status
from fakes.dnsd import dnsd

ZONE = """
_dmarc.example.com TXT "v=DMARC1; p=reject"
_dmarc.mail.example.com TXT "v=DMARC1; p=none"
_dmarc.split.example.com TXT "v=DMAR" "C1; p=quarantine"
_dmarc.two.example.com TXT "v=DMARC1; p=none"
_dmarc.two.example.com TXT "v=DMARC1; p=reject"
_dmarc.other.example.com TXT "v=spf1 -all"
_dmarc.other.example.com TXT "v=DMARC1; p=none"
_dmarc.alias.example.com CNAME _dmarc.mail.example.com
_dmarc.own.example.com TXT "v=DMARC1; psd=n"
_dmarc.gov.example TXT "v=DMARC1; psd=y; np=reject"
_dmarc.below.gov.example TXT "v=DMARC1"
_dmarc.example SERVFAIL
_dmarc.broken.example.com TIMEOUT
_dmarc.own.broken.example.com TXT "v=DMARC1; psd=n"
_dmarc.odd.example.org TXT "v=DMARC1;\\010 x=\\200"
"""
APEX = "example.com v=DMARC1; p=reject"


async def walk(domain: str, zone: str = ZONE) -> Fact:
    client = Dmarc(ZoneFile.parse(zone))
    found: asyncio.Future[Fact] = asyncio.get_running_loop().create_future()
    client.ask(DmarcRecords(domain), lambda _, fact: found.set_result(fact))
    return await found


@pytest.mark.parametrize(
    ("domain", "lines"),
    [
        ("example.com", [APEX]),
        ("a.mail.example.com", ["mail.example.com v=DMARC1; p=none", APEX]),
        ("split.example.com", ["split.example.com v=DMARC1; p=quarantine", APEX]),
        ("two.example.com", [APEX]),
        ("other.example.com", ["other.example.com v=DMARC1; p=none", APEX]),
        ("alias.example.com", ["alias.example.com v=DMARC1; p=none", APEX]),
        ("a.own.example.com", ["own.example.com v=DMARC1; psd=n"]),
        ("a.below.gov.example", ["below.gov.example v=DMARC1", "gov.example v=DMARC1; psd=y; np=reject"]),
        ("own.broken.example.com", ["own.broken.example.com v=DMARC1; psd=n"]),
        ("odd.example.org", ["odd.example.org v=DMARC1;? x=?"]),
    ],
)
async def test_a_walk_finds_one_record_a_name_up_to_where_it_ends(domain: str, lines: list[str]) -> None:
    fact = await walk(domain)
    assert (fact.status, list(fact.data)) == (Status.PASS, lines)
    assert 0 < fact.ttl <= 300


@pytest.mark.parametrize("domain", ["example.net", "com", "a" * 64 + ".net", "a" * 300])
async def test_no_record_is_no_dmarc(domain: str) -> None:
    assert (await walk(domain)).status is Status.NONE


@pytest.mark.parametrize(
    ("domain", "why"),
    [
        ("mail.example", "_dmarc.example: SERVFAIL"),
        ("a.broken.example.com", "_dmarc.broken.example.com: timeout"),
        ("broken.example.com", "_dmarc.broken.example.com: timeout"),
    ],
)
async def test_what_the_answer_depends_on_must_be_known(domain: str, why: str) -> None:
    fact = await walk(domain)
    assert (fact.status, fact.data, fact.why) == (Status.TEMPERROR, (), why)


async def test_a_name_of_many_labels_costs_eight_queries_and_twice_at_once_no_more() -> None:
    async with dnsd(ZONE) as server:
        resolver = Resolver([server.address])
        client = Dmarc(resolver)
        facts: list[tuple[Question, Fact]] = []
        both = asyncio.Event()

        def take(question: Question, fact: Fact) -> None:
            facts.append((question, fact))
            if len(facts) == 2:
                both.set()

        asked = DmarcRecords(".".join(["a"] * 100) + ".example.com")
        for _ in range(2):
            client.ask(asked, take)
        async with asyncio.timeout(5):
            await both.wait()
        assert [(question, fact.data) for question, fact in facts] == [(asked, (APEX,))] * 2
        names = Counter(query.name for query in server.queries)
        assert len(names) == names.total() == 8
        client.ask(asked, take)
        assert (len(facts), len(server.queries)) == (3, 8)
        client.close()
        resolver.close()
