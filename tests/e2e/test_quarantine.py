"""The loop of the quarantine: held for one recipient, shown, released, delivered once; and nothing lost by a crash."""

import json
import shutil
import threading
from pathlib import Path

from e2e_lab.clamd import MARKER
from e2e_lab.invariants import assert_invariants
from e2e_lab.lab import Lab
from e2e_lab.processes import wait_until
from e2e_lab.smtp import Sent, send_until_settled
from earmark.stores.quarantine_files import ids

VIRUS = b"Subject: infected\nX-Spam-Flag: NO\nX-Earmark: forged\n\n.\n" + MARKER + b"\n"
FOR_BOB = "bob@held.test"


def test_a_virus_held_for_one_recipient_is_released_and_delivered_once(lab: Lab) -> None:
    sent = lab.send(VIRUS, FOR_BOB, "alice@viruses.test")
    assert sent.queue_id
    assert [(copy.recipient, copy.folder) for copy in lab.deliveries()] == [("alice@viruses.test", "Junk")]
    assert_invariants(lab, [sent])
    (row,) = lab.held()
    assert (row["recipient"], row["infected"], row["state"]) == (FOR_BOB, True, "held")
    assert row["why"] == ["VIRUS_UNOFFICIAL: ClamAV found Lab.Marker.UNOFFICIAL"]
    shown = lab.service.run("quarantine", "show", row["id"]).stdout
    assert f"queue id: {sent.queue_id}" in shown
    assert "Lab.Marker.UNOFFICIAL" in shown
    assert lab.service.run("quarantine", "release", row["id"]).returncode == 1, "it is infected"
    released = lab.service.run("quarantine", "release", row["id"], "--infected")
    assert released.returncode == 0, released.stderr
    copy = lab.delivery(FOR_BOB)
    assert copy.folder == "INBOX"
    assert f"queued as {copy.queue_id}" in released.stdout
    assert copy.message == b"Subject: infected\n\n.\n" + MARKER + b"\n", "what was forged has gone, and the proof too"
    assert "would=quarantine" in copy.values("X-Earmark")[0]
    assert lab.held() == []
    again = lab.service.run("quarantine", "release", row["id"], "--infected", "--again")
    assert again.returncode == 1
    assert len(lab.deliveries()) == 2
    wait_until(lambda: lab.service.run("explain", copy.queue_id).returncode == 0, "the history holds the release")
    explained = lab.service.run("explain", copy.queue_id, "--json")
    told = json.loads(explained.stdout)
    assert told["rederived"]["exact"], told["rederived"]
    assert [found["name"] for found in told["recipients"][0]["findings"]] == ["VIRUS_UNOFFICIAL", "RELEASED"]


def test_who_has_it_held_gets_nothing_however_he_is_written(lab: Lab) -> None:
    named = [FOR_BOB, "BOB2@held.test", "bob3@HELD.test.", '"bob4"@held.test', '"b o b5"@held.test', "bob\\6@held.test"]
    named += [
        "@relay.test:bob7@held.test",
        "@h1.test,@h2.test:bob8@held.test",
        "bob9(nine)@held.test",
        "bob10+x@held.test",
    ]
    sent = lab.send(VIRUS, *named, FOR_BOB, "alice@viruses.test")
    assert sent.accepted == [*named, "alice@viruses.test"]
    assert [copy.recipient for copy in lab.deliveries()] == ["alice@viruses.test"]
    assert len(lab.held()) == len(named)


def test_a_worker_killed_while_messages_are_held_loses_none(lab: Lab) -> None:
    """Each is answered 250 only when it is held; one that was held and not answered for may be held twice."""
    answered: list[Sent] = []

    def send(number: int) -> None:
        message = b"Subject: number %d\n\n%b\n%b" % (number, MARKER, b"x" * 72 + b"\n" * 20_000)
        answered.extend(send_until_settled(lambda left: lab.send(message, *left), [FOR_BOB])[-1:])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    directory = lab.service.quarantine
    for done in (2, 5):
        wait_until(lambda done=done: len(files_in(directory)) >= done, f"{done} are held")  # type: ignore[misc]
        lab.service.kill_children()
    for thread in threads:
        thread.join()
    assert len(answered) == 8
    rows = lab.held()
    assert {row["subject"] for row in rows} == {f"number {number}" for number in range(8)}
    assert {row["id"] for row in rows} == {file.name for file in files_in(directory)}
    assert all(file.read_bytes().endswith(b"\r\n" * 20_000) for file in files_in(directory))
    assert lab.deliveries() == []
    shutil.rmtree(directory)
    assert lab.held() == [], "and the service begins anew"


def files_in(directory: Path) -> list[Path]:
    return [directory / name for name in ids(directory)] if directory.exists() else []
