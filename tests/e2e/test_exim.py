"""Exim with the files of deploy/exim: what is refused at RCPT, what after DATA, and what each recipient then finds."""

import base64
import socket
from pathlib import Path
from typing import Any

import pytest

from e2e_lab import smtp
from e2e_lab.clamd import EICAR
from e2e_lab.crowd import Traffic, crowd
from e2e_lab.exim import Exim
from e2e_lab.exim_invariants import assert_exim_invariants
from e2e_lab.faults import FaultProxy
from e2e_lab.lab import Lab
from e2e_lab.mails import mail
from e2e_lab.processes import wait_until
from e2e_lab.smtp import CLEAN, SENDER, Client, Peer, Sent, send_until_settled, unanswered
from e2e_lab.store import Delivery, take_apart

PLAIN = b"Subject: plain\n\nplain\n"
HOME = b"Received: from home (pool-8.isp.test [203.0.113.8]) by mail.sender.test with ESMTP; now\n"
LISTED = Peer("203.0.113.7")
LISTED_6 = Peer("2001:db8:bad::7")
FORGED_AUTHOR = "a@author.test"
CORPUS = Path(__file__).resolve().parents[1] / "corpus"
FOUND = "VIRUS_UNOFFICIAL: ClamAV found Lab.Eicar.UNOFFICIAL"


def codes(sent: Sent) -> list[int]:
    return [reply.code for reply in sent.recipients.values()]


def folders(lab: Lab) -> list[tuple[str, str]]:
    """Return who got a copy, and where."""
    return sorted((copy.recipient, copy.folder) for copy in lab.deliveries())


def held_for(lab: Lab) -> list[tuple[str, str]]:
    """Return for whom a message is held, and why."""
    return sorted((row["recipient"], "; ".join(row["why"])) for row in lab.held())


def verdicts(lab: Lab, ended: str, number: int) -> list[dict[str, Any]]:
    """Return the verdicts that ended so, when as many are told."""

    def found() -> list[dict[str, Any]]:
        return [event for event in lab.verdicts() if event["ended"] == ended]

    wait_until(lambda: len(found()) >= number, f"{number} verdicts that ended with {ended}")
    return found()


@pytest.mark.parametrize("peer", [LISTED, LISTED_6])
def test_a_listed_client_is_refused_at_rcpt_in_our_words(lab: Lab, exim: Exim, peer: Peer) -> None:
    sent = exim.send(PLAIN, "bob@lab.test", peer=peer)
    reply = sent.recipients["bob@lab.test"]
    assert reply.code == 550
    assert reply.said.startswith(f"5.7.1 Refused: {peer.address} is listed by bl.lab.test (listed by the lab) (id ")
    assert_exim_invariants(lab, exim, [sent])


@pytest.mark.parametrize("peer", [CLEAN, Peer("2001:db8::10"), Peer("198.51.100.1", name="")])
@pytest.mark.parametrize("bdat", [False, True], ids=["DATA", "BDAT"])
def test_a_client_that_no_list_has_is_let_in(lab: Lab, exim: Exim, peer: Peer, *, bdat: bool) -> None:
    sent = exim.send(PLAIN, "bob@lab.test", peer=peer, bdat=bdat)
    copy = lab.delivery("bob@lab.test")
    assert copy.folder == "INBOX"
    assert_exim_invariants(lab, exim, [sent])


def test_one_recipients_policy_refuses_and_the_others_still_get_the_mail(lab: Lab, exim: Exim) -> None:
    recipients = ["a@lab.test", "b@marks.test", "c@lab.test", "d@errors.test"]
    sent = [exim.send(PLAIN, *recipients[::order], peer=LISTED) for order in (1, -1)]
    assert [codes(one) for one in sent] == [[550, 250, 550, 250], [250, 550, 250, 550]]
    assert {copy.recipient for copy in lab.deliveries()} == {"b@marks.test", "d@errors.test"}
    assert_exim_invariants(lab, exim, sent)


def test_what_the_sites_own_acl_discards_is_discarded(lab: Lab, exim: Exim) -> None:
    """Exim lets a nested ACL discard under few verbs only: under others the sender would be put off for ever."""
    sent = exim.send(PLAIN, "discarded@lab.test", "bob@lab.test")
    assert codes(sent) == [250, 250]
    assert sent.final
    assert sent.final.code == 250
    assert folders(lab) == [("bob@lab.test", "INBOX")]
    (judged,) = verdicts(lab, "eom", 1)
    assert [one["address"] for one in judged["recipients"]] == ["bob@lab.test"]


