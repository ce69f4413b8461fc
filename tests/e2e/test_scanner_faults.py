"""FAULTS 78 to 94 through the whole service: a scanner that fails costs what the policy says, and nothing silently.

Each mail here is infected and is spam. What becomes of it while the scanners fail, is said by its domain: stamped.test
lets it pass and says so, marked-unscanned.test marks it, waits.test has it come again.
"""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from e2e_lab.clamd import EICAR
from e2e_lab.configuration import DEFER_FOR
from e2e_lab.faults import Fault
from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.mails import mail
from e2e_lab.processes import wait_until
from e2e_lab.scanners import CHILDREN, RECOVERS_WITHIN, failing, status
from e2e_lab.smtp import Sent, send_until_settled
from e2e_lab.store import Delivery

PASSES = Fault()
DOWN = Fault("down")
HANGS = Fault("hang")
SPAM = b"LABROUND LABSPAM3"
BOTH = {"clamav", "spamassassin"}
REPORT = b"SPAMD/1.5 0 EX_OK\r\nContent-length: %d\r\nSpam: False ; %b / 5.0\r\n\r\n%b"


def infected_spam() -> bytes:
    """Return a message that takes a while to be sent at a thousand bytes a second."""
    return mail(EICAR + b"\n" + SPAM + b"\n" + (b"x" * 70 + b"\n") * 200)


def send_all(lab: Lab, message: bytes, *recipients: str) -> list[Sent]:
    """Send a message to each of these alone, at once; return what each was answered."""
    with ThreadPoolExecutor(len(recipients)) as pool:
        return list(pool.map(lambda recipient: lab.send(message, recipient), recipients))


def unchecked(copy: Delivery) -> set[str]:
    """Return what the trace header says was not asked, or gave no answer."""
    return set(copy.values("X-Earmark")[0].partition("unchecked=")[2].replace(" ", "").split(",")) - {""}


def said(clamd: bytes, spamd: bytes) -> tuple[Fault, Fault]:
    return Fault("say", text=clamd), Fault("say", text=spamd)


def report(score: bytes, tests: bytes) -> bytes:
    """Return what a spamd of ours would say; the score in both places, as it stands."""
    body = b"earmark 1 external=192.0.2.10 tests=" + tests + b"\n"
    return REPORT % (len(body), score, body)


FAULTS = {
    "nobody listens, and the file of the socket is left over": (DOWN, DOWN),
    "reset while the message comes": (Fault("reset", 5_000), Fault("reset", 5_000)),
    "hung": (HANGS, HANGS),
    "a thousand bytes a second": (Fault("slow", 1_000), Fault("slow", 1_000)),
    "half an answer": (Fault("cut", 12), Fault("cut", 60)),
    "half an answer, and no end": (Fault("half", text=b"stream: Lab"), Fault("half", text=b"SPAMD/1.5 0 EX_OK\r\n")),
    "no time; temporary failure": said(b"COMMAND READ TIMED OUT\0", b"SPAMD/1.5 75 EX_TEMPFAIL\r\n"),
    "no name; a score that is no number": said(b"stream:  FOUND\0", report(b"nan", b"LAB=nan")),
    "a megabyte; no score": said(b"stream: " + b"x" * 1_000_000 + b" FOUND\0", b"SPAMD/1.5 0 EX_OK\r\n\r\n"),
}


@pytest.mark.parametrize(("viruses", "spam"), FAULTS.values(), ids=FAULTS)
def test_a_failing_scanner_never_reads_as_clean_and_the_retry_is_scanned(lab: Lab, viruses: Fault, spam: Fault) -> None:
    message = infected_spam()
    with lab.scanners.failing(lab.service, viruses, spam):
        sent = send_all(lab, message, "bob@stamped.test", "bob@marked-unscanned.test", "bob@waits.test")
        assert [one.put_off for one in sent] == [False, False, True], sent
        stamped, marked = (lab.delivery(f"bob@{domain}.test") for domain in ("stamped", "marked-unscanned"))
        assert (stamped.folder, unchecked(stamped)) == ("INBOX", BOTH)
        assert (marked.folder, unchecked(marked)) == ("Junk", BOTH)
    sent += send_until_settled(lambda left: lab.send(message, *left), ["bob@waits.test"])
    copy = lab.delivery("bob@waits.test")
    assert (copy.folder, unchecked(copy)) == ("Junk", set())
    assert "VIRUS_UNOFFICIAL" in copy.values("X-Spam-Status")[0]
    assert_invariants(lab, sent)


@pytest.mark.parametrize("fault", [DOWN, HANGS], ids=["down", "hung"])
def test_while_one_clamd_fails_the_other_one_scans(lab: Lab, fault: Fault) -> None:
    first, _ = lab.scanners.for_viruses
    first.fault = fault
    try:
        sent = [lab.send(infected_spam(), f"bob{number}@waits.test") for number in range(3)]
    finally:
        first.fault = PASSES
    assert [(copy.folder, unchecked(copy)) for copy in lab.deliveries()] == [("Junk", set())] * 3
    assert_invariants(lab, sent)


