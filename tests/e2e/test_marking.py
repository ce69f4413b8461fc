"""What is only claimed, above all by Received, is marked and never refused; Sieve files it."""

import pytest

from e2e_lab.configuration import OWN_RELAY
from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.smtp import Peer

LISTED = Peer("203.0.113.7")
HOME = (
    b"Received: from home (pool-8.isp.test [203.0.113.8])\n\tby mail.sender.test (Postfix) with ESMTP id 1\n"
    b"\tfor <bob@lab.test>; Mon, 02 Nov 2026 09:00:00 +0000\n"
)
PLAIN = b"Subject: plain\n\nplain\n"


@pytest.mark.parametrize("literal", [b"[203.0.113.8]", b"[IPv6:2001:db8:bad::8]"])
def test_a_listed_address_that_stands_only_in_received_lands_in_junk(lab: Lab, literal: bytes) -> None:
    sent = lab.send(HOME.replace(b"[203.0.113.8]", literal) + PLAIN, "bob@lab.test")
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "Junk"
    assert copy.marked
    assert copy.values("X-Spam-Status")[0].startswith("Yes, score=5.00 required=5.00 tests=RECEIVED_LAB_LISTED")
    assert copy.values("X-Spam-Level") == ["*****"]
    assert_invariants(lab, [sent])


def test_a_policy_range_in_received_counts_nothing(lab: Lab) -> None:
    sent = lab.send(HOME.replace(b"203.0.113.8", b"198.51.100.66") + PLAIN, "bob@lab.test")
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "INBOX"
    assert copy.values("X-Spam-Score") == ["0.00"]
    assert_invariants(lab, [sent])


def test_what_a_listed_client_handed_to_our_own_relay_is_marked_and_not_refused(lab: Lab) -> None:
    recorded = HOME.replace(b"by mail.sender.test", b"by relay.lab.test")
    sent = lab.send(
        recorded + PLAIN, "bob@lab.test", peer=Peer(OWN_RELAY, name="relay.lab.test", helo="relay.lab.test")
    )
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "Junk"
    assert copy.values("X-Spam-Score") == ["8.00"]
    assert_invariants(lab, [sent])


def test_mode_mark_turns_a_refusal_into_a_mark_and_says_so(lab: Lab) -> None:
    sent = lab.send(PLAIN, "bob@marks.test", peer=LISTED)
    copy = lab.delivery("bob@marks.test")
    assert copy.folder == "Junk"
    assert "would=reject" in copy.values("X-Earmark")[0]
    assert_invariants(lab, [sent])


def test_mode_observe_says_what_it_would_do_and_does_nothing(lab: Lab) -> None:
    sent = lab.send(HOME + PLAIN, "bob@watches.test", peer=LISTED)
    copy = lab.delivery("bob@watches.test")
    assert copy.folder == "INBOX"
    assert not copy.marked
    assert "would=reject" in copy.values("X-Earmark")[0]
    assert_invariants(lab, [sent])


def test_where_only_some_policies_mark_nobody_is_marked(lab: Lab) -> None:
    """All recipients share one header: the lowest score is written, and a flag only where every policy marks."""
    sent = lab.send(HOME + PLAIN, "strict@lab.test", "lenient@lenient.test")
    assert [(copy.folder, copy.marked) for copy in lab.deliveries()] == [("INBOX", False)] * 2
    for copy in lab.deliveries():
        assert not any(b"lenient.test" in field for field in copy.ours)
    assert_invariants(lab, [sent])


def test_a_marked_subject_is_tagged_once_where_the_policy_asks_for_it(lab: Lab) -> None:
    tagged, already = b"Subject: [SPAM?] plain\n\nplain\n", b"Subject: [SPAM?] already\n\nplain\n"
    sent = [lab.send(HOME + PLAIN, "new@tagged.test"), lab.send(HOME + already, "old@tagged.test")]
    sent[0].stored_as = HOME + tagged
    assert_invariants(lab, sent)
