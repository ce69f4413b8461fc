"""Our client and real spamd: what it is shown, what it takes for the client, and what its score comes to."""

import asyncio
import base64
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from e2e_lab import spamd as laboratory
from e2e_lab.spamd import GTUBE, PACKAGED
from e2e_lab.spamd import Spamd as RealSpamd
from earmark.clients.spamd import Spamd
from earmark.content import Content
from earmark.core.claimed_path import PATH_FIELDS
from earmark.core.evidence import Fact, SpamScan, Status
from earmark.core.mail import Client, Envelope, Header, Site, parse_path
from earmark.core.own_received import own_received
from earmark.core.spam_score import SpamScore, read_spam_score
from fakes.waiting import until

pytestmark = pytest.mark.skipif(bool(laboratory.missing()), reason=laboratory.missing())

AT = 1795370000.0
RULES = r"""
header LAB_FROM_ALICE     EnvelopeFrom =~ /^alice\@example\.net$/
header LAB_FROM_NOBODY    EnvelopeFrom =~ /^$/
header LAB_FROM_FORGED    EnvelopeFrom =~ /forged/
header LAB_NO_NAME        X-Spam-Relays-External =~ /^\[ ip=\S+ rdns= /
header LAB_AUTHENTICATED  X-Spam-Relays-Trusted =~ / auth=ESMTPA /
header LAB_DEEP_HOP       X-Spam-Relays-External =~ / ip=203\.0\.113\.66 /
header LAB_ORIGINATING    exists:X-Originating-IP
"""
HEADERS = (
    Header(b"From", b" Alice <alice@example.net>"),
    Header(b"To", b" Bob <bob@example.org>"),
    Header(b"Subject", b" Lab"),
    Header(b"Date", b" Sun, 22 Nov 2026 17:50:00 +0000"),
    Header(b"Message-ID", b" <1.lab@example.net>"),
)
FORGED_HOP = (
    b" from mx.example.org (mx.example.org [203.0.113.66])\n\tby mx.example.org (Postfix) with ESMTPA id 4A;"
    b" Sun, 22 Nov 2026 17:51:00 +0000"
)
FORGED_PATH = (Header(b"Received", FORGED_HOP), Header(b"X-Originating-IP", b" [203.0.113.66]"))
FORGED_SENDER = tuple(
    Header(name, b" <forged@example.com>") for name in (b"X-Envelope-From", b"Envelope-Sender", b"Return-Path")
)
TEXT = b"Hello Bob, this is how it goes.\r\n"
ORDINARY = SpamScan("m", "", "1000000", "whole")


class Started:
    """A spamd, and what it answered to whom did not wait until its rules were read."""

    def __init__(self, top: Path) -> None:
        self.spamd = RealSpamd(top / "spamd", rules=RULES)
        self.first = asyncio.run(self._first())

    async def _first(self) -> Fact:
        async with client_of(self.spamd) as client:
            facts: list[Fact] = []

            async def accepts() -> bool:
                client.hold("m", message())
                facts.append(await answer(client))
                client.drop("m")
                return "refused" not in facts[-1].why

            await until(accepts, 60)
            return facts[-1]


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    top = Path(tempfile.mkdtemp(prefix="earmark-e2e-", dir="/tmp"))
    top.chmod(0o755)
    one = Started(top)
    try:
        one.spamd.wait_ready()
        yield one
    finally:
        one.spamd.stop()
        shutil.rmtree(top)


@pytest.fixture
def spamd(started: Started) -> RealSpamd:
    return started.spamd


def message(
    body: bytes = TEXT,
    *,
    headers: Sequence[Header] = (),
    address: str = "192.0.2.10",
    helo: str = "mail.example.net",
    sender: bytes = b"<alice@example.net>",
    user: str = "",
    reverse: str = "mail.example.net",
) -> Content:
    """Return a message as the session hands it to the client."""
    content = Content([*headers, *HEADERS])
    content.add(body)
    content.finish()
    told = Envelope(
        Client(address), Site(), helo=helo, sender=parse_path(sender), at=AT, user=user, authserv_id="mx.example.org"
    )
    content.received = own_received(told, reverse, "4dZk2T0p1Fz7")
    return content


@asynccontextmanager
async def client_of(spamd: RealSpamd, *, deadline: float = 60) -> AsyncIterator[Spamd]:
    client = Spamd([spamd.endpoint], at_once=2, deadline=deadline)
    yield client
    client.close()


async def answer(client: Spamd, question: SpamScan = ORDINARY) -> Fact:
    facts: list[Fact] = []
    client.ask(question, lambda _, fact: facts.append(fact))
    await until(lambda: bool(facts), 60)
    return facts[0]


