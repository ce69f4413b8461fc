"""SMTP as it really comes: pipelined, with odd greetings and addresses, and with ends of data that are none."""

import pytest

from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.smtp import CLEAN, SENDER, Client, Peer, Sent, unanswered

PLAIN = b"Subject: plain\n\nplain\n"
LISTED = Peer("203.0.113.7")

# What some server or other has taken for CR LF . CR LF
ENDINGS = (
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n.\r", b"\r\n\0.\r\n",
    b"\r\r\n.\r\r\n",
)  # fmt: skip


def _send_raw(lab: Lab, port: int, data: bytes, recipient: str) -> Sent:
    """Send `data` byte for byte as it stands, but for the true end."""
    sent = unanswered(CLEAN, SENDER, [recipient], data)
    with Client(port) as client:
        client.introduce(CLEAN)
        client.command(f"MAIL FROM:<{SENDER}>")
        sent.recipients[recipient] = client.command(f"RCPT TO:<{recipient}>")
        client.command("DATA")
        client.send(data + b"\r\n.\r\nQUIT\r\n")
        sent.final = client.reply()
        assert client.reply().text.startswith("2.0.0 Bye")
    lab.settle()
    return sent


@pytest.mark.parametrize("ending", ENDINGS, ids=repr)
def test_an_end_of_data_that_is_none_smuggles_nothing_past_us(lab: Lab, ending: bytes) -> None:
    inner = b"MAIL FROM:<admin@lab.test>\r\nRCPT TO:<victim@lab.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
    data = b"Subject: outer\r\n\r\nouter" + ending + inner
    alone = _send_raw(lab, lab.postfix.plain, data, "alone@lab.test")
    assert alone.queue_id
    (expected,) = lab.take("alone@lab.test")
    sent = _send_raw(lab, lab.postfix.smtp, data, "bob@lab.test")
    sent.stored_as = expected.message
    assert not lab.deliveries("victim@lab.test")
    assert_invariants(lab, [sent])


def test_after_a_refused_recipient_the_pipelined_rest_goes_on(lab: Lab) -> None:
    sent = unanswered(LISTED, SENDER, ["refused@lab.test", "taken@marks.test"], PLAIN)
    with Client(lab.postfix.smtp) as client:
        client.introduce(LISTED)
        recipients = "".join(f"RCPT TO:<{recipient}>\r\n" for recipient in sent.recipients)
        client.send(f"MAIL FROM:<{SENDER}>\r\n{recipients}DATA\r\n".encode())
        assert client.reply().code == 250
        for recipient in list(sent.recipients):
            sent.recipients[recipient] = client.reply()
        assert client.reply().code == 354
        client.send(PLAIN.replace(b"\n", b"\r\n") + b".\r\n")
        sent.final = client.reply()
    assert [reply.code for reply in sent.recipients.values()] == [550, 250]
    assert_invariants(lab, [sent])


def test_data_pipelined_after_nothing_but_refusals_is_refused_by_postfix(lab: Lab) -> None:
    sent = unanswered(LISTED, SENDER, ["refused@lab.test"], PLAIN)
    with Client(lab.postfix.smtp) as client:
        client.introduce(LISTED)
        client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<refused@lab.test>\r\nDATA\r\nRSET\r\n".encode())
        assert client.reply().code == 250
        sent.recipients["refused@lab.test"] = client.reply()
        assert client.reply().code == 554
        assert client.reply().code == 250
    assert_invariants(lab, [sent])


HELOS = (
    "[192.0.2.10]", "[IPv6:2001:db8::1]", "192.0.2.10", "localhost", "mx.lab.test", "a" * 600, "-", "x..y", "a b c",
    "\x07\x1b[31m", "%s%n", "xn--", "b\u00fccher.test", "'; drop table verdict; --",
)  # fmt: skip


@pytest.mark.parametrize("helo", HELOS, ids=ascii)
def test_no_greeting_is_decisive_alone(lab: Lab, helo: str) -> None:
    sent = lab.send(PLAIN, "bob@lab.test", peer=CLEAN._replace(helo=helo))
    assert sent.queue_id
    assert_invariants(lab, [sent])


def test_a_client_that_never_greets_is_served(lab: Lab) -> None:
    sent = unanswered(CLEAN, SENDER, ["bob@lab.test"], PLAIN)
    with Client(lab.postfix.smtp) as client:
        client.command(f"XCLIENT ADDR={CLEAN.address} NAME={CLEAN.name}")
        client.transact(sent)
    assert sent.queue_id
    assert_invariants(lab, [sent])


SENDERS = ('"a b@c"@sender.test', "UPPER@SENDER.TEST", "user+tag@sender.test", "x" * 64 + "@sender.test", "nodomain",
           "$(id)|`id`@sender.test")  # fmt: skip


@pytest.mark.parametrize("sender", SENDERS)
def test_odd_senders_are_judged_and_told_as_they_are(lab: Lab, sender: str) -> None:
    sent = lab.send(PLAIN, "bob@lab.test", sender=sender)
    assert sent.queue_id
    assert_invariants(lab, [sent])


def test_rset_forgets_the_transaction(lab: Lab) -> None:
    first, second = (unanswered(LISTED, f"{n}@sender.test", [f"{n}@marks.test"], PLAIN) for n in ("first", "second"))
    with Client(lab.postfix.smtp) as client:
        client.introduce(LISTED)
        client.command(f"MAIL FROM:<{first.sender}>")
        first.recipients["first@marks.test"] = client.command("RCPT TO:<first@marks.test>")
        client.command("RSET")
        client.transact(second)
    assert second.queue_id
    assert_invariants(lab, [first, second])
    assert [event["ended"] for event in lab.verdicts()] == ["abort", "eom"]


def test_a_hundred_recipients_get_one_verdict_each(lab: Lab) -> None:
    domains = ("lab.test", "marks.test", "watches.test", "errors.test", "lenient.test")
    recipients = [f"{n}@{domains[n % 5]}" for n in range(100)]
    sent = lab.send(PLAIN, *recipients, peer=LISTED)
    refused = {recipient for recipient, reply in sent.recipients.items() if reply.code == 550}
    assert refused == {recipient for recipient in recipients if recipient.endswith(("@lab.test", "@lenient.test"))}
    assert_invariants(lab, [sent])
