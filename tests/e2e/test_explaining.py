"""Every verdict explains itself: by the queue id in Postfix's log, by the id in the header, by the id in a refusal."""

import json
from typing import Any

from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.processes import wait_until
from e2e_lab.smtp import Peer

HOME = b"Received: from home (pool-8.isp.test [203.0.113.8]) by mail.sender.test with ESMTP; now\n"
PLAIN = b"Subject: plain\nMessage-ID: <explained@sender.test>\n\nplain\n"


def _explained(lab: Lab, key: str) -> dict[str, Any]:
    """Return what explain says once the history holds it: the writer batches."""
    wait_until(lambda: lab.service.run("explain", key).returncode == 0, f"the history holds {key}")
    told: dict[str, Any] = json.loads(lab.service.run("explain", key, "--json").stdout)
    return told


def test_a_mark_is_explained_by_queue_id_header_id_and_message_id(lab: Lab) -> None:
    sent = lab.send(HOME + PLAIN, "bob@lab.test")
    trace = lab.delivery("bob@lab.test").values("X-Earmark")[0]
    verdict_id = trace.partition("id=")[2][:12]
    for key in (sent.queue_id, verdict_id, "<explained@sender.test>"):
        told = _explained(lab, key)
        assert (told["v"], told["action"]) == (1, "mark")
        (recipient,) = told["recipients"]
        (finding,) = recipient["findings"]
        assert (finding["name"], finding["score"], finding["origin"]) == ("RECEIVED_LAB_LISTED", 5.0, "header")
        assert told["received"][0]["ip"] == "203.0.113.8"
    assert_invariants(lab, [sent])


def test_a_refusal_is_explained_by_the_id_that_the_sender_was_told(lab: Lab) -> None:
    sent = lab.send(PLAIN, "bob@lab.test", peer=Peer("203.0.113.7"))
    (verdict_id,) = sent.verdict_ids
    told = _explained(lab, verdict_id)
    (recipient,) = told["recipients"]
    assert recipient["action"] == "reject"
    assert recipient["reply"] == "550 " + sent.recipients["bob@lab.test"].text
    assert any(finding["set_by"].startswith("rules/lab.toml:") for finding in recipient["findings"])
    assert_invariants(lab, [sent])


def test_explain_says_first_that_a_session_was_exempt_and_why(lab: Lab) -> None:
    sent = lab.send(PLAIN, "bob@lab.test", peer=Peer("203.0.113.7", login="bob"))
    wait_until(lambda: lab.service.run("explain", sent.queue_id).returncode == 0, "the history holds it")
    first = lab.service.run("explain", sent.queue_id).stdout.splitlines()[0]
    assert "authenticated as bob" in first
    assert_invariants(lab, [sent])
