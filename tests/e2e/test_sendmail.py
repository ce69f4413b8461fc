"""Sendmail with deploy/sendmail/earmark.m4: the same verdicts as with Postfix, and what differs (docs/sendmail.md)."""

import time
from collections.abc import Iterator
from functools import partial

import pytest

from e2e_lab import sendmail as installed
from e2e_lab.clamd import MARKER
from e2e_lab.configuration import ENGINE, SCAN_BUDGET
from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.processes import wait_until
from e2e_lab.sendmail import FORGED, NAMELESS, UNTOLD, Sendmail
from e2e_lab.smtp import CLEAN, SENDER, Peer, Sent, send_until_settled, stuffed, unanswered
from e2e_lab.store import OUR_NAMES
from fakes import milter_engines
from fakes.signing import signed

LISTED = Peer("203.0.113.7")
# with these fields Sendmail adds none of its own
HEADER = (
    b"From: Someone <someone@sender.test>\nDate: Mon, 02 Nov 2026 09:00:00 +0000\nMessage-Id: <1@sender.test>\n"
    b"Subject: plain\n"
)
PLAIN = HEADER + b"\nplain\n"
VIRUS = PLAIN + MARKER + b"\n"
SIGNED = signed(PLAIN.replace(b"@sender.test>\nD", b"@author.test>\nD").replace(b"\n", b"\r\n"), domain="author.test")
SIGNED = SIGNED.replace(b"\r\n", b"\n")
UNKNOWN = {"native": "198.51.100.20", "libmilter": "2001:db8:20::20"}
"""Clients without a name, for greylisting, which remembers."""
DOMAINS = ("lab.test", "watches.test", "lenient.test")
HOME = (
    b"Received: from home (pool-8.isp.test [203.0.113.8])\n\tby mail.sender.test (Postfix) with ESMTP id 1\n"
    b"\tfor <bob@lab.test>; Mon, 02 Nov 2026 09:00:00 +0000\n"
)


@pytest.fixture(scope="module", params=["native", "libmilter"])
def engine(whole_lab: Lab, request: pytest.FixtureRequest) -> Iterator[str]:
    if whole_lab.sendmail is None:
        pytest.skip(installed.missing())
    if ENGINE != "native":
        pytest.skip("these tests have each engine in its turn, where the lab begins with the native one")
    if request.param == "native":
        yield request.param
        return
    if reason := milter_engines.missing():
        pytest.skip(reason)
    at_rest = whole_lab.at_rest
    whole_lab.service.restart(request.param)
    whole_lab.sendmail.send(PLAIN, "first@lab.test")
    whole_lab.at_rest = whole_lab.service.usage()
    try:
        yield request.param
    finally:
        whole_lab.service.restart("native")
        whole_lab.at_rest = at_rest


@pytest.fixture
def sendmail(engine: str, lab: Lab) -> Sendmail:
    assert engine
    assert lab.sendmail
    return lab.sendmail


def test_a_mail_is_delivered_once_and_no_byte_of_it_is_changed(lab: Lab, sendmail: Sendmail) -> None:
    body = b".\n..\nFrom here \n\xe4\xff\xc3\xa4\t\n" + b"long" * 700 + b"\n" + b"many\n" * 40_000
    sent = [
        sendmail.send(HEADER + b"\n" + body, "bob@lab.test"),
        sendmail.send(HEADER + b"\n", "bob@lab.test", sender=""),
    ]
    assert [copy.folder for copy in lab.deliveries()] == ["INBOX"] * 2
    assert_invariants(lab, sent)


@pytest.mark.parametrize("address", [LISTED.address, "2001:db8:bad::7"])
def test_a_listed_client_is_refused_at_rcpt_in_our_words(lab: Lab, sendmail: Sendmail, address: str) -> None:
    sent = sendmail.send(PLAIN, "bob@lab.test", peer=Peer(address))
    reply = sent.recipients["bob@lab.test"]
    assert reply.code == 550
    said = f"5.7.1 <bob@lab.test>... Refused: {address} is listed by bl.lab.test (listed by the lab)"
    assert reply.text.startswith(said), "Sendmail puts the address before our words"
    assert_invariants(lab, [sent])
    (event,) = lab.verdicts()
    assert event["queue_id"], "which Postfix would not have yet"


