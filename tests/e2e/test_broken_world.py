"""Errors are not evidence: whether the resolver, a list or a worker fails, nothing is refused and nothing is lost."""

from collections.abc import Iterator
from functools import partial

from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.processes import wait_until
from e2e_lab.smtp import CLEAN, Client, Peer, Sent, send_until_settled, stuffed, unanswered

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


def test_a_list_that_begins_to_list_the_world_is_disarmed_within_a_minute_under_traffic(lab: Lab) -> None:
    def come(address: str) -> int:
        sent.append(lab.send(PLAIN, "bob@turning.test", peer=Peer(address)))
        return sent[-1].recipients["bob@turning.test"].code

    def disarmed() -> bool:
        come(f"192.0.2.{30 + len(sent) % 90}")
        told = [event for event in lab.service.events() if event["event"] == "list_disarmed"]
        return any((event["zone"], event["reason"]) == ("turning.lab.test", "lists the world") for event in told)

    sent: list[Sent] = []
    assert come("203.0.113.7") == 550
    with lab.lists.listing_the_world():
        wait_until(disarmed, "the list is disarmed", within=60)
        assert {come(f"192.0.2.{30 + number}") for number in range(20)} == {250}, "those too who were refused just now"
        assert come("203.0.113.7") == 250
        shown = lab.service.run("lists")
    assert lab.deliveries("bob@turning.test")[-1].values("X-Earmark")[0].endswith("unchecked=turning.lab.test")
    assert shown.returncode == 1
    assert "turning.lab.test: lists the world" in shown.stdout
    assert_invariants(lab, sent)


STAGES = ("EHLO", "MAIL", "RCPT", "DATA", "BODY")


def test_workers_killed_at_every_stage_cost_a_451_and_the_retry_delivers(lab: Lab) -> None:
    broken = [unanswered(CLEAN, f"{stage}@sender.test", ["bob@lab.test"], PLAIN) for stage in STAGES]
    dialogues = [_dialogue(lab, sent) for sent in broken]
    for stage, dialogue in zip(STAGES, dialogues, strict=True):
        while next(dialogue) != stage:
            pass
    lab.service.kill_children()
    sent = list(broken)
    for one, dialogue in zip(broken, dialogues, strict=True):
        assert list(dialogue)[-1] == "END"
        last = one.final or one.recipients["bob@lab.test"]
        assert last.code == 451, one
        sent += send_until_settled(partial(_retry, lab, one.sender), ["bob@lab.test"])
    assert [copy.folder for copy in lab.deliveries()] == ["INBOX"] * len(STAGES)
    assert_invariants(lab, sent)


def _retry(lab: Lab, sender: str, recipients: list[str]) -> Sent:
    return lab.send(PLAIN, *recipients, sender=sender)


def _dialogue(lab: Lab, sent: Sent) -> Iterator[str]:
    """Play a transaction, and stop after each stage until asked for the next one."""
    half = len(PLAIN) // 2
    with Client(lab.postfix.smtp) as client:
        client.introduce(sent.peer)
        yield "EHLO"
        mail = client.command(f"MAIL FROM:<{sent.sender}>")
        yield "MAIL"
        (recipient,) = sent.recipients
        sent.recipients[recipient] = client.command(f"RCPT TO:<{recipient}>") if mail.code == 250 else mail
        yield "RCPT"
        if sent.accepted:
            sent.final = client.command("DATA")
            yield "DATA"
        if sent.final and sent.final.code == 354:
            client.send(stuffed(PLAIN)[:half])
            yield "BODY"
            client.send(stuffed(PLAIN)[half:])
            sent.final = client.reply()
        yield "END"


def test_a_killed_service_takes_its_children_along_and_loses_no_mail(lab: Lab) -> None:
    children = lab.service.children()
    lab.service.kill()
    wait_until(lambda: not any(lab.service.lives(pid) for pid in children), "no child outlives the supervisor")
    refused = lab.send(PLAIN, "bob@lab.test")
    assert refused.recipients["bob@lab.test"].code == 451
    lab.service.start()
    retried = send_until_settled(lambda left: lab.send(PLAIN, *left), ["bob@lab.test"])
    assert_invariants(lab, [refused, *retried])
