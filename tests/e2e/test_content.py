"""What the scanners find, through the whole service: refused, held, marked or let pass as each domain says."""

import asyncio
import base64
import io
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e_lab.clamd import EICAR
from e2e_lab.configuration import DOMAINS, SCAN_BUDGET, VIRUS_AT_MOST
from e2e_lab.faults import Fault
from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.mails import mail
from e2e_lab.processes import wait_until
from e2e_lab.smtp import Sent, send_until_settled
from e2e_lab.spamd import GTUBE
from e2e_lab.store import Delivery
from earmark.stores.quarantine_files import ids
from earmark.wire.milter import Command, packet
from earmark.wire.milter_mta import ALL_ACTIONS, ALL_STEPS, MtaSide, rcpt
from earmark.wire.milter_mta import mail as mail_command
from fakes.mta import Mta
from fakes.waiting import until

PASSES = Fault()


def folders(lab: Lab) -> list[tuple[str, str]]:
    """Return who got a copy, and where."""
    return sorted((copy.recipient, copy.folder) for copy in lab.deliveries())


def held_for(lab: Lab) -> list[tuple[str, str]]:
    """Return for whom a message is held, and why."""
    return sorted((row["recipient"], "; ".join(row["why"])) for row in lab.held())


def unchecked(copy: Delivery) -> set[str]:
    """Return what the trace header says was not asked, or gave no answer."""
    return set(copy.values("X-Earmark")[0].partition("unchecked=")[2].replace(" ", "").split(",")) - {""}


FOUND = "VIRUS_UNOFFICIAL: ClamAV found Lab.Eicar.UNOFFICIAL"


def test_a_virus_is_refused_held_or_marked_as_the_policy_of_each_domain_says(lab: Lab) -> None:
    refused = lab.send(mail(EICAR), "bob@refuses.test")
    held = lab.send(mail(EICAR), "bob@held.test")
    marked = lab.send(mail(EICAR), "bob@viruses.test")
    assert refused.final is not None
    assert refused.final.code == 550
    assert refused.final.text.startswith("5.7.1 ")
    assert held.queue_id
    assert folders(lab) == [("bob@viruses.test", "Junk")]
    assert held_for(lab) == [("bob@held.test", FOUND)]
    assert_invariants(lab, [refused, held, marked])


@pytest.mark.parametrize("turned", [False, True], ids=["in one order", "in the other"])
def test_a_virus_in_one_message_for_three_domains_is_to_each_what_it_is_alone(lab: Lab, *, turned: bool) -> None:
    """But that the refusal, which the others have not asked for, is a copy that is held."""
    recipients = ["bob@refuses.test", "bob@held.test", "bob@viruses.test"]
    sent = lab.send(mail(EICAR), *(reversed(recipients) if turned else recipients))
    assert sent.queue_id
    copy = lab.delivery("bob@viruses.test")
    assert copy.folder == "Junk"
    assert held_for(lab) == [("bob@held.test", FOUND), ("bob@refuses.test", FOUND)]
    for name in DOMAINS:
        assert name == "viruses.test" or name.encode() not in b"".join(copy.ours), "nobody learns of the others"
    assert_invariants(lab, [sent])


def test_mail_without_a_virus_goes_its_way_in_all_of_them(lab: Lab) -> None:
    sent = lab.send(mail(b"Is it ready?"), "bob@refuses.test", "bob@held.test", "bob@viruses.test", "bob@stamped.test")
    assert {folder for _, folder in folders(lab)} == {"INBOX"}
    assert len(lab.deliveries()) == 4
    assert not any(unchecked(copy) for copy in lab.deliveries())
    assert_invariants(lab, [sent])


def test_what_the_mta_is_to_hold_it_holds(lab: Lab) -> None:
    sent = lab.send(mail(EICAR), "bob@kept.test")
    try:
        assert [file.name for file in lab.postfix.held()] == [sent.queue_id]
        assert not lab.deliveries()
        assert not lab.held()
        assert_invariants(lab, [sent])
    finally:
        lab.postfix.discard_held()


def test_the_mta_holds_nothing_that_another_recipient_is_to_get(lab: Lab) -> None:
    sent = lab.send(mail(EICAR), "bob@kept.test", "bob@viruses.test")
    assert lab.postfix.held() == []
    assert folders(lab) == [("bob@viruses.test", "Junk")]
    assert held_for(lab) == [("bob@kept.test", FOUND)]
    assert_invariants(lab, [sent])