def test_one_recipients_policy_refuses_and_the_others_still_get_the_mail(lab: Lab, sendmail: Sendmail) -> None:
    sent = sendmail.send(PLAIN, "a@lab.test", "b@marks.test", "c@lab.test", peer=LISTED)
    assert [reply.code for reply in sent.recipients.values()] == [550, 250, 550]
    assert lab.delivery("b@marks.test").folder == "Junk"
    assert_invariants(lab, [sent])


def test_who_is_told_to_come_back_is_let_in_when_he_does(lab: Lab, sendmail: Sendmail, engine: str) -> None:
    recipient, peer = f"{engine}@grey.test", Peer(UNKNOWN[engine])
    sent = send_until_settled(
        lambda left: sendmail.send(PLAIN, *left, peer=peer, sender="a@sendmail.sender.test"), [recipient]
    )
    reply = sent[0].recipients[recipient]
    assert reply.code == 451
    assert "greylisted, not seen before" in reply.text
    assert lab.delivery(recipient).folder == "INBOX"
    assert_invariants(lab, sent)


def test_who_authenticated_or_is_of_our_own_network_is_exempt(lab: Lab, sendmail: Sendmail) -> None:
    peers = [LISTED._replace(login="anonymous"), Peer("192.0.2.200"), Peer("127.0.0.1")]
    message = b"X-Spam-Flag: NO\n" + HOME + PLAIN
    sent = [sendmail.send(message, "bob@lab.test", peer=peer) for peer in peers]
    assert [copy.folder for copy in lab.deliveries()] == ["INBOX"] * 3
    assert_invariants(lab, sent)
    assert {event["exempt"].partition(":")[0] for event in lab.verdicts()} == {
        "authenticated as anonymous",
        "own network",
    }


def test_the_reverse_name_is_sendmails_and_asked_for_where_it_could_not_tell(lab: Lab, sendmail: Sendmail) -> None:
    before = len(lab.lists.queries())
    found = {}
    sent = []
    for address in (CLEAN.address, FORGED, NAMELESS, UNTOLD):
        sent.append(sendmail.send(PLAIN, "bob@lab.test", peer=Peer(address)))
        found[address] = lab.take("bob@lab.test")[0].values("X-Spam-Status")[0].partition("tests=")[2]
        lab.begin()
    assert found == {CLEAN.address: "none", FORGED: "PTR_UNCONFIRMED", NAMELESS: "NO_PTR", UNTOLD: "NO_PTR"}
    asked = [name for name in lab.lists.queries()[before:] if name.endswith(".in-addr.arpa")]
    assert set(asked) == {"12.2.0.192.in-addr.arpa"}


def test_a_greeting_that_is_not_utf8_is_judged_as_any_other(lab: Lab, sendmail: Sendmail) -> None:
    """As Sendmail passes it on where confALLOW_BOGUS_HELO is set; without it such a greeting is refused."""
    sent = unanswered(CLEAN, SENDER, ["bob@lab.test"], PLAIN)
    with sendmail.connect(CLEAN.address) as client:
        client.send(b"EHLO m\xe4il\xff.sender.test\r\n")
        client.transact_after(client.reply(), sent)
    assert lab.delivery("bob@lab.test").folder == "INBOX"
    assert_invariants(lab, [sent])


@pytest.mark.parametrize("number", [1, 2, 3, 50])
def test_forged_fields_of_our_names_are_gone_however_many_there_are(lab: Lab, sendmail: Sendmail, number: int) -> None:
    """Sendmail goes on counting what is removed, Postfix does not: from the last to the first is right with both."""
    names = [b"X-Spam-Flag", b"x-spam-flag", b"X-SPAM-FLAG ", b"X-Spam-Status", b"X-Earmark"]
    forged = b"".join(b"%s:\n YES %d\n" % (names[n % len(names)], n) for n in range(number))
    sent = sendmail.send(b"X-First: 1\n" + forged + HEADER + forged + b"\nX-Spam-Flag: YES\n", "bob@lab.test")
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "INBOX"
    assert copy.message == b"X-First: 1\n" + HEADER + b"\nX-Spam-Flag: YES\n"
    assert not any(b"YES" in field for field in copy.added if OUR_NAMES.match(field))
    assert_invariants(lab, [sent])