@pytest.mark.parametrize("peer", [LISTED._replace(login="bob"), Peer("192.0.2.200"), Peer("127.0.0.1")])
def test_who_authenticated_or_is_of_our_own_network_is_exempt(lab: Lab, exim: Exim, peer: Peer) -> None:
    sent = exim.send(HOME + b"X-Spam-Flag: NO\n" + PLAIN, "bob@lab.test", peer=peer)
    copy = lab.delivery("bob@lab.test")
    assert copy.message.startswith(HOME + b"X-Spam-Flag: NO\n")
    assert [field.partition(b":")[0] for field in copy.ours] == [b"X-Earmark"]
    assert_exim_invariants(lab, exim, [sent])


def test_who_authenticates_by_smtp_is_named_in_the_verdict(lab: Lab, exim: Exim) -> None:
    sent = unanswered(LISTED._replace(login="bob"), SENDER, ["bob@lab.test"], PLAIN)
    with Client(exim.smtp) as client:
        greeted = client.introduce(LISTED)
        assert client.command("AUTH PLAIN " + base64.b64encode(b"\0bob\0secret").decode()).code == 235
        client.transact_after(greeted, sent)
    assert_exim_invariants(lab, exim, [sent])


def test_a_user_whose_name_has_line_ends_adds_nothing_to_a_request(lab: Lab, exim: Exim) -> None:
    name = "bob\nclient_address=192.0.2.10\nprotocol_state=MAIL"
    sent = unanswered(LISTED._replace(login=name), SENDER, ["bob@lab.test"], PLAIN)
    with Client(exim.smtp) as client:
        greeted = client.introduce(LISTED)
        assert client.command("AUTH PLAIN " + base64.b64encode(f"\0{name}\0secret".encode()).decode()).code == 235
        client.transact_after(greeted, sent)
    (event,) = verdicts(lab, "policy", 1)
    assert (event["client"], event["user"]) == (LISTED.address, name.replace("\n", r"\n"))


@pytest.mark.parametrize("peer", [CLEAN, LISTED])
def test_a_bounce_is_judged_by_its_client_alone(lab: Lab, exim: Exim, peer: Peer) -> None:
    sent = exim.send(PLAIN, "bob@lab.test", peer=peer, sender="")
    assert codes(sent) == [550 if peer is LISTED else 250]
    assert_exim_invariants(lab, exim, [sent])


def test_addresses_reach_earmark_as_the_client_wrote_them(lab: Lab, exim: Exim) -> None:
    names = ("Bob.Case", '"a b"', '"c,d"', "e{$local_part}", '"f@g"')
    recipients = [f"{name}@xn--bcher-kva.test" for name in names]
    sent = exim.send(PLAIN, *recipients, sender='"X Y"@sender.test')
    assert codes(sent) == [250] * len(names)
    told = [event["recipients"][0]["address"] for event in verdicts(lab, "policy", len(names))]
    assert sorted(told) == sorted(recipients)
    (event,) = verdicts(lab, "eom", 1)
    assert ([one["address"] for one in event["recipients"]], event["sender"]) == (recipients, '"X Y"@sender.test')
    assert len(lab.deliveries()) == len(names)


def test_a_suspicious_client_is_told_to_come_back_and_let_in_when_it_does(lab: Lab, exim: Exim) -> None:
    odd = Peer("192.0.2.13", name="", helo="192.0.2.13")
    attempts = send_until_settled(
        lambda left: exim.send(PLAIN, *left, peer=odd, sender="a@exim.sender.test"), ["exim@grey.test"]
    )
    reply = attempts[0].recipients["exim@grey.test"]
    assert reply.code == 451
    assert reply.said.startswith("4.7.1 greylisted, not seen before: come back in 2 seconds (id ")
    assert attempts[-1].queue_id
    assert_exim_invariants(lab, exim, attempts)


def test_what_counts_is_counted_once_for_each_message(lab: Lab, exim: Exim) -> None:
    sent = [exim.send(PLAIN, "exim@limited.test") for _ in range(3)]
    assert [code for one in sent for code in codes(one)] == [250, 250, 451]
    assert_exim_invariants(lab, exim, sent)


def test_a_listing_of_a_received_field_marks_and_never_refuses(lab: Lab, exim: Exim) -> None:
    sent = exim.send(HOME + PLAIN, "bob@lab.test", "eve@tagged.test")
    assert folders(lab) == [("bob@lab.test", "Junk"), ("eve@tagged.test", "Junk")]
    assert all(copy.marked for copy in lab.deliveries())
    assert_exim_invariants(lab, exim, [sent])


