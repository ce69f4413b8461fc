"""FAULTS 53: messages at the edges of what can be scanned, with a real spamd."""

import pytest

from e2e_lab import spamd as laboratory
from e2e_lab.in_process import Handled, Mail, earmark, generation
from e2e_lab.spamd import Spamd
from earmark.clients.offline import ZoneFile
from earmark.core.evidence import SpamScan
from earmark.core.verdict import Action

pytestmark = pytest.mark.skipif(bool(laboratory.missing()), reason=laboratory.missing())

FROM = Mail("192.0.2.10", "mail.sender.example", "someone@sender.example", b"", 1795344000.0)
ORDINARY = (
    b"From: someone@sender.example\r\nTo: bob@lab.test\r\nSubject: Tea\r\nMessage-ID: <1.tea@sender.example>\r\n"
    b"Date: Sun, 22 Nov 2026 10:39:00 +0000\r\n\r\nThe tea is ready.\r\n"
)
LIMIT = 1000


async def handle(spamd: Spamd, message: bytes) -> Handled:
    async with earmark(generation(spamd.endpoint, "[content]\nspam_at_most = 1"), ZoneFile.parse("*. SERVFAIL")) as one:
        return await one.handle(FROM._replace(message=message))


@pytest.mark.parametrize(
    "message",
    [b"", b"x", b"\r\n", b"\r\nx", ORDINARY, ORDINARY.removesuffix(b"\r\n"), ORDINARY.ljust(LIMIT, b"x")],
    ids=["nothing", "one byte", "an empty line", "one byte of body", "ordinary", "no final newline", "the limit"],
)
async def test_what_is_not_too_large_has_the_score_that_spamd_gives_it(local_spamd: Spamd, message: bytes) -> None:
    handled = await handle(local_spamd, message)
    ((_, _, outcome),) = handled.judged.recipients
    ours = sum(finding.score for finding in outcome.findings if finding.name != "SPAMASSASSIN")
    assert outcome.mark_score - ours == local_spamd.scan(handled.scanned).score
    assert not any(isinstance(question, SpamScan) for question in outcome.unknown)
    assert not handled.refused


async def test_an_empty_message_is_marked_since_spamassassin_says_so(local_spamd: Spamd) -> None:
    handled = await handle(local_spamd, b"")
    assert handled.judged.action is Action.MARK
    assert local_spamd.scan(handled.scanned).score >= 500


async def test_one_byte_more_than_the_limit_is_unscanned_and_says_so(local_spamd: Spamd) -> None:
    handled = await handle(local_spamd, ORDINARY.ljust(LIMIT + 1, b"x"))
    ((_, _, outcome),) = handled.judged.recipients
    assert outcome.action is Action.ACCEPT
    assert [question for question in outcome.unknown if isinstance(question, SpamScan)]
    assert "spamassassin" in handled.fields["X-Earmark"].partition("unchecked=")[2]
    (fact,) = (fact for question, fact in handled.judged.facts.items() if isinstance(question, SpamScan))
    assert fact.data == ("limit",)
