"""Home users whose every hop is listed, through the whole earmark and a real spamd: marked, never refused."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path

import pytest

from e2e_lab import lab, smtp
from e2e_lab import spamd as laboratory
from e2e_lab.dovecot import Dovecot
from e2e_lab.home_users import Shape, listed_everywhere, shapes
from e2e_lab.in_process import Handled, Mail, earmark, generation, on_the_wire
from e2e_lab.postfix import Postfix
from e2e_lab.processes import wait_until
from e2e_lab.service import Service
from e2e_lab.smtp import Peer
from e2e_lab.spamd import Spamd
from e2e_lab.store import read_store
from e2e_lab.stub_dns import StubDns
from earmark.clients.offline import ZoneFile
from earmark.clients.spamd import Spamd as SpamdClient
from earmark.core.evidence import Scanner, SpamScan, Status, points_text
from earmark.core.spam_score import read_spam_score
from earmark.core.verdict import Action
from earmark.world import Deliver

SHAPES = shapes()
HOME = next(shape for shape in SHAPES if shape.label == "postfix-smarthost")
ZONE = listed_everywhere(SHAPES)
THROUGH_POSTFIX = ("exim-smarthost", "ipv6-phone", "mailing-list", "webmail-zimbra")
AT = 1795344000.0  # 22 November 2026, 10:40 UTC: minutes or hours after all of them were written
THRESHOLD = 500
OPT_IN = "[content]\nspam_reject_score = 5.00"
LOW, HIGH = b"LABROUND", b"LABROUND LABSPAM3"  # 4.96 and 7.96 points

pytestmark = pytest.mark.skipif(bool(laboratory.missing()), reason=laboratory.missing())


class SeesOnePathOnly(SpamdClient):
    """A client that confirms with what the ordinary scan said: the confirming scan is taken out."""

    def ask(self, question: SpamScan | Scanner, deliver: Deliver) -> None:
        asked = question._replace(view="whole") if isinstance(question, SpamScan) else question
        super().ask(asked, lambda _, fact: deliver(question, fact))


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    """A directory to which the servers' own accounts can walk."""
    top = Path(tempfile.mkdtemp(prefix="earmark-e2e-", dir="/tmp"))
    top.chmod(0o755)
    yield top
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def dns(top: Path) -> Iterator[StubDns]:
    """DNS for which every address is listed but those that hand over."""
    dns = StubDns(top / "dns", ZONE)
    try:
        dns.wait_ready()
        yield dns
    finally:
        dns.stop()


@pytest.fixture(scope="module")
def spamd(top: Path, dns: StubDns) -> Iterator[Spamd]:
    """A spamd that asks it."""
    spamd = Spamd(top / "spamd", resolver=dns.port)
    try:
        spamd.wait_ready()
        yield spamd
    finally:
        spamd.stop()


@pytest.fixture
def postfix(top: Path, dns: StubDns, spamd: Spamd) -> Iterator[Postfix]:
    """Postfix with earmark before it and Dovecot behind it, for a domain that has opted in."""
    if lab.missing():
        pytest.skip(lab.missing())
    with ExitStack() as started:
        dovecot = Dovecot(top / "dovecot", top / "store")
        started.callback(dovecot.stop)
        service = Service(top / "earmark", dns.port, f'\n[spamd]\nendpoints = ["{spamd.endpoint}"]\n')
        started.callback(service.stop)
        postfix = Postfix(
            top / "postfix", milter=service.port, lmtp=dovecot.port, store=top / "store", domains="home.test"
        )
        started.callback(postfix.stop)
        service.write_domain("home", f'domains = ["home.test"]\n{OPT_IN}\n')
        for server in (dovecot, service, postfix):
            server.wait_ready()
        assert service.run("reload").returncode == 0
        yield postfix


def handed_over(shape: Shape) -> Mail:
    return Mail(shape.client, shape.name, shape.sender, on_the_wire(shape.message), AT)


def content(shape: Shape, more: bytes) -> Mail:
    """The same with a line of content that the lab has a score for."""
    return handed_over(shape._replace(message=shape.message + more + b"\n"))


async def handle(
    spamd: Spamd, *mails: Mail, policy: str = OPT_IN, client: type[SpamdClient] = SpamdClient
) -> list[Handled]:
    async with earmark(generation(spamd.endpoint, policy), ZoneFile.parse(ZONE), client) as judge:
        return await judge.handle_all(mails)


def confirming_score(handled: Handled) -> int:
    """Return what the scan without the path gave; every one of the corpus is made, and answered."""
    (fact,) = (
        fact
        for question, fact in handled.judged.facts.items()
        if isinstance(question, SpamScan) and question.view == "without-path"
    )
    assert fact.status is Status.PASS, fact
    return read_spam_score(fact.data).score


