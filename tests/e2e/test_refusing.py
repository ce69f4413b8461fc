"""Who is refused, and who is not: the connecting address decides, at RCPT, under each recipient's own policy."""

import pytest

from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.smtp import CLEAN, Client, Peer, unanswered
from earmark.core.zones import reversed_name

PLAIN = b"Subject: plain\n\nplain\n"
LISTED = Peer("203.0.113.7")
LISTED_6 = Peer("2001:db8:bad::7")


@pytest.mark.parametrize("peer", [LISTED, LISTED_6, Peer("::ffff:203.0.113.9")])
def test_a_listed_client_is_refused_at_rcpt_in_our_words(lab: Lab, peer: Peer) -> None:
    sent = lab.send(PLAIN, "bob@lab.test", peer=peer)
    reply = sent.recipients["bob@lab.test"]
    address = peer.address.removeprefix("::ffff:")
    assert reply.code == 550
    assert reply.text.startswith(f"5.7.1 Refused: {address} is listed by bl.lab.test (listed by the lab)")
    assert len(sent.verdict_ids) == 1
    assert not lab.deliveries()
    sent.peer = peer._replace(address=address)
    assert_invariants(lab, [sent])


@pytest.mark.parametrize("peer", [CLEAN, Peer("2001:db8::10"), Peer("198.51.100.1", name="")])
def test_a_client_that_no_list_has_is_let_in(lab: Lab, peer: Peer) -> None:
    sent = lab.send(PLAIN, "bob@lab.test", peer=peer)
    assert lab.delivery("bob@lab.test").folder == "INBOX"
    assert_invariants(lab, [sent])


NOBODYS = (
    "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.16.0.1", "192.168.1.1", "224.0.0.1", "::1", "fe80::1",
    "fc00::1", "ff02::1", "64:ff9b::cb00:7107", "2002:cb00:7107::1",
)  # fmt: skip


CANARIES = ("127.0.0.1",)
"""Asked of the lists by ourselves, to see that they do not have it (RFC 5782 section 5)."""


def test_no_query_leaves_for_a_client_whose_address_is_nobodys(lab: Lab) -> None:
    before = len(lab.lists.queries())
    sent = [lab.send(PLAIN, "bob@lab.test", peer=Peer(address, name="")) for address in NOBODYS]
    assert all(one.queue_id for one in sent)
    asked = lab.lists.queries()[before:]
    nobodys = tuple(f"{reversed_name(address)}." for address in NOBODYS if address not in CANARIES)
    assert not [name for name in asked if name.startswith(nobodys)]
    sent.append(lab.send(PLAIN, "bob@lab.test", peer=Peer("203.0.113.77", name="")))
    asked = lab.lists.queries()[before:]
    assert "77.113.0.203.bl.lab.test" in asked, "else this test looks for the wrong thing"
    assert_invariants(lab, sent)


def test_one_recipients_policy_refuses_and_the_others_still_get_the_mail(lab: Lab) -> None:
    sent = lab.send(PLAIN, "a@lab.test", "b@marks.test", "c@lab.test", "d@errors.test", peer=LISTED)
    assert [reply.code for reply in sent.recipients.values()] == [550, 250, 550, 250]
    assert {copy.recipient for copy in lab.deliveries()} == {"b@marks.test", "d@errors.test"}
    assert_invariants(lab, [sent])


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_recipients_changes_no_refusal(lab: Lab, order: int) -> None:
    sent = lab.send(PLAIN, *["a@lab.test", "b@marks.test", "c@watches.test"][::order], peer=LISTED)
    assert {recipient: reply.code for recipient, reply in sent.recipients.items()} == {
        "a@lab.test": 550,
        "b@marks.test": 250,
        "c@watches.test": 250,
    }
    assert_invariants(lab, [sent])


@pytest.mark.parametrize("peer", [LISTED._replace(login="bob"), Peer("192.0.2.200"), Peer("127.0.0.1")])
def test_who_authenticated_or_is_of_our_own_network_is_exempt(lab: Lab, peer: Peer) -> None:
    sent = lab.send(b"Received: from [203.0.113.8] by x; now\nX-Spam-Flag: NO\n" + PLAIN, "bob@lab.test", peer=peer)
    copy = lab.delivery("bob@lab.test")
    assert not copy.marked
    assert copy.message.startswith(b"Received: from [203.0.113.8] by x; now\nX-Spam-Flag: NO\n")
    assert_invariants(lab, [sent])
    (event,) = lab.verdicts()
    assert event["exempt"]


@pytest.mark.parametrize("recipient", ["postmaster@lab.test", "Abuse@lab.test"])
def test_postmaster_and_abuse_stay_reachable(lab: Lab, recipient: str) -> None:
    sent = lab.send(PLAIN, recipient, "bob@lab.test", peer=LISTED)
    assert [reply.code for reply in sent.recipients.values()] == [250, 550]
    assert len(lab.deliveries()) == 1
    assert_invariants(lab, [sent])


def test_a_bounce_is_not_held_against_its_null_sender(lab: Lab) -> None:
    sent = lab.send(PLAIN, "bob@lab.test", sender="")
    assert lab.delivery("bob@lab.test").folder == "INBOX"
    assert_invariants(lab, [sent])


@pytest.mark.parametrize("recipient", ["bob@b\u00fccher.test", "bob@xn--bcher-kva.test", "bob@XN--BCHER-KVA.test"])
def test_both_spellings_of_an_international_domain_find_its_policy(lab: Lab, recipient: str) -> None:
    sent = lab.send(PLAIN, recipient, peer=LISTED, parameters=" SMTPUTF8")
    reply = sent.recipients[recipient]
    assert reply.code == 550
    assert reply.text.endswith("see https://help.example/")
    assert_invariants(lab, [sent])


def test_a_mail_for_an_international_address_arrives(lab: Lab) -> None:
    message = "Subject: Grüße\n\nhallo\n".encode()
    sent = lab.send(message, "bob@b\u00fccher.test", parameters=" SMTPUTF8")
    assert lab.delivery("bob@b\u00fccher.test").message == message
    assert_invariants(lab, [sent])


def test_transactions_of_one_connection_do_not_touch_each_other(lab: Lab) -> None:
    domains = ["lab.test", "marks.test", "watches.test", "errors.test", "lab.test"]
    tries = [unanswered(LISTED, f"{n}@sender.test", [f"{n}@{domain}"], PLAIN) for n, domain in enumerate(domains)]
    with Client(lab.postfix.smtp) as client:
        client.introduce(LISTED)
        for sent in tries:
            client.transact(sent)
    codes = [reply.code for sent in tries for reply in sent.recipients.values()]
    assert codes == [550, 250, 250, 250, 550]
    assert [copy.marked for copy in sorted(lab.deliveries(), key=lambda copy: copy.recipient)] == [True, False, False]
    assert_invariants(lab, tries)