async def scanned(spamd: RealSpamd, content: Content, question: SpamScan = ORDINARY) -> SpamScore:
    async with client_of(spamd) as client:
        client.hold("m", content)
        fact = await answer(client, question)
    assert fact.status is Status.PASS, fact.why
    return read_spam_score(fact.data)


def rules_of(found: SpamScore) -> set[str]:
    return {name for name, _ in found.rules}


def test_a_message_that_comes_while_the_rules_are_read_waits_for_them(started: Started) -> None:
    assert started.first.status is Status.PASS, started.first.why
    assert "LAB_FROM_ALICE" in rules_of(read_spam_score(started.first.data))


@pytest.mark.parametrize(
    ("body", "rule", "score"),
    [(GTUBE, "GTUBE", "1000"), (b"LABSPAM3", "LAB_SPAM_3", "3"), (b"LABROUND", "LAB_ROUND", "4.96")],
)
async def test_a_rule_has_the_score_that_it_is_known_for(spamd: RealSpamd, body: bytes, rule: str, score: str) -> None:
    content = message(TEXT + body + b"\r\n")
    found = await scanned(spamd, content)
    assert dict(found.rules)[rule] == score
    assert found.score == spamd.scan(content.received + b"".join(content.chunks())).score


async def test_what_spamd_shows_as_4_9_is_4_96_and_no_5(spamd: RealSpamd) -> None:
    content = message(TEXT + b"LABROUND\r\n", sender=b"<carol@example.net>")
    whole = content.received + b"".join(content.chunks())
    assert b"Spam: False ; 4.9 / 5.0" in spamd.ask("CHECK", whole, f"Content-length: {len(whole)}")
    assert (await scanned(spamd, content)).score == 496


@pytest.mark.parametrize(
    ("kind", "encoding", "body"),
    [
        (b"text/html", b"7bit", b"<html><body><p>" + GTUBE + b"</p></body></html>\r\n"),
        (b"text/html", b"7bit", b"<p>XJS*C4JDBQADN1.NSBN3*2IDNEN*<b></b>GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X</p>"),
        (b"text/plain", b"base64", base64.encodebytes(GTUBE + b"\r\n").replace(b"\n", b"\r\n")),
        (b"text/plain; charset=utf-16", b"base64", base64.encodebytes(GTUBE.decode().encode("utf-16"))),
        (b"text/plain; charset=utf-16le", b"8bit", GTUBE.decode().encode("utf-16le")),
    ],
    ids=["html", "html with tags inside", "base64", "utf-16 in base64", "utf-16 raw"],
)
async def test_gtube_in_disguise_is_what_spamassassin_says_it_is(
    spamd: RealSpamd, kind: bytes, encoding: bytes, body: bytes
) -> None:
    mime = [
        Header(b"MIME-Version", b" 1.0"),
        Header(b"Content-Type", b" " + kind),
        Header(b"Content-Transfer-Encoding", b" " + encoding),
    ]
    content = message(body, headers=mime)
    found, alone = await scanned(spamd, content), spamd.scan(content.received + b"".join(content.chunks()))
    assert found.score == alone.score
    assert rules_of(found) == set(alone.rules)


@pytest.mark.parametrize(
    ("address", "helo", "reverse"),
    [
        ("192.0.2.10", "mail.example.net", "mail.example.net"),
        ("2001:db8::25", "mail.example.net", "mail.example.net"),
        ("2001:db8:1:2:3:4:5:6", "[IPv6:2001:db8::66]", ""),
        ("192.0.2.10", "", ""),
        ("192.0.2.10", "203.0.113.66", ""),
        ("192.0.2.10", "[203.0.113.66]", "Exim.example.net"),
        ("192.0.2.10", "Exim [203.0.113.66]", "exim.example.net"),
        ("192.0.2.10", "mx (mx [203.0.113.66]) by mx.example.org (Postfix) with ESMTPA id 1; Sun, 22 Nov 2026", ""),
        ("192.0.2.10", "a\r\nReceived: from b (b [203.0.113.66]) by c (Postfix) with ESMTP id 1", "b"),
        ("192.0.2.10", "SMTPSVC", "ecelerity.example.net"),
        ("192.0.2.10", "envelope-from=forged@example.com", "return-path"),
        ("192.0.2.10", "m\u00fcll\x00\x7f\u2028<>@", "m\u00fcnchen.example"),
        ("192.0.2.10", "with local for", "unknown"),
    ],
)
async def test_the_last_external_host_is_the_client_whatever_it_says(
    spamd: RealSpamd, address: str, helo: str, reverse: str
) -> None:
    content = message(address=address, helo=helo, reverse=reverse, headers=(*FORGED_PATH, *FORGED_SENDER))
    found = await scanned(spamd, content)
    assert found.last_external == address
    assert {"LAB_FROM_ALICE", "LAB_DEEP_HOP"} <= rules_of(found)
    assert not {"LAB_FROM_FORGED", "LAB_AUTHENTICATED"} & rules_of(found)
    assert ("LAB_NO_NAME" in rules_of(found)) == (reverse in {"", "unknown"})