async def test_no_home_user_is_refused_and_each_is_marked_by_what_spamd_alone_says_and_our_findings(
    spamd: Spamd,
) -> None:
    assert len(SHAPES) >= 12
    for shape, handled in zip(SHAPES, await handle(spamd, *map(handed_over, SHAPES)), strict=True):
        ((_, _, outcome),) = handled.judged.recipients
        assert not handled.refused, shape.label
        assert outcome.action is Action.MARK, shape.label
        alone = spamd.scan(handled.scanned)
        assert alone.last_external == shape.client, shape.label
        ours = sum(finding.score for finding in outcome.findings if finding.name != "SPAMASSASSIN")
        assert outcome.mark_score == alone.score + ours, shape.label
        assert outcome.refuse_score == 0, shape.label
        assert handled.fields["X-Spam-Score"] == points_text(outcome.mark_score), shape.label
        assert handled.fields["X-Spam-Flag"] == "YES", shape.label
        assert alone.score >= THRESHOLD > confirming_score(handled), shape.label


async def test_with_the_confirming_scan_taken_out_every_one_of_them_would_be_refused(spamd: Spamd) -> None:
    handled = await handle(spamd, *map(handed_over, SHAPES), client=SeesOnePathOnly)
    assert [one.refused for one in handled] == ["550"] * len(SHAPES)


async def test_what_is_spam_whatever_path_it_claims_is_refused_after_data(spamd: Spamd) -> None:
    _, field, rest = HOME.message.partition(b"Message-ID:")
    mails = [content(HOME, HIGH), content(HOME._replace(message=field + rest), HIGH)]
    for handled in await handle(spamd, *mails):
        assert confirming_score(handled) == 796
        assert handled.refused == "550"
        assert handled.judged.verdict.reply is not None
    assert [handled.refused for handled in await handle(spamd, *mails, policy="")] == ["", ""]


async def test_a_score_that_spamd_shows_as_the_threshold_less_a_tenth_does_not_refuse(spamd: Spamd) -> None:
    (handled,) = await handle(spamd, content(HOME, LOW))
    assert (confirming_score(handled), handled.refused) == (496, "")


async def test_no_message_that_forges_a_path_is_refused_for_it(spamd: Spamd) -> None:
    """FAULTS 39: a line below ours that names a listed victim is at most a mark."""
    victim = b"Received: from v.example (v.example [203.0.113.250]) by mail.sender.example with ESMTP id 1;\n"
    victim += b"\tSun, 22 Nov 2026 10:00:00 +0000\nX-Originating-IP: [203.0.113.251]\n"
    _, field, rest = HOME.message.partition(b"Message-ID:")
    (handled,) = await handle(spamd, handed_over(HOME._replace(message=victim + field + rest)))
    assert (handled.refused, handled.judged.action) == ("", Action.MARK)
    assert spamd.scan(handled.scanned).score >= THRESHOLD


def dated_now(shape: Shape) -> Shape:
    """Return it as if written now, since Postfix has no other time: a mail that is days old is another one."""
    date = f"Date: {formatdate()}".encode()
    return shape._replace(message=re.sub(rb"^Date: .*$", date, shape.message, count=1, flags=re.MULTILINE))


def test_through_postfix_they_land_in_junk_and_what_is_spam_by_itself_is_refused(postfix: Postfix, top: Path) -> None:
    chosen = [dated_now(shape) for shape in SHAPES if shape.label in THROUGH_POSTFIX]
    for shape in chosen:
        peer = Peer(shape.client, shape.name, shape.name)
        sent = smtp.send(postfix.smtp, peer, shape.sender, [f"{shape.label}@home.test"], shape.message)
        assert sent.queue_id, (shape.label, sent)
        spam = smtp.send(postfix.smtp, peer, shape.sender, ["spam@home.test"], shape.message + HIGH + b"\n")
        assert spam.final is not None
        assert spam.final.code == 550, (shape.label, spam)
    wait_until(lambda: not postfix.queued(), "Postfix has delivered all that it took")
    stored = {copy.recipient: copy for copy in read_store(top / "store")}
    assert set(stored) == {f"{shape.label}@home.test" for shape in chosen}
    for shape in chosen:
        copy = stored[f"{shape.label}@home.test"]
        assert copy.folder == "Junk"
        assert copy.values("X-Spam-Flag") == ["YES"]
        assert "SPAMASSASSIN" in copy.values("X-Spam-Status")[0]
