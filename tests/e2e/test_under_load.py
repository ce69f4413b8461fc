"""Two hundred SMTP sessions at once, while the service is reloaded, and while it is stopped and started again."""

from collections.abc import Collection

import pytest

from e2e_lab.crowd import Traffic, crowd
from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.smtp import CLEAN, Peer, Sent

SESSIONS = 200
PLAIN = b"Subject: plain\n\nplain\n"
HOME = b"Received: from home (pool-8.isp.test [203.0.113.8]) by mail.sender.test with ESMTP; now\n"
KINDS = (
    Traffic(CLEAN, PLAIN, {"clean@lab.test": "INBOX"}),
    Traffic(CLEAN, HOME + PLAIN, {"home@lab.test": "Junk"}),
    Traffic(Peer("2001:db8:bad::7"), PLAIN, {"listed6@lab.test": "refused", "listed6@marks.test": "Junk"}),
    Traffic(Peer("203.0.113.7"), PLAIN, {"listed@lab.test": "refused"}),
)
TRAFFIC = [KINDS[number % len(KINDS)] for number in range(SESSIONS)]
DUE = {recipient: due for kind in KINDS for recipient, due in kind.due.items()}


def _assert_each_got_its_due(lab: Lab, sent: list[Sent], *, unchecked: Collection[str] = ()) -> None:
    """What is `unchecked`, by queue id, may have been taken where it would have been refused or marked."""
    settled = [
        (one.sender, recipient, "refused" if reply.code >= 500 else "taken", one.queue_id)
        for one in sent
        for recipient, reply in one.recipients.items()
        if reply.code >= 500 or (reply.code == 250 and one.queue_id)
    ]
    wanted = {(one.sender, recipient) for one in sent for recipient in one.recipients}
    assert len(wanted) >= SESSIONS
    assert sorted((sender, recipient) for sender, recipient, *_ in settled) == sorted(wanted)
    assert not [
        one
        for one in settled
        if (one[2] == "refused") != (DUE[one[1]] == "refused") and (one[2] == "refused" or one[3] not in unchecked)
    ]
    wrongly = [copy for copy in lab.deliveries() if copy.folder != DUE[copy.recipient]]
    assert not [(copy, copy.values("X-Earmark")) for copy in wrongly if copy.queue_id not in unchecked]
    assert_invariants(lab, sent)


def test_two_hundred_sessions_at_once_each_get_their_own_verdict(lab: Lab) -> None:
    with crowd(lab.postfix.smtp, TRAFFIC) as senders:
        sent = senders.finish()
    assert not any(one.put_off for one in sent)
    _assert_each_got_its_due(lab, sent)


def test_good_and_bad_reloads_under_load_lose_nothing_and_wrong_nobody(lab: Lab) -> None:
    with crowd(lab.postfix.smtp, TRAFFIC) as senders:
        lab.service.write_domain("reloaded", 'domains = ["reloaded.test"]\nmark_at = 4.00\n')
        good = lab.service.run("reload")
        assert good.returncode == 0, good.stderr
        lab.service.write_domain("reloaded", 'domains = ["reloaded.test"]\nmark_att = 4.00\n')
        bad = lab.service.run("reload")
        assert bad.returncode == 1
        assert "reloaded.toml:2:1: mark_att: unknown setting" in bad.stderr
        lab.service.remove_domain("reloaded")
        good = lab.service.run("reload")
        assert good.returncode == 0, good.stderr
        sent = senders.finish()
    _assert_each_got_its_due(lab, sent)


@pytest.mark.parametrize("how", ["SIGTERM", "drain"])
def test_a_restart_under_load_loses_nothing_and_wrongs_nobody(lab: Lab, how: str) -> None:
    with crowd(lab.postfix.smtp, TRAFFIC) as senders:
        if how == "drain":
            assert lab.service.run("drain").returncode == 0
        assert lab.service.stop() == 0
        senders.wait_until_put_off()
        lab.service.start()
        sent = senders.finish()
    _assert_each_got_its_due(lab, sent, unchecked=_before_the_first_round(lab))


def _before_the_first_round(lab: Lab) -> set[str]:
    """Return the queue ids of what came before the list was believed: it was taken, and says so (docs/lists.md)."""
    copies = lab.deliveries()
    return {copy.queue_id for copy in copies if any("bl.lab.test" in text for text in copy.values("X-Earmark"))}