def test_only_who_would_be_deferred_is_told_at_rcpt_and_only_for_as_long_as_the_policy_says(lab: Lab) -> None:
    waits, stamped = "bob@waits.test", "bob@stamped.test"
    sent: list[Sent] = []

    def attempt(recipients: list[str]) -> Sent:
        sent.append(lab.send(message, *recipients))
        return sent[-1]

    message = infected_spam()
    with lab.scanners.failing(lab.service, DOWN, PASSES):
        wait_until(lambda: attempt([waits, stamped]).accepted == [stamped], "a worker that knows of it")
        assert sent[-1].recipients[waits].code == 451
        send_until_settled(attempt, ["eve@waits.test"], within=5 * DEFER_FOR)
        assert unchecked(lab.delivery("eve@waits.test")) == {"clamav"}
    assert sent[-2].put_off, "and then the time was over"
    assert len(lab.deliveries(stamped)) == sum(stamped in one.recipients for one in sent)
    assert_invariants(lab, sent)


def test_a_reload_of_the_signatures_costs_no_scan(lab: Lab) -> None:
    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(lab.send, infected_spam(), f"bob{number}@viruses.test") for number in range(12)]
        for _ in range(3):
            lab.scanners.clamd.reload()
        sent = [one.result() for one in sending]
    assert [(copy.folder, unchecked(copy)) for copy in lab.deliveries()] == [("Junk", set())] * 12
    assert_invariants(lab, sent)


def test_new_rules_of_spamassassin_cost_no_mail(lab: Lab) -> None:
    """While it reads them it answers nobody; mail is scanned, or says that it was not."""
    message = infected_spam()
    with ThreadPoolExecutor(2) as pool:
        sending = [pool.submit(lab.send, message, f"bob{number}@scored.test") for number in range(6)]
        lab.scanners.spamd.reload()
        sent = [one.result() for one in sending]
    for copy in lab.deliveries():
        assert (copy.folder, unchecked(copy)) in [("Junk", set()), ("INBOX", {"spamassassin"})]
    wait_until(lambda: is_scanned(lab, sent), "spamd is asked again", within=RECOVERS_WITHIN)
    assert_invariants(lab, sent)


def is_scanned(lab: Lab, sent: list[Sent]) -> bool:
    sent.append(lab.send(infected_spam(), f"eve{len(sent)}@scored.test"))
    return not unchecked(lab.delivery(f"eve{len(sent) - 1}@scored.test"))


@contextmanager
def all_children_taken(lab: Lab) -> Iterator[None]:
    """Keep each child of spamd waiting for the rest of a request, by way of no proxy."""
    taken = [socket.create_connection(("127.0.0.1", lab.scanners.spamd.port)) for _ in range(CHILDREN)]
    try:
        for connection in taken:
            connection.sendall(b"REPORT SPAMC/1.5\r\nContent-length: 100\r\n\r\nSubject: ")
        yield
    finally:
        for connection in taken:
            connection.close()


def test_while_others_have_taken_all_children_of_spamd_no_session_hangs(lab: Lab) -> None:
    message = infected_spam()
    with all_children_taken(lab):
        sent = send_all(lab, message, "bob@scored.test", "bob@marked-unscanned.test")
        assert {copy.folder for copy in lab.deliveries("bob@marked-unscanned.test")} == {"Junk"}
        assert all("spamassassin" in unchecked(copy) for copy in lab.deliveries())
    wait_until(lambda: is_scanned(lab, sent), "spamd is asked again", within=RECOVERS_WITHIN)
    assert_invariants(lab, sent)


def test_a_killed_clamd_is_found_again_when_it_is_back(lab: Lab) -> None:
    lab.scanners.clamd.kill()
    try:
        sent = [lab.send(infected_spam(), "bob@stamped.test")]
        assert unchecked(lab.delivery("bob@stamped.test")) == {"clamav"}
        wait_until(lambda: "clamav" in failing(lab.service), "earmark status says that it is down")
    finally:
        lab.scanners.clamd.start()
    wait_until(lambda: not failing(lab.service), "earmark has found clamd again", within=RECOVERS_WITHIN)
    sent.append(lab.send(infected_spam(), "eve@stamped.test"))
    assert not unchecked(lab.delivery("eve@stamped.test"))
    assert status(lab.service)["clamav"]["failing_seconds"] > 0
    assert_invariants(lab, sent)


def test_more_mail_than_scanners_take_at_once_waits_its_turn(lab: Lab) -> None:
    with ThreadPoolExecutor(16) as pool:
        sent = list(pool.map(lambda number: lab.send(infected_spam(), f"bob{number}@viruses.test"), range(40)))
    assert [(copy.folder, unchecked(copy)) for copy in lab.deliveries()] == [("Junk", set())] * 40
    assert_invariants(lab, sent)
