"""Errors are not evidence: whether the resolver, a list or a worker fails, nothing is refused and nothing is lost."""

import pytest

from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.processes import wait_until
from e2e_lab.smtp import CLEAN, SENDER, Client, Peer, Sent, send_until_settled, stuffed, unanswered

PLAIN = b"Subject: plain\n\nplain\n"


def test_while_dns_is_dead_nothing_is_refused_and_the_header_says_unchecked(lab: Lab) -> None:
    sent = []
    lab.lists.hang()
    try:
        sent.append(lab.send(PLAIN, "bob@lab.test", peer=Peer("203.0.113.100")))
    finally:
        lab.lists.go_on()
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "INBOX"
    assert "bl.lab.test" in copy.values("X-Earmark")[0].partition("unchecked=")[2]

    def refused_again() -> bool:
        sent.append(lab.send(PLAIN, "bob@lab.test", peer=Peer(f"203.0.113.{100 + len(sent)}")))
        return sent[-1].recipients["bob@lab.test"].code == 550

    wait_until(refused_again, "the list is believed again", within=40)
    assert_invariants(lab, sent)


def test_a_list_that_answers_with_an_error_code_counts_nothing_and_is_named(lab: Lab) -> None:
    sent = lab.send(PLAIN, "bob@errors.test", peer=Peer("203.0.113.7"))
    copy = lab.delivery("bob@errors.test")
    assert copy.folder == "INBOX"
    assert copy.values("X-Spam-Score") == ["0.00"]
    assert copy.values("X-Earmark")[0].endswith("unchecked=errors.lab.test")
    assert_invariants(lab, [sent])


STAGES = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY")


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_killed_in_the_middle_costs_a_451_and_the_retry_delivers(lab: Lab, stage: str) -> None:
    broken = _play_and_kill(lab, stage)
    assert broken.final is None or 400 <= broken.final.code < 500
    assert all(reply.code == 250 or 400 <= reply.code < 500 for reply in broken.recipients.values())
    retried = send_until_settled(lambda left: lab.send(PLAIN, *left), ["bob@lab.test"])
    assert lab.delivery("bob@lab.test").folder == "INBOX"
    assert_invariants(lab, [broken, *retried])


def _play_and_kill(lab: Lab, stage: str) -> Sent:
    """Play a transaction and kill all children after `stage`; return how it ended."""
    sent = unanswered(CLEAN, SENDER, ["bob@lab.test"], PLAIN)
    half = len(PLAIN) // 2

    def reached(name: str) -> None:
        if name == stage:
            lab.service.kill_children()

    with Client(lab.postfix.smtp) as client:
        reached("CONNECT")
        greeted = client.introduce(CLEAN)
        reached("EHLO")
        mail = client.command(f"MAIL FROM:<{SENDER}>") if greeted.code == 250 else greeted
        reached("MAIL")
        sent.recipients["bob@lab.test"] = client.command("RCPT TO:<bob@lab.test>") if mail.code == 250 else mail
        reached("RCPT")
        if not sent.accepted:
            return sent
        sent.final = client.command("DATA")
        reached("DATA")
        if sent.final.code == 354:
            client.send(stuffed(PLAIN)[:half])
            reached("BODY")
            client.send(stuffed(PLAIN)[half:])
            sent.final = client.reply()
    return sent


def test_a_killed_service_takes_its_children_along_and_loses_no_mail(lab: Lab) -> None:
    children = lab.service.children()
    lab.service.kill()
    wait_until(lambda: not any(lab.service.lives(pid) for pid in children), "no child outlives the supervisor")
    refused = lab.send(PLAIN, "bob@lab.test")
    assert refused.recipients["bob@lab.test"].code == 451
    lab.service.start()
    retried = send_until_settled(lambda left: lab.send(PLAIN, *left), ["bob@lab.test"])
    assert_invariants(lab, [refused, *retried])
