"""A list of domain names, kept by a real rbldnsd: which names it is asked about, and what a listing does."""

from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.smtp import CLEAN, Peer

PLAIN = b"Subject: plain\n\nplain\n"
HOSTILE = ("203.0.113.50", "[203.0.113.50]", "[IPv6:2001:db8:bad::8]", "203.0.113.0x32", "50.113.0.203.in-addr.arpa")


def test_mail_of_a_listed_domain_lands_in_junk(lab: Lab) -> None:
    sent = lab.send(PLAIN, "bob@lab.test", sender="offers@news.spam.test")
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "Junk"
    assert "LAB_DOMAIN" in copy.values("X-Spam-Status")[0]
    assert_invariants(lab, [sent])


def test_a_listed_domain_and_a_bad_envelope_are_refused_in_our_words(lab: Lab) -> None:
    peer = Peer("198.51.100.1", name="", helo="203.0.113.50")
    sent = lab.send(PLAIN, "bob@lab.test", peer=peer, sender="offers@spam.test")
    reply = sent.recipients["bob@lab.test"]
    assert reply.code == 550
    assert "spam.test (sender) is listed by names.lab.test (a domain listed by the lab)" in reply.text
    assert_invariants(lab, [sent])


def test_an_address_is_never_asked_of_a_list_of_names(lab: Lab) -> None:
    sent = [lab.send(PLAIN, "bob@lab.test", peer=CLEAN._replace(helo=literal)) for literal in HOSTILE]
    sent += [lab.send(PLAIN, "bob@lab.test", sender=f"someone@{literal}") for literal in HOSTILE]
    sent.append(lab.send(PLAIN, "bob@lab.test", sender="someone@mail.control.test"))
    asked = [name for name in lab.lists.queries() if name.endswith(".names.lab.test")]
    assert "control.test.names.lab.test" in asked, "else this test looks for the wrong thing"
    assert not [name for name in asked if "203" in name or "2001" in name]
    assert_invariants(lab, [one for one in sent if one.queue_id])  # Postfix itself refuses some of these senders