def spamd_alone(lab: Lab, copy: Delivery) -> str:
    """Return what spamd says of a stored message under Postfix's own Received line, in points."""
    (received,) = (field for field in copy.added if field.startswith(b"Received: from ") and b"(Postfix)" in field)
    sender = b"X-Envelope-From: <someone@sender.test>\n"
    return f"{lab.scanners.spamd.scan(sender + received + copy.message).score / 100:.2f}"


@pytest.mark.parametrize(
    ("body", "folder", "score"),
    [
        (b"LABROUND", "INBOX", "4.96"),
        (b"LABROUND LABSPAM3", "Junk", "7.96"),
        (GTUBE, "Junk", "1000.00"),
    ],
)
def test_spam_lands_in_junk_by_the_score_that_spamassassin_gives(
    lab: Lab, body: bytes, folder: str, score: str
) -> None:
    sent = lab.send(mail(body), "bob@scored.test")
    copy = lab.delivery("bob@scored.test")
    assert (copy.folder, copy.values("X-Spam-Score")) == (folder, [score])
    assert spamd_alone(lab, copy) == score
    assert_invariants(lab, [sent])


HTML = b"<html><body><p>" + GTUBE + b"</p></body></html>"


@pytest.mark.parametrize(
    ("kind", "encoding", "body"),
    [
        (b"text/html; charset=utf-8", b"7bit", HTML),
        (b"text/plain; charset=utf-8", b"base64", base64.encodebytes(GTUBE)),
        (b"text/plain; charset=utf-16", b"base64", base64.encodebytes(GTUBE.decode().encode("utf-16"))),
        (b"text/plain; charset=us-ascii", b"quoted-printable", GTUBE.replace(b"*C4", b"=2AC=\n4")),
    ],
    ids=["html", "base64", "utf-16", "quoted-printable"],
)
def test_spam_in_any_encoding_is_what_spamd_alone_makes_of_it(
    lab: Lab, kind: bytes, encoding: bytes, body: bytes
) -> None:
    fields = (b"MIME-Version: 1.0", b"Content-Type: " + kind, b"Content-Transfer-Encoding: " + encoding)
    sent = lab.send(mail(body, *fields), "bob@scored.test")
    copy = lab.delivery("bob@scored.test")
    assert copy.values("X-Spam-Score") == [spamd_alone(lab, copy)]
    assert_invariants(lab, [sent])


def test_what_is_spam_whatever_its_path_is_refused_where_the_domain_has_opted_in(lab: Lab) -> None:
    sent = lab.send(mail(GTUBE), "bob@confirmed.test")
    assert sent.final is not None
    assert sent.final.code == 550
    together = lab.send(mail(GTUBE), "bob@confirmed.test", "bob@scored.test")
    assert folders(lab) == [("bob@scored.test", "Junk")]
    assert [recipient for recipient, _ in held_for(lab)] == ["bob@confirmed.test"]
    assert_invariants(lab, [sent, together])


def test_who_marks_alone_gets_the_copy_into_junk_where_the_domain_has_details(lab: Lab) -> None:
    sent = lab.send(mail(EICAR), "bob@detail.test", "ann@lab.test")
    assert folders(lab) == [("ann@lab.test", "INBOX"), ("bob@detail.test", "Junk")]
    assert not any(copy.marked for copy in lab.deliveries())
    assert_invariants(lab, [sent])


def test_who_wants_a_message_alone_gets_it_by_the_retry(lab: Lab) -> None:
    message = mail(EICAR)
    attempts = send_until_settled(lambda left: lab.send(message, *left), ["ann@lab.test", "bob@alone.test"])
    assert [attempt.recipients["bob@alone.test"].code for attempt in attempts] == [452, 250]
    assert folders(lab) == [("ann@lab.test", "INBOX"), ("bob@alone.test", "Junk")]
    assert_invariants(lab, attempts)