def test_the_subject_is_tagged_where_the_policy_says_so(lab: Lab, exim: Exim) -> None:
    for sender in (b"Subject: plain\n", b"subject: =?utf-8?q?$=7Brun=7B?= ${run{\n", b""):
        assert exim.send(HOME + sender + b"X-After: 1\n\nplain\n", "bob@tagged.test").queue_id
    told = [copy.values("Subject") for copy in lab.deliveries("bob@tagged.test")]
    subjects = ["[SPAM?] =?utf-8?q?$=7Brun=7B?= ${run{", "[SPAM?] plain", "[SPAM?]"]
    assert sorted(subject for (subject,) in told) == sorted(subjects)
    assert not any(b"ubject" in copy.message for copy in lab.deliveries())


def alone(copy: Delivery) -> bool:
    """Return whether a copy has the mark of its recipient only, at the end of the header."""
    return take_apart(copy.message).fields[-1] == b"X-Spam-Flag: YES\n"


def test_each_recipient_has_the_mark_of_its_own_policy(lab: Lab, exim: Exim) -> None:
    """Under Postfix they share one header, and the mark is on it where all of them mark."""
    recipients = ["Bob@lab.test", '"q\\uoted"@lab.test', "eve@lenient.test", "ann@watches.test"]
    sent = exim.send(HOME + PLAIN, *recipients)
    assert folders(lab) == [
        ("ann@watches.test", "INBOX"),
        ("bob@lab.test", "Junk"),
        ("eve@lenient.test", "INBOX"),
        ("quoted@lab.test", "Junk"),
    ]
    assert [alone(copy) for copy in sorted(lab.deliveries(), key=lambda copy: copy.recipient)] == [0, 1, 0, 1]
    for copy in lab.deliveries():
        assert b"lenient" not in b"".join(copy.ours), "nobody learns of the others"
    assert sent.queue_id


def test_forged_fields_of_our_names_are_gone_and_foreign_results_stay(lab: Lab, exim: Exim) -> None:
    forged = b"X-Spam-Flag: YES\nx-spam-anything:\n YES\nX-EARMARK : 1\nX-Earmark-Prdr: yes\n"
    results = b"Authentication-Results: mx.lab.test; spf=pass\nAuthentication-Results: other.test;\n\tdkim=pass\n"
    sent = exim.send(forged + results + PLAIN, "bob@lab.test")
    copy = lab.delivery("bob@lab.test")
    assert copy.message == PLAIN
    assert copy.values("Authentication-Results")[1:] == ["other.test; dkim=pass"]
    assert b"spf=pass" not in b"".join(copy.added)
    assert b"\tdkim=pass\n" in b"".join(copy.added)
    assert_exim_invariants(lab, exim, [sent])


def test_our_fields_stand_above_received_in_the_order_that_they_have_with_postfix(lab: Lab, exim: Exim) -> None:
    sent = exim.send(HOME + PLAIN, "bob@lab.test")
    lab.settle()
    by_exim = lab.take("bob@lab.test")[0]
    lab.send(HOME + PLAIN, "bob@lab.test")
    by_postfix = lab.delivery("bob@lab.test")
    names = [[field.partition(b":")[0] for field in copy.added] for copy in (by_exim, by_postfix)]
    assert names[0] == names[1]
    assert sent.queue_id


def test_every_mail_of_ours_arrives_once_as_exim_alone_would_store_it(
    lab: Lab, exim: Exim, own_mails: dict[str, bytes]
) -> None:
    assert_each_arrives(lab, exim, [(name, message, False) for name, message in own_mails.items()])


def test_every_real_mail_arrives_once_and_unchanged_by_bdat(lab: Lab, exim: Exim) -> None:
    mails = sorted(CORPUS.rglob("*.eml"))[::4]
    assert len(mails) >= 15
    assert_each_arrives(lab, exim, [(str(number), file.read_bytes(), True) for number, file in enumerate(mails)])


def assert_each_arrives(lab: Lab, exim: Exim, mails: list[tuple[str, bytes, bool]]) -> None:
    sent = [exim.send(message, f"{name}@lab.test", bdat=bdat) for name, message, bdat in mails]
    assert all(one.queue_id for one in sent)
    for one, (_, _, bdat) in zip(sent, mails, strict=True):
        untouched = smtp.send(exim.plain, CLEAN, SENDER, ["alone@lab.test"], one.message, bdat=bdat)
        assert untouched.queue_id
        lab.settle()
        (copy,) = lab.take("alone@lab.test")
        one.stored_as = copy.message
    assert_exim_invariants(lab, exim, sent)


