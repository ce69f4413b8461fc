"""The lab's policies served by policy delegation only: what check_policy_service can do, and what it cannot."""

import socketserver
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from e2e_lab import smtp
from e2e_lab.crowd import Traffic, crowd
from e2e_lab.lab import Lab
from e2e_lab.processes import wait_until
from e2e_lab.smtp import CLEAN, SENDER, Client, Peer, Sent, unanswered

PLAIN = b"Subject: plain\n\nplain\n"
LISTED = Peer("203.0.113.7")
LISTED_6 = Peer("2001:db8:bad::7")
ODD = Peer("192.0.2.12", name="", helo="192.0.2.12")
SESSIONS = 200


def send(lab: Lab, *recipients: str, peer: Peer = CLEAN, sender: str = SENDER, message: bytes = PLAIN) -> Sent:
    """Send one message through Postfix with the policy door before it, and no milter."""
    return smtp.send(lab.postfix.delegating, peer, sender, recipients, message)


def verdicts(lab: Lab) -> list[dict[str, Any]]:
    """Return the verdict events, each of one recipient."""
    return [event for event in lab.verdicts() if event["ended"] == "policy"]


def assert_nothing_is_lost(lab: Lab, sent: Sequence[Sent]) -> None:
    """Each recipient who was taken has one copy, as Postfix alone makes it; each answer of ours has its verdict."""
    expected = Counter((one.queue_id, recipient) for one in sent if one.queue_id for recipient in one.accepted)
    copies = lab.deliveries()
    assert Counter((copy.queue_id, copy.recipient) for copy in copies) == expected
    messages = {one.queue_id: one.message for one in sent}
    assert all(copy.message == messages[copy.queue_id] for copy in copies)
    answered = _answers(sent, 250) + _answers(sent, 550)
    wait_until(lambda: _told(lab, "accept") + _told(lab, "reject") >= answered, "a verdict for each answer")
    assert _told(lab, "reject") >= _answers(sent, 550)
    ids = [event["id"] for event in verdicts(lab)]
    assert len(set(ids)) == len(ids)
    assert lab.service.running


def _answers(sent: Sequence[Sent], code: int) -> Counter[str]:
    return Counter(recipient for one in sent for recipient, reply in one.recipients.items() if reply.code == code)


def _told(lab: Lab, action: str) -> Counter[str]:
    return Counter(event["recipients"][0]["address"] for event in verdicts(lab) if event["action"] == action)


@pytest.mark.parametrize("peer", [LISTED, LISTED_6])
def test_a_listed_client_is_refused_at_rcpt_in_our_words_behind_those_of_postfix(lab: Lab, peer: Peer) -> None:
    sent = send(lab, "bob@lab.test", peer=peer)
    reply = sent.recipients["bob@lab.test"]
    assert reply.code == 550
    ours = f"Refused: {peer.address} is listed by bl.lab.test (listed by the lab)"
    assert reply.text.startswith(f"5.7.1 <bob@lab.test>: Recipient address rejected: {ours}")
    (told,) = sent.verdict_ids
    wait_until(lambda: lab.service.run("explain", told).returncode == 0, "the history holds it")
    assert "bl.lab.test" in lab.service.run("explain", told).stdout
    assert_nothing_is_lost(lab, [sent])


PEERS = (CLEAN, LISTED, LISTED_6, Peer("2001:db8::10"), LISTED._replace(login="bob"), Peer("192.0.2.200"), ODD)
RECIPIENTS = ("a@lab.test", "b@marks.test", "c@watches.test", "postmaster@lab.test", "d@errors.test")


@pytest.mark.parametrize("peer", PEERS, ids=str)
@pytest.mark.parametrize("sender", [SENDER, ""])
def test_each_recipient_meets_what_it_would_meet_with_the_milter(lab: Lab, peer: Peer, sender: str) -> None:
    by_milter = lab.send(PLAIN, *RECIPIENTS, peer=peer, sender=sender)
    codes = {recipient: reply.code for recipient, reply in by_milter.recipients.items()}
    lab.settle()
    lab.begin()
    sent = send(lab, *RECIPIENTS, peer=peer, sender=sender)
    assert {recipient: reply.code for recipient, reply in sent.recipients.items()} == codes
    for recipient, reply in sent.recipients.items():
        if reply.code != 250:
            words = by_milter.recipients[recipient].text.removeprefix("5.7.1 ").partition(" (id ")[0]
            assert words in reply.text
    assert_nothing_is_lost(lab, [sent])
    wait_until(lambda: len(verdicts(lab)) == len(RECIPIENTS), "one verdict for each recipient")


def test_a_suspicious_client_is_told_to_come_back_and_let_in_when_it_does(lab: Lab) -> None:
    sent = [send(lab, "del@grey.test", peer=ODD, sender="a@delegated.sender.test")]
    reply = sent[0].recipients["del@grey.test"]
    assert reply.code == 451
    greylisted = "Recipient address rejected: greylisted, not seen before: come back in 2 seconds (id "
    assert reply.text.startswith(f"4.7.1 <del@grey.test>: {greylisted}")

    def accepted() -> bool:
        sent.append(send(lab, "del@grey.test", peer=ODD, sender="a@delegated.sender.test"))
        return bool(sent[-1].queue_id)

    wait_until(accepted, "the client is let in")
    assert_nothing_is_lost(lab, sent)