def test_ours_stand_on_top_in_one_order_and_no_cr_is_delivered(lab: Lab, sendmail: Sendmail) -> None:
    sent = sendmail.send(HOME + PLAIN, "bob@lab.test")
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "Junk"
    names = [field.partition(b":")[0].decode() for field in copy.added]
    ours = ["X-Spam-Flag", "X-Spam-Score", "X-Spam-Level", "X-Spam-Status", "X-Earmark", "Authentication-Results"]
    assert names[-7:] == [*ours, "Received"]
    assert b"\r" not in copy.file.read_bytes(), "though fields of ours are folded"
    assert_invariants(lab, [sent])


def test_results_that_claim_our_name_are_removed_and_a_signature_holds(lab: Lab, sendmail: Sendmail) -> None:
    """So every field came to us as it was sent. The name is Sendmail's own, since [site] has none."""
    forged = b"Authentication-Results: MX.lab.test. ; dkim=pass header.d=bank.example\n"
    foreign = b"Authentication-Results: mx.other.example; spf=pass smtp.mailfrom=a@b.example\n"
    sent = sendmail.send(forged + foreign + forged + SIGNED, "bob@strict.test", sender="someone@author.test")
    copy = lab.delivery("bob@strict.test")
    assert copy.message == foreign + SIGNED
    (results,) = copy.values("Authentication-Results")
    assert "dkim=pass (2048-bit key) header.d=author.test" in results
    sent.stored_as = copy.message
    assert_invariants(lab, [sent])


@pytest.mark.parametrize(
    ("subject", "tagged"),
    [
        (b"Subject: a b\n\tfolded\n twice\n", b"Subject: [SPAM?] a b\n\tfolded\n twice\n"),
        ("Subject: Grüße\n".encode(), "Subject: [SPAM?] Grüße\n".encode()),
        (b"", b""),
    ],
)
def test_a_marked_subject_is_tagged_with_its_folding_and_its_bytes(
    lab: Lab, sendmail: Sendmail, subject: bytes, tagged: bytes
) -> None:
    header = HOME + HEADER.replace(b"Subject: plain\n", b"")
    sent = sendmail.send(header + subject + b"\nplain\n", "bob@tagged.test")
    copy = lab.delivery("bob@tagged.test")
    assert copy.message == header + tagged + b"\nplain\n"
    assert copy.values("Subject") == ([] if subject else ["[SPAM?]"])
    assert b"\r" not in copy.file.read_bytes()
    sent.stored_as = copy.message
    assert_invariants(lab, [sent])


def test_a_subject_that_is_not_utf8_is_tagged_or_left_as_it_is(lab: Lab, sendmail: Sendmail, engine: str) -> None:
    """pymilter has no words for such bytes."""
    subject = b"Subject:no blank \xff\xe4\n"
    sent = sendmail.send(HOME + HEADER.replace(b"Subject: plain\n", subject) + b"\nplain\n", "bob@tagged.test")
    copy = lab.delivery("bob@tagged.test")
    tagged = subject if engine == "libmilter" else subject.replace(b":", b": [SPAM?] ")
    assert copy.folder == "Junk"
    assert tagged in copy.message
    sent.stored_as = copy.message
    assert_invariants(lab, [sent])
    wait_until(lambda: lab.service.run("explain", sent.queue_id).returncode == 0, "the history holds it")


def test_a_refusal_after_data_reaches_the_client_in_our_words(lab: Lab, sendmail: Sendmail) -> None:
    sent = sendmail.send(VIRUS, "bob@refuses.test")
    assert sent.final is not None
    assert sent.final.code == 550
    assert sent.final.text.startswith("5.7.1 Refused: ClamAV found Lab.Marker.UNOFFICIAL")
    assert_invariants(lab, [sent])


@pytest.mark.parametrize("others", [(), ("eve@lab.test", "Mal.Lory@viruses.test")])
def test_what_is_held_for_one_recipient_goes_on_to_the_others(
    lab: Lab, sendmail: Sendmail, others: tuple[str, ...]
) -> None:
    """Held for all, the message is discarded; held for some, those are taken from its recipients."""
    sent = sendmail.send(VIRUS, "Bob@held.test", *others)
    assert {copy.recipient for copy in lab.deliveries()} == {other.lower() for other in others}
    assert [row["recipient"] for row in lab.held()] == ["Bob@held.test"]
    assert_invariants(lab, [sent])


