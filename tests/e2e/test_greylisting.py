"""Greylisting and rates with real servers: told to come back, coming back, let in; and the rest at the limit."""

from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.processes import wait_until
from e2e_lab.smtp import Peer, Sent

PLAIN = b"Subject: plain\n\nplain\n"
ODD = Peer("192.0.2.11", name="", helo="192.0.2.11")


def test_a_suspicious_client_is_told_to_come_back_and_let_in_when_it_does(lab: Lab) -> None:
    sent = [lab.send(PLAIN, "bob@grey.test", peer=ODD)]
    reply = sent[0].recipients["bob@grey.test"]
    assert reply.code == 451
    assert reply.text.startswith("4.7.1 greylisted, not seen before: come back in 2 seconds (id ")

    def accepted() -> bool:
        sent.append(lab.send(PLAIN, "bob@grey.test", peer=ODD))
        return bool(sent[-1].queue_id)

    wait_until(accepted, "the client is let in")
    assert len(sent) > 2, "it came back too early at least once"
    assert lab.delivery("bob@grey.test").folder == "INBOX"
    (first,) = sent[0].verdict_ids
    wait_until(lambda: len(lab.verdicts()) == len(sent), "all attempts are logged")
    (last,) = (told for told in lab.verdicts() if told["queue_id"] == sent[-1].queue_id)
    assert "GREYLIST_PASSED" in [found["name"] for found in last["findings"]]
    wait_until(lambda: lab.service.run("explain", last["id"]).returncode == 0, "the history holds the last one")
    assert f"after the first attempt, verdict {first}" in lab.service.run("explain", last["id"]).stdout
    listed = lab.service.run("greylist", "show", "grey.test").stdout
    assert f"first by verdict {first}" in listed
    assert_invariants(lab, sent)


def test_others_need_not_wait_for_who_is_suspicious(lab: Lab) -> None:
    sent = lab.send(PLAIN, "eve@grey.test")
    assert lab.delivery("eve@grey.test").folder == "INBOX"
    assert_invariants(lab, [sent])


def test_at_its_limit_a_recipient_takes_no_more_and_the_other_recipients_do(lab: Lab) -> None:
    sent: list[Sent] = [lab.send(PLAIN, "flooded@limited.test", "other@lab.test") for _ in range(3)]
    codes = [one.recipients["flooded@limited.test"].code for one in sent]
    assert codes == [250, 250, 451], "whichever worker was asked"
    assert len(lab.deliveries("other@lab.test")) == 3
    assert_invariants(lab, sent)