def test_a_virus_is_refused_held_or_marked_as_the_policy_of_each_domain_says(lab: Lab, exim: Exim) -> None:
    refused = exim.send(mail(EICAR), "bob@refuses.test")
    held = exim.send(mail(EICAR), "bob@held.test")
    marked = exim.send(mail(EICAR), "bob@viruses.test")
    assert refused.final is not None
    assert refused.final.code == 550
    assert refused.final.said.startswith("5.7.1 ")
    assert held.queue_id
    assert folders(lab) == [("bob@viruses.test", "Junk")]
    assert held_for(lab) == [("bob@held.test", FOUND)]
    assert_exim_invariants(lab, exim, [refused, held, marked])


@pytest.mark.parametrize("order", [1, -1])
def test_a_virus_for_three_domains_is_to_each_what_it_is_alone(lab: Lab, exim: Exim, order: int) -> None:
    """But that the refusal, which the others have not asked for, is a copy that is held."""
    sent = exim.send(mail(EICAR), *["bob@refuses.test", '"b o b"@held.test', "bob@viruses.test"][::order])
    assert sent.queue_id
    assert folders(lab) == [("bob@viruses.test", "Junk")]
    assert held_for(lab) == [('"b o b"@held.test', FOUND), ("bob@refuses.test", FOUND)]
    assert_exim_invariants(lab, exim, [sent])


def test_what_the_mta_is_to_hold_it_freezes(lab: Lab, exim: Exim) -> None:
    sent = exim.send(mail(EICAR), "bob@kept.test")
    assert exim.held() == [sent.queue_id]
    assert not lab.held()
    assert_exim_invariants(lab, exim, [sent])
    exim.discard_held()


def test_who_marks_alone_gets_the_copy_into_junk_where_the_domain_has_details(lab: Lab, exim: Exim) -> None:
    sent = exim.send(mail(EICAR), "bob@detail.test", "ann@lab.test")
    assert folders(lab) == [("ann@lab.test", "INBOX"), ("bob@detail.test", "Junk")]
    assert not any(copy.marked or alone(copy) for copy in lab.deliveries())
    assert_exim_invariants(lab, exim, [sent])


def test_who_wants_a_message_alone_gets_it_by_the_retry(lab: Lab, exim: Exim) -> None:
    message = mail(EICAR)
    attempts = send_until_settled(lambda left: exim.send(message, *left), ["ann@lab.test", "bob@alone.test"])
    assert [one.recipients["bob@alone.test"].code for one in attempts] == [452, 250]
    assert folders(lab) == [("ann@lab.test", "INBOX"), ("bob@alone.test", "Junk")]
    assert_exim_invariants(lab, exim, attempts)


@pytest.mark.parametrize("order", [1, -1])
def test_under_prdr_each_recipient_is_refused_or_taken_by_his_own_policy(lab: Lab, exim: Exim, order: int) -> None:
    recipients = ['"b o.b"@refuses.test', "bob@held.test", "bob@viruses.test", "bob@alone.test", "bob@lab.test"][
        ::order
    ]
    sent = exim.send(mail(EICAR), *recipients, parameters=" PRDR")
    assert set(codes(sent)) == {250}, "nobody need have a message of his own"
    refused = [(one, reply.code) for one, reply in sent.after_data.items() if reply.code != 250]
    assert refused == [('"b o.b"@refuses.test', 550)]
    assert sent.queue_id
    assert folders(lab) == [("bob@alone.test", "Junk"), ("bob@lab.test", "INBOX"), ("bob@viruses.test", "Junk")]
    assert held_for(lab) == [("bob@held.test", FOUND)]
    assert_exim_invariants(lab, exim, [sent])


def test_under_prdr_a_message_that_all_refuse_is_refused(lab: Lab, exim: Exim) -> None:
    sent = exim.send(mail(EICAR), "a@refuses.test", "b@refuses.test", parameters=" PRDR")
    assert [reply.code for reply in sent.after_data.values()] == [550, 550]
    single = exim.send(mail(EICAR), "a@refuses.test", parameters=" PRDR")
    assert single.final is not None
    assert single.final.code == 550
    assert not single.after_data
    assert_exim_invariants(lab, exim, [sent, single])


def test_under_prdr_a_clean_message_goes_its_way(lab: Lab, exim: Exim) -> None:
    sent = exim.send(PLAIN, "a@refuses.test", "b@lab.test", parameters=" PRDR")
    assert [reply.code for reply in sent.after_data.values()] == [250, 250]
    assert not any(b"Prdr" in copy.file.read_bytes() for copy in lab.deliveries())
    assert_exim_invariants(lab, exim, [sent])