def test_a_marked_copy_goes_to_the_recipients_junk_address(lab: Lab, sendmail: Sendmail) -> None:
    sent = sendmail.send(VIRUS, "Bob@detail.test", "eve@lab.test")
    copies = {(copy.recipient, copy.folder) for copy in lab.deliveries()}
    assert copies == {("bob@detail.test", "Junk"), ("eve@lab.test", "INBOX")}
    assert_invariants(lab, [sent])


def test_sendmails_own_quarantine_holds_a_message_and_lets_it_go_once(lab: Lab, sendmail: Sendmail) -> None:
    sent = sendmail.send(VIRUS, "bob@kept.test")
    assert sendmail.held() == [sent.queue_id]
    assert not lab.deliveries()
    assert sent.queue_id in sendmail.run("-bp", "-qQ")
    assert_invariants(lab, [sent])
    sendmail.run("-qQ", f"-qI{sent.queue_id}", "-Q")
    sendmail.run("-q")
    assert lab.delivery("bob@kept.test").folder == "Junk"
    assert_invariants(lab, [sent])


def test_a_client_slower_than_a_scan_may_be_leaves_no_message_unscanned(lab: Lab, sendmail: Sendmail) -> None:
    """Sendmail passes a message on when it has it all, as Postfix does."""
    sent = unanswered(CLEAN, SENDER, ["bob@refuses.test"], VIRUS)
    lines = stuffed(VIRUS).splitlines(keepends=True)
    with sendmail.connect(CLEAN.address) as client:
        client.command("EHLO slow.sender.test")
        client.command(f"MAIL FROM:<{SENDER}>")
        sent.recipients["bob@refuses.test"] = client.command("RCPT TO:<bob@refuses.test>")
        client.command("DATA")
        for line in lines:
            client.send(line)
            time.sleep(1.1 * SCAN_BUDGET / len(lines))  # a client's slowness is the condition here
        sent.final = client.reply()
    assert sent.final.code == 550
    assert_invariants(lab, [sent])


def test_two_messages_of_one_session_have_their_own_verdicts_through_a_reload(lab: Lab, sendmail: Sendmail) -> None:
    tries = [unanswered(CLEAN, f"{n}@sender.test", [f"{n}@{domain}"], HOME + PLAIN) for n, domain in enumerate(DOMAINS)]
    with sendmail.connect(CLEAN.address) as client:
        client.command("EHLO mail.sender.test")
        for number, sent in enumerate(tries):
            client.transact(sent)
            if not number:
                assert lab.service.run("reload").returncode == 0
    assert {copy.recipient: copy.folder for copy in lab.deliveries()} == {
        "0@lab.test": "Junk",
        "1@watches.test": "INBOX",
        "2@lenient.test": "INBOX",
    }
    assert_invariants(lab, tries)


def test_workers_killed_in_a_session_cost_a_451_and_the_retry_delivers(lab: Lab, sendmail: Sendmail) -> None:
    broken = [unanswered(CLEAN, f"{stage}@sender.test", ["bob@lab.test"], PLAIN) for stage in ("greeted", "named")]
    with sendmail.connect(CLEAN.address) as greeted, sendmail.connect(CLEAN.address) as named:
        for client in (greeted, named):
            client.command("EHLO mail.sender.test")
        named.command("MAIL FROM:<named@sender.test>")
        broken[1].recipients["bob@lab.test"] = named.command("RCPT TO:<bob@lab.test>")
        lab.service.kill_children()
        broken[1].final = named.command("DATA")
        greeted.transact(broken[0])
    assert (broken[0].recipients["bob@lab.test"].code, broken[1].final.code) == (451, 451)
    assert broken[1].final.text == "4.3.2 Please try again later"
    retried = [
        one for sent in broken for one in send_until_settled(partial(_again, sendmail, sent.sender), ["bob@lab.test"])
    ]
    assert len(lab.deliveries()) == 2
    assert_invariants(lab, [*broken, *retried])


def _again(sendmail: Sendmail, sender: str, recipients: list[str]) -> Sent:
    return sendmail.send(PLAIN, *recipients, sender=sender)


def test_while_earmark_is_down_mail_is_put_off(lab: Lab, sendmail: Sendmail) -> None:
    lab.service.stop()
    try:
        sent = sendmail.send(PLAIN, "bob@lab.test")
    finally:
        lab.service.start()
    assert sent.recipients["bob@lab.test"].code == 451
    retried = send_until_settled(lambda left: sendmail.send(PLAIN, *left), ["bob@lab.test"])
    assert_invariants(lab, [sent, *retried])
