"""The spam folder: what Dovecot files there, and what SpamAssassin learns from what users move."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e_lab import smtp
from e2e_lab import spamd as scanner
from e2e_lab.dovecot import TRASH
from e2e_lab.imap import MailClient
from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.processes import free_port, reachable_by_nobody
from e2e_lab.smtp import CLEAN, SENDER
from e2e_lab.spamd import Spamd

FLAG = b"X-Spam-Flag: YES\n"
LISTED = (
    b"Received: from home (pool-8.isp.test [203.0.113.8])\n\tby mail.sender.test (Postfix) with ESMTP id 1\n"
    b"\tfor <bob@lab.test>; Mon, 02 Nov 2026 09:00:00 +0000\n"
)
SERVER = """
schema = 1
[spamd]
endpoints = ["{endpoint}"]
[learning]
journal = "{journal}"
per_hour = {per_hour}
"""


def plain(number: int) -> bytes:
    """Return a message that no other test sends; Bayes wants words."""
    words = b"meeting about the new bridge over the river on Thursday afternoon in the town hall\n" * 3
    return b"Subject: plain\nMessage-ID: <%d@sender.test>\n\n" % number + words


class School:
    """What users teach: by moving mail, by way of `earmark learn`, to a spamd of its own."""

    def __init__(self, lab: Lab, spamd: Spamd, top: Path) -> None:
        self.spamd = spamd
        self._lab = lab
        self._server = top / "policies" / "server.toml"
        self._journal = top / "journal"
        self._server.parent.mkdir(parents=True)
        self._journal.mkdir()
        shutil.chown(self._journal, "nobody", "nogroup")
        lab.dovecot.earmark.write_text(f'#!/bin/sh\nEARMARK_CONFIG={top} exec {sys.executable} -m earmark "$@"\n')
        lab.dovecot.earmark.chmod(0o755)
        self.configure()

    def configure(self, *, per_hour: int = 60, endpoint: str = "") -> None:
        """Set the bound and whom to tell, from the next lesson on."""
        endpoint = endpoint or self.spamd.endpoint
        self._server.write_text(SERVER.format(endpoint=endpoint, journal=self._journal, per_hour=per_hour))

    def client(self, user: str) -> MailClient:
        return MailClient(self._lab.dovecot.imap, user)

    def taught(self, user: str) -> list[tuple[str, str]]:
        """Return class and outcome of a user's lessons, the first one first."""
        asked = self._lab.service.run("lessons", "--json", "--user", user, "--config", str(self._server.parents[1]))
        told: list[dict[str, Any]] = json.loads(asked.stdout)["lessons"]
        return [(lesson["message_class"], lesson["outcome"]) for lesson in reversed(told)]


@pytest.fixture(scope="module")
def whole_school(whole_lab: Lab) -> Iterator[School]:
    if reason := scanner.missing():
        pytest.skip(reason)
    if not reachable_by_nobody():
        pytest.skip("Dovecot's account nobody cannot run earmark from this checkout")
    spamd = Spamd(whole_lab.top / "taught", learning=True)
    try:
        school = School(whole_lab, spamd, whole_lab.top / "school")
        spamd.wait_ready()
        yield school
    finally:
        spamd.stop()


@pytest.fixture
def school(whole_school: School, lab: Lab) -> School:  # noqa: ARG001 - an empty store
    whole_school.configure()
    return whole_school


def past_earmark(lab: Lab, message: bytes, recipient: str) -> None:
    """Send a message through Postfix as it is without a milter."""
    assert smtp.send(lab.postfix.plain, CLEAN, SENDER, [recipient], message).queue_id


def test_a_flag_is_believed_only_on_mail_that_passed_earmark(lab: Lab) -> None:
    past_earmark(lab, FLAG + plain(1), "bob@lab.test")
    assert [copy.folder for copy in lab.take("bob@lab.test")] == ["INBOX"]
    sent = lab.send(FLAG + b"X-Earmark: v=1; id=0123456789AB\n" + plain(2), "bob@lab.test")
    assert lab.delivery("bob@lab.test").folder == "INBOX", "earmark has taken the forged flag away"
    assert_invariants(lab, [sent])


def test_what_is_addressed_to_the_detail_junk_lands_there(lab: Lab) -> None:
    past_earmark(lab, plain(3), "bob+junk@lab.test")
    past_earmark(lab, plain(4), "bob+jazz@lab.test")
    assert sorted(copy.folder for copy in lab.deliveries()) == ["INBOX", "Junk"]


def test_users_teach_both_ways_and_each_lesson_undoes_the_one_before(lab: Lab, school: School) -> None:
    spam, ham = school.spamd.learnt()
    lab.send(LISTED + plain(5), "ann@lab.test")
    assert lab.delivery("ann@lab.test").folder == "Junk"
    with school.client("ann@lab.test") as ann:
        ann.move("Junk", "INBOX")
        assert school.spamd.learnt() == (spam, ham + 1)
        ann.move("INBOX", "Junk")
        assert school.spamd.learnt() == (spam + 1, ham), "it is no ham any more"
        ann.copy("Junk", "INBOX")
        assert school.spamd.learnt() == (spam, ham + 1), "it is no spam any more"
        assert (ann.count("INBOX"), ann.count("Junk")) == (1, 1)
    assert school.taught("ann@lab.test") == [("ham", "learned"), ("spam", "learned"), ("ham", "learned")]


def test_what_goes_to_the_trash_or_comes_from_elsewhere_teaches_nothing(lab: Lab, school: School) -> None:
    lab.send(LISTED + plain(6), "cid@lab.test")
    with school.client("cid@lab.test") as cid:
        cid.create("Trash")
        cid.create("Work")
        cid.copy("Junk", TRASH)
        cid.move("Junk", "Trash")
        cid.move("Trash", "INBOX")
        cid.move("INBOX", "Work")
        assert cid.count("Work") == 1
        cid.append("Junk", plain(7))
        cid.delete("Junk")
    assert school.taught("cid@lab.test") == []


def test_over_the_bound_mail_is_moved_and_nothing_is_learnt(lab: Lab, school: School) -> None:
    school.configure(per_hour=1)
    for number in (8, 9):
        lab.send(plain(number), "dan@lab.test")
    with school.client("dan@lab.test") as dan:
        assert dan.count("INBOX") == 2
        dan.move("INBOX", "Junk")
        assert (dan.count("INBOX"), dan.count("Junk")) == (0, 2)
    assert school.taught("dan@lab.test") == [("spam", "learned")]
    assert "dan@lab.test may give 1 lessons an hour: nothing is learnt" in lab.dovecot.log.read_text()


def test_without_a_spamd_mail_is_moved_and_the_journal_says_that_nothing_was_learnt(lab: Lab, school: School) -> None:
    school.configure(endpoint=f"inet:127.0.0.1:{free_port()}")
    lab.send(plain(10), "eve@lab.test")
    with school.client("eve@lab.test") as eve:
        assert eve.count("INBOX") == 1
        eve.move("INBOX", "Junk")
        assert (eve.count("INBOX"), eve.count("Junk")) == (0, 1)
    assert school.taught("eve@lab.test") == [("spam", "failed")]
    assert "Connection refused: nothing is learnt" in lab.dovecot.log.read_text()
