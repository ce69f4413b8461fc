"""What is looked at once the guest runs, and before anybody goes back."""

import pytest

from earmark.cluster.migration.arrived import Arrived, arrived, queued
from earmark.cluster.migration.continuity import continued
from earmark.cluster.migration.facts import Answer
from earmark.cluster.migration.journal import State
from earmark.cluster.migration.request import Request
from earmark.cluster.migration.returning import only_there
from earmark.cluster.migration.smtp import BoundedClient
from earmark.cluster.migration.verify import checks, deliver, greeting
from fakes.migration import Lab, example, facts
from fakes.smtp_words import smtp_words

LAST = "Nov 22 12:00:00 mail postfix/master[1]: terminating on signal 15\n"
NEXT = "Nov 22 12:04:10 mail postfix/master[311]: daemon started\n"
ISO = "2026-11-22T12:00:00.123456+01:00 mail postfix/master[1]: terminating\n"


@pytest.mark.parametrize(
    ("last", "since", "well", "said"),
    [
        (LAST, LAST + NEXT, True, "is followed by 'Nov 22 12:04:10"),
        (LAST, LAST + NEXT + NEXT, True, "2 lines in all"),
        (LAST, LAST + NEXT + "torn li", True, "1 lines in all"),
        (LAST, LAST, False, "nothing has been written"),
        (LAST, NEXT, False, "not where it was"),
        (LAST, "", False, "not where it was"),
        (LAST, LAST + NEXT + LAST, False, "stands there again"),
        (LAST, LAST + NEXT + "Nov 22 11:59:59 mail x\n", False, "goes back in time"),
        ("Dec 31 23:59:59 mail x\n", "Dec 31 23:59:59 mail x\nJan  1 00:00:01 mail y\n", True, ""),
        (ISO, ISO + "2026-11-22T11:30:00.000000Z mail y\n", True, ""),
        (ISO, ISO + "2026-11-22T10:30:00.000000Z mail y\n", False, "goes back in time"),
        (ISO, ISO + "2026-99-22T10:30:00.000000Z mail y\n", True, ""),
        ("", "", False, "no last line"),
    ],
)
def test_a_log_that_goes_on_has_no_gap_and_no_repeat(*, last: str, since: str, well: bool, said: str) -> None:
    found = continued(last, since)
    assert found.well is well, found
    assert said in found.said


POSTFIX = (
    LAST + "Nov 22 12:05:00 mail postfix/smtpd[9]: 4X: client=mx.example.net[203.0.113.5]\n"
    "Nov 22 12:05:00 mail postfix/cleanup[9]: 4X: message-id=<a@example.net>\n"
    "Nov 22 12:05:01 mail postfix/lmtp[9]: 4X: to=<u@example.org>, relay=mx.example.org[private/dovecot], delay=1,"
    " dsn=2.0.0, status=sent (250 ok)\n"
    "Nov 22 12:05:01 mail postfix/local[9]: 4X: to=<u@example.org>, orig_to=<x@example.org>, relay=local, delay=1,"
    " dsn=2.0.0, status=sent (delivered to mailbox)\n"
    "Nov 22 12:05:02 mail postfix/smtp[9]: 4X: to=<v@example.com>, relay=mx.example.com[203.0.113.6]:25, delay=1,"
    " dsn=2.0.0, status=sent (250 ok)\n"
    "Nov 22 12:05:02 mail postfix/smtp[9]: 4X: to=<w@example.com>, relay=none, delay=1, dsn=4.4.1, status=deferred\n"
)
EXIM = (
    "2026-11-22 12:05:00 1abc-0001 <= a@example.net H=mx.example.net [203.0.113.5] P=esmtp S=900\n"
    "2026-11-22 12:05:01 1abc-0001 => u <u@example.org> R=local_user T=maildir_home\n"
    "2026-11-22 12:05:01 1abc-0001 -> v@example.com R=dnslookup T=remote_smtp H=mx.example.com [203.0.113.6]\n"
)