def test_who_asks_for_rejection_of_his_forged_mail_gets_it_where_the_recipient_agrees(lab: Lab, exim: Exim) -> None:
    message = b"From: a@author.test\n" + PLAIN
    refused = exim.send(message, "bob@strict.test", sender=FORGED_AUTHOR)
    mixed = exim.send(message, "bob@strict.test", "eve@lab.test", sender=FORGED_AUTHOR)
    assert refused.final is not None
    assert refused.final.code == 550
    assert codes(refused) == [250], "at RCPT nobody knows the author yet"
    assert [recipient for recipient, _ in held_for(lab)] == ["bob@strict.test"]
    assert_exim_invariants(lab, exim, [refused, mixed])


def test_messages_of_one_session_each_have_their_own_verdict(lab: Lab, exim: Exim) -> None:
    wanted = [(PLAIN, "INBOX"), (HOME + PLAIN, "Junk"), (PLAIN, "INBOX"), (mail(EICAR), ""), (PLAIN, "INBOX")]
    sent = []
    with Client(exim.smtp) as client:
        client.introduce(CLEAN)
        for number, (message, folder) in enumerate(wanted):
            domain = "lab.test" if folder else "refuses.test"
            sent.append(unanswered(CLEAN, SENDER, [f"{number}@{domain}"], message))
            client.transact(sent[-1])
    assert [one.final.code for one in sent if one.final] == [250, 250, 250, 550, 250]
    assert folders(lab) == [(f"{n}@lab.test", folder) for n, (_, folder) in enumerate(wanted) if folder]
    assert_exim_invariants(lab, exim, sent)


def test_both_doors_may_be_unix_sockets(lab: Lab, exim: Exim) -> None:
    doors = [
        FaultProxy(port, exim.top / f"{port}.sock", half_closed=True) for port in (lab.policy_door, lab.content_door)
    ]
    try:
        paths = [door.endpoint.removeprefix("unix:") for door in doors]
        port = exim.listen("unix", EARMARK_POLICY_DOOR=paths[0], EARMARK_CONTENT_DOOR=paths[1])
        sent = smtp.send(port, CLEAN, SENDER, ["bob@lab.test"], HOME + PLAIN)
        assert lab.delivery("bob@lab.test").folder == "Junk"
        assert all(door.connections for door in doors)
        assert_exim_invariants(lab, exim, [sent])
    finally:
        for door in doors:
            door.stop()


SESSIONS = 200
KINDS = (
    Traffic(CLEAN, PLAIN, {"clean@lab.test": "INBOX"}),
    Traffic(CLEAN, HOME + PLAIN, {"home@lab.test": "Junk", "home@lenient.test": "INBOX"}),
    Traffic(LISTED_6, PLAIN, {"listed6@lab.test": "refused", "listed6@marks.test": "Junk"}),
    Traffic(LISTED, PLAIN, {"listed@lab.test": "refused"}),
)
TRAFFIC = [KINDS[number % len(KINDS)] for number in range(SESSIONS)]


def test_two_hundred_sessions_at_once_each_get_their_own_verdict(lab: Lab, exim: Exim) -> None:
    with crowd(exim.smtp, TRAFFIC) as senders:
        sent = senders.finish()
    due = {recipient: folder for kind in KINDS for recipient, folder in kind.due.items()}
    assert not any(one.put_off for one in sent)
    assert len(sent) >= SESSIONS
    answers = [(recipient, reply.code) for one in sent for recipient, reply in one.recipients.items()]
    assert all(code == (550 if due[recipient] == "refused" else 250) for recipient, code in answers)
    assert all(copy.folder == due[copy.recipient] for copy in lab.deliveries())
    assert_exim_invariants(lab, exim, sent)


def test_the_daemon_behind_a_proxy_knows_its_clients_by_their_addresses(lab: Lab, exim: Exim) -> None:
    sent = []
    for peer in (CLEAN, LISTED, LISTED_6):
        proxied = socket.create_connection(("127.0.0.1", exim.daemon))
        family = "TCP6" if ":" in peer.address else "TCP4"
        proxied.sendall(f"PROXY {family} {peer.address} {peer.address} 40000 25\r\n".encode())
        sent.append(unanswered(peer, SENDER, ["bob@lab.test"], PLAIN))
        with Client(proxied) as client:
            client.transact_after(client.command(f"EHLO {peer.helo}"), sent[-1])
    assert [codes(one) for one in sent] == [[250], [550], [550]]
    assert_exim_invariants(lab, exim, sent)
