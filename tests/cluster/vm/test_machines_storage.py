"""Mail on two machines with disks of their own, which are mirrored and replicated."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster_lab.machines.lab import Lab
from cluster_lab.machines.mail import MailService
from cluster_lab.machines.pair import disks_of_both, replicated
from cluster_lab.machines.storage import IN_STEP, Storage, host_files

pytestmark = pytest.mark.vm


def test_mail_that_was_acknowledged_survives_the_host_that_took_it(lab: Lab) -> None:
    halves = disks_of_both(lab)
    with lab.timed("DRBD: boot two hosts, RAID1, LVM, replication as rendered"):
        first, second = replicated(lab, halves)
    here, there = Storage(first), Storage(second)
    with lab.timed("DRBD: mail by SMTP, the host crashes in the middle of it"):
        refused = second.attempt("drbdadm", "primary", here.inventory.name)
        assert refused.status
        assert "Multiple primaries not allowed" in refused.text
        mail = MailService(first)
        mail.make_disk()
        mail.start(delivering=False)
        with ThreadPoolExecutor(1) as executor:
            sending = executor.submit(MailService(second).send_to, here.address())
            mail.wait_queued(40)
            first.crash()
            acknowledged = sending.result()
    assert len(acknowledged) >= 39  # the last one may be in the queue before its answer is here
    with lab.timed("DRBD: the peer notices, fences, takes over, has the queue, and delivers it"):
        second.wait_for("WFConnection", "drbdadm", "cstate", there.inventory.name)
        there.promote()
        assert there.fenced() == ["hosta"]
        mail = MailService(second)
        mail.mount()
        queued = mail.queued()
        mail.leave_unfinished()
        mail.start(delivering=True)
        delivered = Counter(mail.deliver())
    assert set(acknowledged) <= set(queued)
    assert set(acknowledged) <= set(delivered)
    assert max(delivered.values()) == 1
    with lab.timed("DRBD: the crashed host comes back, catches up, and takes over as planned"):
        back = lab.host("hosta", halves["hosta"], host_files("hosta"))
        back.wait_ready()
        here = Storage(back)
        here.raise_backplane()
        here.connect()
        here.wait_connected(IN_STEP)
        mail.stop()
        mail.unmount()
        there.demote()
        here.promote()
        mail = MailService(back)
        mail.mount()
        mail.start(delivering=True)
        assert Counter(mail.deliver()) == delivered