async def test_who_authenticated_is_no_external_host(spamd: RealSpamd) -> None:
    found = await scanned(spamd, message(user="alice@example.net", headers=FORGED_SENDER))
    assert found.last_external == ""
    assert {"LAB_AUTHENTICATED", "LAB_FROM_ALICE"} <= rules_of(found)


async def test_a_program_of_this_host_is_no_external_host(spamd: RealSpamd) -> None:
    assert (await scanned(spamd, message(address="", headers=FORGED_SENDER))).last_external == ""


@pytest.mark.parametrize("sender", [b"<>", b"<root>"])
async def test_no_field_of_the_message_stands_in_for_a_sender_without_a_domain(spamd: RealSpamd, sender: bytes) -> None:
    found = await scanned(spamd, message(sender=sender, headers=FORGED_SENDER))
    assert "LAB_FROM_NOBODY" in rules_of(found)
    assert "LAB_FROM_FORGED" not in rules_of(found)


async def test_the_other_view_knows_no_path_but_that_of_our_mta(spamd: RealSpamd) -> None:
    content = message(headers=FORGED_PATH)
    whole = await scanned(spamd, content)
    without = await scanned(spamd, content, ORDINARY._replace(view="without-path"))
    path = {"LAB_DEEP_HOP", "LAB_ORIGINATING"}
    assert path <= rules_of(whole)
    assert not path & rules_of(without)
    assert whole.last_external == without.last_external == "192.0.2.10"


def test_every_field_in_which_spamassassin_looks_for_addresses_is_one_of_the_path() -> None:
    lines = (PACKAGED / "10_default_prefs.cf").read_text().splitlines()
    named = [line.split()[1:] for line in lines if line.startswith("originating_ip_headers")]
    assert len(named) == 3
    assert {name.lower().encode() for names in named for name in names} <= PATH_FIELDS


async def test_a_reload_of_the_rules_during_scans_loses_none(spamd: RealSpamd) -> None:
    async with client_of(spamd) as client:
        questions = [ORDINARY._replace(content=str(number)) for number in range(4)]
        for question in questions:
            client.hold(question.content, message(TEXT + b"LABSPAM3 " * 3000))
        facts: list[Fact] = []
        for question in questions:
            client.ask(question, lambda _, fact: facts.append(fact))
        scanning = spamd.log.read_text().count("checking message") + 2
        await until(lambda: spamd.log.read_text().count("checking message") >= scanning)
        assert len(facts) < len(questions)
        spamd.reload()
        await until(lambda: len(facts) == len(questions), 60)
    assert {fact.status for fact in facts} == {Status.PASS}
    assert all("LAB_SPAM_3" in rules_of(read_spam_score(fact.data)) for fact in facts)


async def test_a_spamd_that_hangs_costs_the_deadline_and_is_used_again(spamd: RealSpamd) -> None:
    async with client_of(spamd, deadline=1) as client:
        client.hold("m", message())
        spamd.hang()
        try:
            fact = await answer(client)
        finally:
            spamd.go_on()
        assert (fact.status, fact.data[0]) == (Status.TEMPERROR, "failing")

        async def scans() -> bool:
            return (await answer(client)).status is Status.PASS

        await until(scans, 5)


async def test_children_that_others_have_used_up_are_unknown_and_used_again(spamd: RealSpamd) -> None:
    stalled = [await asyncio.open_connection("127.0.0.1", spamd.port) for _ in range(6)]
    for _, writer in stalled:
        writer.write(b"REPORT SPAMC/1.5\r\nContent-length: 100\r\n\r\nhalf a mess")
    async with client_of(spamd, deadline=1) as client:
        client.hold("m", message())
        fact = await answer(client)
        for _, writer in stalled:
            writer.close()
            await writer.wait_closed()
        assert (fact.status, fact.data[0]) == (Status.TEMPERROR, "failing")

        async def scans() -> bool:
            return (await answer(client)).status is Status.PASS

        await until(scans, 5)