def test_at_its_limit_a_recipient_takes_no_more_and_the_other_recipients_do(lab: Lab) -> None:
    sent = [send(lab, "delegated@limited.test", "other@lab.test") for _ in range(3)]
    assert [one.recipients["delegated@limited.test"].code for one in sent] == [250, 250, 451]
    assert len(lab.deliveries("other@lab.test")) == 3
    assert_nothing_is_lost(lab, sent)


def test_nothing_is_marked_and_no_forged_field_removed(lab: Lab) -> None:
    message = b"X-Spam-Flag: NO\nReceived: from home ([203.0.113.8]) by mail.sender.test with ESMTP; now\n" + PLAIN
    sent = send(lab, "bob@lab.test", message=message)
    copy = lab.delivery("bob@lab.test")
    assert not copy.ours
    assert copy.message == message
    assert_nothing_is_lost(lab, [sent])


def test_odd_addresses_are_asked_about_and_taken(lab: Lab) -> None:
    peer = Peer("192.0.2.13")
    with Client(lab.postfix.delegating) as client:
        client.introduce(peer)
        for sender in ('"a b=c%d"@sender.test', '"a\rb"@sender.test', "@relay.test:a@sender.test", "a=b@sender.test"):
            sent = unanswered(peer, sender, ["bob@lab.test"], PLAIN)
            client.transact(sent)
            assert sent.queue_id, (sender, sent)
        sent = unanswered(peer, SENDER, ["bob@lab.test"], PLAIN)
        client.transact(sent)
        assert sent.queue_id


KINDS = (
    Traffic(CLEAN, PLAIN, {"clean@lab.test": "INBOX"}),
    Traffic(Peer("2001:db8:bad::7"), PLAIN, {"listed6@lab.test": "refused", "listed6@marks.test": "INBOX"}),
    Traffic(LISTED, PLAIN, {"listed@lab.test": "refused"}),
    Traffic(CLEAN, PLAIN, {f"many{number}@lab.test": "INBOX" for number in range(4)}),
)
TRAFFIC = [KINDS[number % len(KINDS)] for number in range(SESSIONS)]
DUE = {recipient: due for kind in KINDS for recipient, due in kind.due.items()}


def _assert_each_got_its_due(lab: Lab, sent: Sequence[Sent]) -> None:
    """Who is refused is due for it; who was taken though due, was so while no list had answered."""
    unchecked = {(event["sender"], event["recipients"][0]["address"]) for event in verdicts(lab) if event["unknown"]}
    for one in sent:
        for recipient, reply in one.recipients.items():
            due = {451, 550 if DUE[recipient] == "refused" else 250}
            assert reply.code in due or (reply.code == 250 and (one.sender, recipient) in unchecked), one


def test_two_hundred_sessions_at_once_each_get_their_own_answer(lab: Lab) -> None:
    with crowd(lab.postfix.delegating, TRAFFIC) as senders:
        sent = senders.finish()
    assert not any(one.put_off for one in sent)
    assert_nothing_is_lost(lab, sent)
    assert not any(event["unknown"] for event in verdicts(lab))
    _assert_each_got_its_due(lab, sent)


def test_a_restart_and_a_reload_under_load_put_off_and_lose_nothing(lab: Lab) -> None:
    with crowd(lab.postfix.delegating, TRAFFIC[:40]) as senders:
        assert lab.service.run("reload").returncode == 0
        lab.service.stop()
        senders.wait_until_put_off()
        lab.service.start()
        lab.service.wait_ready()
        sent = senders.finish()
    settled = {(one.sender, recipient) for one in sent for recipient in one.recipients if one.queue_id}
    settled |= {(one.sender, to) for one in sent for to, reply in one.recipients.items() if reply.code >= 500}
    assert {(one.sender, recipient) for one in sent for recipient in one.recipients} == settled
    assert_nothing_is_lost(lab, sent)
    _assert_each_got_its_due(lab, sent)


DOWN = "4.3.5 <bob@lab.test>: Recipient address rejected: Mail cannot be checked now; try again later"


def test_while_nobody_answers_at_the_door_the_sender_keeps_the_mail(lab: Lab) -> None:
    sent = smtp.send(lab.postfix.astray, LISTED, SENDER, ["bob@lab.test"], PLAIN)
    reply = sent.recipients["bob@lab.test"]
    assert (reply.code, reply.text) == (451, DOWN)
    assert not lab.deliveries()


@contextmanager
def who_answers(port: int, answer: bytes) -> Iterator[None]:
    """Answer each request at this port with these bytes, then close."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"action=DUNNO", b"action=550 5.7.1"])
def test_an_answer_that_is_cut_short_or_none_at_all_refuses_nobody(lab: Lab, answer: bytes) -> None:
    with who_answers(lab.postfix.nobody, answer):
        sent = smtp.send(lab.postfix.astray, LISTED, SENDER, ["bob@lab.test"], PLAIN)
    assert sent.recipients["bob@lab.test"].code == 451
    assert not lab.deliveries()
