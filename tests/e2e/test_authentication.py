"""Sender authentication through a real Postfix: what the message gets to bear, and who may refuse on it."""

import pytest

from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.smtp import CLEAN
from fakes.signing import signed

FORGED = "someone@author.test"
PLAIN = b"From: Ann <ann@author.test>\nSubject: a letter\nDate: Fri, 11 Jul 2025 21:00:37 -0700\n\nHello\n"
SIGNED = signed(PLAIN.replace(b"\n", b"\r\n"), domain="author.test").replace(b"\r\n", b"\n")


def test_a_signature_that_holds_passes_dmarc_and_is_said_in_the_results(lab: Lab) -> None:
    sent = lab.send(SIGNED, "bob@strict.test", sender=FORGED)
    (results,) = lab.delivery("bob@strict.test").values("Authentication-Results")
    assert results.startswith("mx.lab.test;")
    assert "spf=fail smtp.mailfrom=author.test" in results
    assert "dkim=pass (2048-bit key) header.d=author.test header.s=s2048" in results
    assert "dmarc=pass header.from=author.test" in results
    assert_invariants(lab, [sent])


def test_who_asks_for_rejection_gets_it_where_the_recipients_policy_says_so(lab: Lab) -> None:
    sent = lab.send(PLAIN, "bob@strict.test", sender=FORGED)
    assert sent.recipients["bob@strict.test"].code == 250, "at RCPT nobody knows the author yet"
    assert sent.final is not None
    assert sent.final.code == 550
    assert sent.final.text.startswith("5.7.1 Refused: DMARC fails for author.test, whose policy is reject")
    assert not lab.deliveries()
    assert_invariants(lab, [sent])


def test_without_the_opt_in_such_mail_is_marked(lab: Lab) -> None:
    sent = lab.send(PLAIN, "bob@lab.test", sender=FORGED)
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "Junk"
    assert "dmarc=fail policy.dmarc=reject header.from=author.test" in copy.values("Authentication-Results")[0]
    assert_invariants(lab, [sent])


@pytest.mark.parametrize("order", [1, -1])
def test_a_refusal_after_data_is_never_imposed_on_another_domain(lab: Lab, order: int) -> None:
    sent = lab.send(PLAIN, *["bob@strict.test", "eve@lab.test"][::order], sender=FORGED)
    assert sent.final is not None
    assert sent.final.code == 250
    assert [copy.recipient for copy in lab.deliveries()] == ["eve@lab.test"]
    assert [row["recipient"] for row in lab.held()] == ["bob@strict.test"]
    assert_invariants(lab, [sent])


def test_results_that_claim_our_name_are_removed_and_foreign_ones_stay(lab: Lab) -> None:
    forged = b"Authentication-Results: MX.lab.test. ; dkim=pass header.d=bank.example\n"
    foreign = b"Authentication-Results: mx.other.example; spf=pass smtp.mailfrom=a@b.example\n"
    message = b"From: Ann <ann@sender.test>\nSubject: results\n\nplain\n"
    sent = lab.send(forged + foreign + forged + message, "bob@lab.test", peer=CLEAN)
    copy = lab.delivery("bob@lab.test")
    assert copy.message == foreign + message
    assert len(copy.values("Authentication-Results")) == 1
    sent.stored_as = foreign + message
    assert_invariants(lab, [sent])


def test_a_resolver_that_hangs_is_no_failed_signature(lab: Lab) -> None:
    lab.lists.hang()
    try:
        sent = lab.send(SIGNED.replace(b"author.test", b"other.test"), "bob@strict.test", sender="a@other.test")
    finally:
        lab.lists.go_on()
    assert sent.final is not None
    assert sent.final.code == 250
    copy = lab.delivery("bob@strict.test")
    assert copy.folder == "INBOX"
    assert "dkim=temperror" in copy.values("Authentication-Results")[0]
    assert_invariants(lab, [sent])
