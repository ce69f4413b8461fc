"""Two hundred SMTP sessions at once, while the service is reloaded, and while it is drained and started again."""

import pytest

from e2e_lab.crowd import Job, crowd
from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.smtp import CLEAN, Peer, Sent

SESSIONS = 200
PLAIN = b"Subject: plain\n\nplain\n"
HOME = b"Received: from home (pool-8.isp.test [203.0.113.8]) by mail.sender.test with ESMTP; now\n"


def _jobs() -> list[Job]:
    """Return clean mail, mail that is marked, and mail that is refused for one recipient or for all."""
    kinds = (
        Job(CLEAN, ("bob@lab.test",), PLAIN),
        Job(CLEAN, ("bob@lab.test",), HOME + PLAIN),
        Job(Peer("2001:db8:bad::7"), ("bob@lab.test", "bob@marks.test"), PLAIN),
        Job(Peer("203.0.113.7"), ("bob@lab.test",), PLAIN),
    )
    return [kinds[n % 4]._replace(sender=f"{n}@sender.test") for n in range(SESSIONS)]


def _assert_each_got_its_due(lab: Lab, sent: list[Sent]) -> None:
    """A quarter arrives unmarked, half arrives marked, and half is refused at lab.test, whatever happened meanwhile."""
    quarter = SESSIONS // 4
    folders = [copy.folder for copy in lab.deliveries()]
    assert (folders.count("INBOX"), folders.count("Junk")) == (quarter, 2 * quarter)
    refusals = [reply for one in sent for reply in one.recipients.values() if reply.code >= 500]
    assert len(refusals) == 2 * quarter
    assert_invariants(lab, sent)


def test_two_hundred_sessions_at_once_each_get_their_own_verdict(lab: Lab) -> None:
    with crowd(lab.postfix.smtp, _jobs()) as finished:
        sent = finished()
    assert len(sent) == SESSIONS
    _assert_each_got_its_due(lab, sent)


def test_good_and_bad_reloads_under_load_lose_nothing_and_wrong_nobody(lab: Lab) -> None:
    with crowd(lab.postfix.smtp, _jobs()) as finished:
        for _ in range(2):
            lab.service.write_domain("reloaded", 'domains = ["reloaded.test"]\nmark_at = 4.00\n')
            good = lab.service.run("reload")
            assert good.returncode == 0, good.stderr
            lab.service.write_domain("reloaded", 'domains = ["reloaded.test"]\nmark_att = 4.00\n')
            bad = lab.service.run("reload")
            assert bad.returncode == 1
            assert "reloaded.toml:2:1: mark_att: unknown setting" in bad.stderr
            lab.service.remove_domain("reloaded")
        sent = finished()
    _assert_each_got_its_due(lab, sent)


@pytest.mark.parametrize("how", ["SIGTERM", "drain"])
def test_a_restart_under_load_loses_nothing_and_wrongs_nobody(lab: Lab, how: str) -> None:
    with crowd(lab.postfix.smtp, _jobs()) as finished:
        if how == "drain":
            assert lab.service.run("drain").returncode == 0
        assert lab.service.stop() == 0
        lab.service.start()
        sent = finished()
    _assert_each_got_its_due(lab, sent)