def test_mail_since_the_move_is_counted_by_where_it_went() -> None:
    assert arrived(POSTFIX, "postfix") == Arrived(received=1, kept=2, passed_on=1)
    assert arrived(EXIM, "exim") == Arrived(received=1, kept=1, passed_on=1)


@pytest.mark.parametrize(
    ("output", "mta", "number"),
    [
        ("Mail queue is empty\n", "postfix", 0),
        ("-Queue ID-  --Size-- ...\n4X 900 Sun\n\n-- 3 Kbytes in 2 Requests.\n", "postfix", 2),
        ("-- 0 Kbytes in 1 Request.\n", "postfix", 1),
        ("postqueue: fatal: x\n", "postfix", None),
        ("0\n", "exim", 0),
        ("17\n", "exim", 17),
        ("no\n", "exim", None),
    ],
)
def test_a_queue_is_counted_or_it_is_said_that_it_cannot_be(output: str, mta: str, number: int | None) -> None:
    assert queued(output, "exim" if mta == "exim" else "postfix") == number


def marked() -> State:
    return State(notes={"log-size": "100\n", "log-last": LAST})


def guest_lab(queue: str = "Mail queue is empty\n", log: str = LAST + NEXT) -> Lab:
    lab = Lab()
    lab.guest, lab.queue, lab.log = {"postfix"}, queue, log
    return lab


def test_a_guest_without_mail_of_its_own_may_be_given_up_and_takes_no_more() -> None:
    lab, said = guest_lab(), list[str]()
    assert only_there(example(), marked(), lab, said.append) == ""
    assert said[0].startswith("since the move: 0 messages received")
    assert lab.guest == set()


def test_mail_in_the_guests_queue_is_not_left_behind() -> None:
    lab = guest_lab(queue="-- 3 Kbytes in 2 Requests.\n")
    assert only_there(example(), marked(), lab, print).startswith("2 messages wait in the guest's queue: postqueue -f")
    assert lab.guest == {"postfix"}


def test_mail_that_comes_in_that_very_moment_starts_the_mta_again() -> None:
    lab = guest_lab()
    lab.fails = lambda words: (
        Answer(0, "-- 1 Kbytes in 1 Request.\n") if words.startswith("guest: postqueue") and not lab.guest else None
    )
    assert "1 messages wait" in only_there(example(), marked(), lab, print)
    assert lab.guest == {"postfix"}


def test_mail_in_the_guests_mailboxes_is_not_left_behind() -> None:
    assert "mailboxes" in only_there(example(), marked(), guest_lab(log=POSTFIX), print)


def test_a_queue_that_cannot_be_seen_is_not_an_empty_one() -> None:
    lab = guest_lab()
    lab.fails = lambda words: Answer(255, "", "no route") if words.startswith("guest: ") else None
    assert "cannot be seen (no route)" in only_there(example(), State(), lab, print)
    assert "names no machine" in only_there(example_without_ssh(), marked(), guest_lab(), print)


def example_without_ssh() -> Request:
    request = example()
    return request.model_copy(update={"guest": request.guest.model_copy(update={"at": ""})})


def looked(request: Request, lab: Lab, port: int = 25) -> dict[str, bool | None]:
    return {check.name: check.well for check in checks(request, facts(request), marked(), lab, port=port)}


def at_loopback(boot: int = 5) -> Request:
    request = example()
    guest = request.guest.model_copy(update={"address": "127.0.0.1", "boot": boot, "probe": ""})
    return request.model_copy(update={"guest": guest})


def test_a_guest_that_serves_is_found_well() -> None:
    with smtp_words(b"220 mail ESMTP\r\n", b"221 bye\r\n") as server:
        found = looked(at_loopback(), guest_lab(), server.port)
    assert found == {
        "network": True, "banner": True, "postfix": True, "spamassassin": True, "clamav-daemon": True, "log": True,
    }  # fmt: skip