@pytest.mark.parametrize("declared", ["", f" SIZE={2 * 1000 * VIRUS_AT_MOST}"])
def test_more_than_the_policy_has_scanned_is_unscanned_and_says_so(lab: Lab, declared: str) -> None:
    large = mail((b"x" * 70 + b"\n") * (1000 * VIRUS_AT_MOST // 70) + EICAR)
    sent = lab.send(large, "bob@sized.test", parameters=declared)
    copy = lab.delivery("bob@sized.test")
    assert copy.folder == "INBOX"
    assert unchecked(copy) == {"clamav"}
    assert_invariants(lab, [sent])


def nested(depth: int) -> bytes:
    """Return a multipart in a multipart in a multipart, and in the last one EICAR."""
    body = b"Content-Type: text/plain\n\n" + EICAR + b"\n"
    openings = (b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level) for level in range(depth))
    closings = (b"--b%d--\n" % level for level in reversed(range(depth)))
    return b"--top\n" + b"".join(openings) + body + b"".join(closings) + b"--top--\n"


def attached(data: bytes, name: bytes = b"a.zip") -> bytes:
    """Return the parts of a message with an attachment."""
    head = b'Content-Type: application/zip; name="%b"\nContent-Transfer-Encoding: base64\n\n' % name
    return b"--top\nContent-Type: text/plain\n\nSee there.\n--top\n" + head + base64.encodebytes(data) + b"--top--\n"


def zipped(*files: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for number, file in enumerate(files):
            made.writestr(f"{number}.zip", file)
    return archive.getvalue()


def zip_bomb() -> bytes:
    """Return an archive of archives: half a gigabyte in a few kilobytes."""
    return zipped(*[zipped(*[bytes(1_500_000)] * 36)] * 10)


def deep_archive() -> bytes:
    data = EICAR
    for _ in range(1000):
        data = zipped(data)
    return data


MIXED = (b"MIME-Version: 1.0", b"Content-Type: multipart/mixed; boundary=top")
BEYOND = {
    "a zip bomb": lambda: mail(attached(zip_bomb()), *MIXED),
    "a thousand archives in each other": lambda: mail(attached(deep_archive()), *MIXED),
    "a virus behind the limit of a file": lambda: mail(attached(bytes(3_000_000) + EICAR, b"a.bin"), *MIXED),
    "more than clamd takes": lambda: mail((b"x" * 998 + b"\n") * 13_000 + EICAR),
}


@pytest.mark.parametrize("message", BEYOND.values(), ids=BEYOND)
def test_what_is_beyond_the_limits_of_clamd_is_neither_clean_nor_put_off(
    lab: Lab, message: Callable[[], bytes]
) -> None:
    sent = lab.send(message(), "bob@viruses.test", "bob@waits.test")
    assert folders(lab) == [("bob@viruses.test", "INBOX"), ("bob@waits.test", "INBOX")]
    assert all("clamav" in unchecked(copy) for copy in lab.deliveries())
    assert_invariants(lab, [sent])


HIDDEN = {
    "ten thousand parts in each other": lambda: mail(nested(10_000), *MIXED),
    "a hundred thousand parts": lambda: mail(b"--top\n\nx\n" * 100_000 + attached(EICAR, b"a.txt"), *MIXED),
    "two boundaries": lambda: mail(
        attached(EICAR, b"a.txt"), MIXED[0], b"Content-Type: multipart/mixed; boundary=other; boundary=top"
    ),
    "a boundary that never ends": lambda: mail(attached(EICAR, b"a.txt").removesuffix(b"--top--\n"), *MIXED),
    "one line of ten megabytes": lambda: mail(EICAR + b"x" * 10_000_000),
}


@pytest.mark.parametrize("message", HIDDEN.values(), ids=HIDDEN)
def test_a_virus_in_a_message_that_wants_to_be_misread_is_found_or_the_message_unchecked(
    lab: Lab, message: Callable[[], bytes]
) -> None:
    sent = lab.send(message(), "bob@viruses.test")
    copy = lab.delivery("bob@viruses.test")
    assert copy.marked or unchecked(copy) == {"clamav"}
    assert_invariants(lab, [sent])


def test_a_large_message_is_not_in_memory(lab: Lab) -> None:
    size = 30_000_000
    message = mail((b"x" * 99 + b"\n") * (size // 100))
    with lab.service.growth() as grown:
        sent = lab.send(message, "bob@viruses.test")
    assert max(grown) < size / 2
    assert_invariants(lab, [sent])


def say(answer: bytes) -> Fault:
    return Fault("say", text=answer)


def test_the_name_of_a_virus_is_data_wherever_it_is_shown(lab: Lab) -> None:
    """FAULTS 45: what ends a line is no answer of clamd's; all else stands on its line, and in no header field."""
    sent = []
    for name in (b"a\r\nX-Injected: yes", b"%s%n$(id)`id`<b>\xc3\xa4\x9b" + b"x" * 900):
        with lab.scanners.failing(lab.service, say(b"stream: " + name + b" FOUND\0"), PASSES):
            sent.append(lab.send(mail(b"Is it ready?"), "bob@viruses.test", "bob@held.test"))
            sent.append(lab.send(mail(b"Is it ready?"), "bob@refuses.test"))
    assert [one.final.code for one in sent if one.final] == [250, 250, 250, 550]
    assert sent[-1].final is not None
    assert sent[-1].final.text.isascii()
    for copy in lab.deliveries():
        assert all(field.isascii() and len(field) < 998 for field in copy.ours)
        assert b"Injected" not in copy.file.read_bytes()
    (row,) = lab.held()
    assert row["why"][0].isascii()
    assert row["why"][0].startswith(r"VIRUS: ClamAV found %s%n$(id)`id`<b>\xc3\xa4\x9bxxx")
    assert_invariants(lab, sent)


def infected(subject: bytes = b"Tea") -> bytes:
    """Return a mail that is held, of 60 KB."""
    return mail(EICAR + b"\n" + (b"x" * 70 + b"\n") * 850, subject=subject)


@pytest.fixture
def quarantine(lab: Lab) -> Path:
    """The directory, with one message in it."""
    assert lab.send(infected(), "bob@held.test").queue_id
    lab.begin()
    return lab.service.quarantine


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """Lay an empty disk of 256 KB over a directory."""
    there = directory.stat()
    options = f"size=256k,mode=0700,uid={there.st_uid},gid={there.st_gid}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def test_while_the_disk_of_the_quarantine_is_full_mail_comes_later(lab: Lab, quarantine: Path) -> None:
    sent: list[Sent] = []

    def is_put_off() -> bool:
        sent.append(lab.send(infected(), "bob@held.test"))
        return sent[-1].put_off

    with small_disk(quarantine):
        wait_until(is_put_off, "the disk is full")
        assert [one.final.code for one in sent if one.final] == [250] * (len(sent) - 1) + [451]
        assert len(lab.held()) == len(sent) - 1 > 0
        subprocess.run(["mount", "-o", "remount,size=4m", quarantine], check=True)
        sent += send_until_settled(lambda left: lab.send(infected(), *left), ["bob@held.test"])
        assert_invariants(lab, sent)


def test_while_the_quarantine_cannot_be_written_mail_comes_later(lab: Lab, quarantine: Path) -> None:
    """To root all permissions are one: in place of the directory there is a file."""
    aside = quarantine.rename(quarantine.with_suffix(".aside"))
    quarantine.write_text("no directory")
    sent = [lab.send(infected(), "bob@held.test", "bob@viruses.test")]
    assert sent[0].final is not None
    assert sent[0].final.code == 451
    assert lab.deliveries() == [], "nobody has a copy that will come again"
    quarantine.unlink()
    aside.rename(quarantine)
    sent += send_until_settled(lambda left: lab.send(infected(), *left), ["bob@held.test", "bob@viruses.test"])
    assert held_for(lab) == [("bob@held.test", FOUND)]
    assert_invariants(lab, sent)


def test_a_worker_killed_between_the_disk_and_the_answer_loses_nothing(lab: Lab, quarantine: Path) -> None:
    """The file is there and the row is waited for. The client knows nothing of that, and comes again."""
    index = sqlite3.connect(quarantine / "index.sqlite", isolation_level=None)
    message = infected(b"killed")
    with ThreadPoolExecutor() as pool:
        index.execute("BEGIN IMMEDIATE")
        sending = pool.submit(send_until_settled, lambda left: lab.send(message, *left), ["bob@held.test"])
        wait_until(lambda: ids(quarantine), "the message is on disk")
        lab.service.kill_children()
        index.execute("ROLLBACK")
        index.close()
        attempts = sending.result()
    assert attempts[0].final is not None
    assert attempts[0].final.code == 451
    assert [row["subject"] for row in lab.held()] == ["killed", "killed"], "once for each attempt"
    assert {row["id"] for row in lab.held()} == ids(quarantine)
    assert_invariants(lab, attempts)


async def test_a_client_that_goes_during_a_scan_takes_the_scan_along(lab: Lab) -> None:
    """FAULTS 15: the scanners' connections end at once, and not when time is up."""
    hang = Fault("hang")
    with lab.scanners.failing(lab.service, hang, hang):
        mta = Mta(*await asyncio.open_connection("127.0.0.1", lab.service.port), MtaSide(6, ALL_ACTIONS, ALL_STEPS))
        await mta.greet()
        await mta.say(Command.MAIL, mail_command(b"<someone@sender.test>"))
        await mta.say(Command.RCPT, rcpt(b"<bob@stamped.test>"))
        await mta.say(Command.DATA, packet(Command.DATA))
        await mta.say(Command.EOH, packet(Command.EOH))
        await mta.say(Command.BODY, packet(Command.BODY, b"Is it ready?\r\n"))
        mta.send(packet(Command.EOM))
        asked = (lab.scanners.for_viruses[0], lab.scanners.for_spam)
        await until(lambda: all(proxy.open for proxy in asked))
        await mta.vanish()
        await until(lambda: not any(proxy.open for proxy in lab.scanners.proxies), SCAN_BUDGET / 2)