def test_what_is_wrong_is_said_one_by_one() -> None:
    lab = guest_lab(log=NEXT)
    lab.fails = lambda words: (
        Answer(3, "inactive\n") if "clamav" in words else Answer(1, "") if "ping" in words else None
    )
    with smtp_words(b"554 no\r\n", b"221 bye\r\n") as server:
        found = looked(at_loopback(boot=0), lab, server.port)
    assert found == {
        "network": False, "banner": False, "postfix": True, "spamassassin": True, "clamav-daemon": False, "log": False,
    }  # fmt: skip


def test_what_cannot_be_looked_at_is_not_called_well() -> None:
    request = example_without_ssh()
    request = request.model_copy(update={"guest": request.guest.model_copy(update={"address": None})})
    assert looked(request, Lab()) == {"network": None, "services": None, "log": None}


TO_MAIL = (b"220 mail ESMTP\r\n", b"250 mail\r\n", b"250 ok\r\n")


def test_a_probe_message_is_handed_over_from_the_null_sender() -> None:
    body = (b"354 go\r\n", *[b""] * 5, b"250 ok\r\n", b"221 bye\r\n")
    with smtp_words(*TO_MAIL, b"250 ok\r\n", *body) as server:
        found = deliver("127.0.0.1", server.port, "postmaster@example.org")
    assert server.heard[1].startswith(b"mail FROM:<>")
    assert server.heard[2].startswith(b"rcpt TO:<postmaster@example.org>")
    assert found == ("probe message", True, "taken for postmaster@example.org")


def test_a_probe_message_that_is_refused_says_how() -> None:
    with smtp_words(*TO_MAIL, b"550 5.1.1 who\r\n", b"250 ok\r\n", b"221 bye\r\n") as server:
        found = deliver("127.0.0.1", server.port, "postmaster@example.org")
    assert found.well is False
    assert "5.1.1 who" in found.said


def test_nobody_listening_is_a_finding() -> None:
    with smtp_words() as server:
        port = server.port
    assert greeting("127.0.0.1", port).well is False


@pytest.mark.parametrize(
    "banner", [b"220-" + b"x" * 100_000, b"220-more\r\n" * 10_000 + b"220 end\r\n", b"SSH-2.0-x\r\n"]
)
def test_a_banner_without_an_end_and_one_that_is_none_are_findings(banner: bytes) -> None:
    with smtp_words(banner, b"221 bye\r\n") as server:
        found = greeting("127.0.0.1", server.port)
    assert found.well is False
    assert len(found.said) < 200


def test_a_banner_that_never_goes_on_is_given_up() -> None:
    with smtp_words(b"220-more\r\n", None) as server, pytest.raises(TimeoutError), BoundedClient(0.3) as client:
        client.connect("127.0.0.1", server.port)


@pytest.mark.parametrize("size", ["", "many\n", "-1\n", "9" * 5000, "\u0662\n"])
def test_a_size_in_the_journal_that_is_no_number_is_a_finding(size: str) -> None:
    state = State(notes={"log-size": size, "log-last": LAST})
    looked_at = checks(at_loopback(boot=0), facts(example()), state, guest_lab(), port=1)
    assert next(check for check in looked_at if check.name == "log").well is False
    assert "cannot be counted" in only_there(example(), state, guest_lab(), print)


def test_mail_that_cannot_be_counted_is_not_none() -> None:
    assert "cannot be counted" in only_there(example(), marked(), guest_lab(log=NEXT), print)


def test_a_log_that_was_rotated_once_is_read_across() -> None:
    lab = guest_lab()
    lab.fails = lambda words: (
        Answer(0, LAST + NEXT) if words.endswith("mail.log.1") else Answer(0, "x\n") if "tail" in words else None
    )
    looked_at = checks(at_loopback(boot=0), facts(example()), marked(), lab, port=1)
    found = next(check for check in looked_at if check.name == "log")
    assert found.well is True
