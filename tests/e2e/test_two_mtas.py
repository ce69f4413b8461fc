"""One policy, two MTAs: the same dialogue through real Postfix and real Exim comes to the same (docs/exim.md)."""

import re
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from e2e_lab import smtp
from e2e_lab.clamd import EICAR
from e2e_lab.configuration import ENGINE, list_of
from e2e_lab.exim import Exim
from e2e_lab.faults import Fault
from e2e_lab.lab import Lab
from e2e_lab.mails import mail
from e2e_lab.processes import wait_until
from e2e_lab.smtp import Peer, Reply, Sent
from e2e_lab.spamd import GTUBE
from e2e_lab.store import Delivery, take_apart
from earmark.core.evidence import Listing, Question, question_from_parts, question_text
from earmark.core.record import Record
from earmark.stores import recall
from earmark.stores.history import FILE_NAME

HERE = Path(__file__).parent
DIALOGUES: list[dict[str, Any]] = tomllib.loads((HERE / "two_mtas" / "dialogues.toml").read_text())["dialogue"]
_TEXTS = {"EICAR": EICAR, "GTUBE": GTUBE}
_ID = re.compile(r"\(id \w{12}\)")
_KEPT = "GREYLIST_PASSED"
"""What is found in what only the policy door asks; it has no points."""
_COUNTED = ("greylist", "rate")
"""Kinds of questions that Exim's content door does not ask: what counts or waits was asked at the policy door."""


@dataclass
class Played:
    """A dialogue as it went with one MTA."""

    sent: Sent
    refused: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By recipient who was not taken at RCPT, what was judged of him."""
    message: Record | None = None
    """What was judged of the message; None where none was sent."""
    copies: list[Delivery] = field(default_factory=list)


def message_of(dialogue: Mapping[str, Any]) -> bytes:
    """Return the dialogue's message; its lines end in LF."""
    if "mail" in dialogue:
        (file,) = [*(HERE / "mails").glob(dialogue["mail"] + "*"), *HERE.parent.glob(f"corpus/{dialogue['mail']}*")]
        return file.read_bytes()
    fields = "".join(f"{line}\n" for line in dialogue.get("fields", ["Subject: plain"])).encode()
    body: str = dialogue.get("body", "plain")
    return fields + b"Message-ID: <%d@sender.test>\n\n" % id(dialogue) + _TEXTS.get(body, body.encode()) + b"\n"


def play(port: int, mta: str, dialogue: Mapping[str, Any]) -> Sent:
    """Play a dialogue, as often as it says; return how the last time went."""
    peer = Peer()
    peer = Peer(
        dialogue.get("client", peer.address),
        dialogue.get("ptr", peer.name),
        dialogue.get("helo", peer.helo),
        dialogue.get("login", ""),
    )
    sender = dialogue.get("from", smtp.SENDER).replace("{mta}", mta)
    recipients = [recipient.replace("{mta}", mta) for recipient in dialogue["to"]]
    for _ in range(dialogue.get("before", 0)):
        smtp.send(port, peer, sender, recipients, message_of(dialogue))
        time.sleep(dialogue.get("pause", 0))  # greylisting: that so much time has passed is the condition
    return smtp.send(port, peer, sender, recipients, message_of(dialogue))


@pytest.fixture(scope="module", autouse=True)
def _four_workers(whole_lab: Lab) -> Iterator[None]:
    """What one worker has learnt the next one may not know; Exim meets another one with each question."""
    whole_lab.service.restart(ENGINE, workers=4)
    yield
    whole_lab.service.restart(ENGINE)


@pytest.fixture(scope="module")
def played(whole_lab: Lab) -> dict[str, tuple[Played, Played]]:
    """Each dialogue by its name, with Postfix and with Exim: all are played before any is looked at."""
    if whole_lab.exim is None:
        pytest.skip("Exim is not unpacked here")
    whole_lab.begin()
    began = time.time() - 1
    by_postfix = [play(whole_lab.postfix.smtp, "p", dialogue) for dialogue in DIALOGUES]
    by_exim = [play(whole_lab.exim.smtp, "e", dialogue) for dialogue in DIALOGUES]
    copies = whole_lab.deliveries()
    whole_lab.postfix.discard_held()
    whole_lab.exim.discard_held()
    records = _records(whole_lab, began, [*by_postfix, *by_exim])
    pairs = zip(by_postfix, by_exim, strict=True)
    return {
        dialogue["name"]: (_played(one, records, copies), _played(other, records, copies))
        for dialogue, (one, other) in zip(DIALOGUES, pairs, strict=True)
    }


def _records(lab: Lab, began: float, sent: list[Sent]) -> dict[str, Record]:
    """Return what was judged, by verdict id and by queue id, once all of it has been written down."""
    certain = {key for one in sent for key in (one.queue_id, *one.verdict_ids) if key}
    found: dict[str, Record] = {}

    def complete() -> bool:
        found.clear()
        for record in recall.since(lab.service.state / FILE_NAME, began):
            found.update({record.id: record, record.queue_id: record})
        return certain <= found.keys()

    wait_until(complete, "the history knows all that was answered")
    return found


def _played(sent: Sent, records: Mapping[str, Record], copies: list[Delivery]) -> Played:
    ids = {recipient: reply.verdict_ids for recipient, reply in sent.recipients.items()}
    told = {recipient: records[next(iter(found))] for recipient, found in ids.items() if found}
    refused = {
        recipient: next(one for one in record.recipients if one["address"] == recipient)
        for recipient, record in told.items()
    }
    final = sent.final.verdict_ids if sent.final else set()
    key = sent.queue_id or next(iter(final), "")
    mine = [copy for copy in copies if sent.queue_id and copy.queue_id == sent.queue_id]
    return Played(sent, refused, records[key] if key else None, mine)


def replies(sent: Sent) -> list[tuple[str, int, str]]:
    """Return what the client was told that is our own word, by whom it was told for; ids taken out."""
    told: list[tuple[str, Reply | None]] = [*sent.recipients.items(), ("", sent.final)]
    return [(who.replace("-p@", "-e@"), reply.code, _ours(reply)) for who, reply in told if reply]


def _ours(reply: Reply) -> str:
    """Return our text; what an MTA says by itself when it takes something is its own."""
    text = _ID.sub("(id)", reply.said)
    return _neutral(text) if reply.code >= 400 else ""


def _neutral(text: str) -> str:
    return re.sub(r"\bp((?:again)?\.sender\.test)", r"e\1", text).replace("-p@", "-e@")


def judged(played: Played) -> dict[str, Any]:
    """Return all of a verdict but ids and times. Who was refused has a record of his own with Exim."""
    record, refused = played.message, played.refused
    taken = [one for one in (record.recipients if record else ()) if one["address"] not in refused]
    told = {"taken": list(map(_report, taken)), "refused": list(map(_report, refused.values()))}
    if record is None:
        return told
    envelope = {name: getattr(record, name) for name in ("client", "helo", "user", "exempt", "relay")}
    return {**told, **envelope, **{name: getattr(record, name) for name in ("received", "fields", "truncated")}}


def _report(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **one,
        "address": _neutral(one["address"]),
        "reply": _neutral(_ID.sub("(id)", one["reply"])) if one["reply"] else None,
        "findings": [{**found, **_texts(found)} for found in one["findings"] if found["name"] != _KEPT],
        "unknown": sorted(map(_text, one["unknown"])),
    }


def _texts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finding's texts without what differs from one MTA to the other: the message's id, the sender's name."""
    question = found["question"]
    return {"why": _neutral(found["why"]), "question": _text(question) if question else None}


def _text(question: str) -> str:
    """Return a question without the id of the message that it is about."""
    return _neutral(re.sub(r"^(dkim|arc|virus|spam) \w{12}", r"\1 ID", question))


def facts(played: Played) -> dict[str, Any]:
    """Return what was needed and known of a message, but for what is counted or waits: each MTA has that for itself.

    Look-ups begin at connect, for any policy's recipient. Of those that nobody needed then, it is chance which had been
    answered when the verdict was told: whose list is not the recipient's, and all of an exempt message.
    """
    record, refused = played.message, played.refused
    if record is None or record.exempt:
        return {}
    lists = {list_of(one["address"]) for one in record.recipients if one["address"] not in refused}
    asked = ((question_from_parts(parts), fact) for parts, fact in record.facts)
    return {
        _text(question_text(question)): (fact.status, tuple(map(_neutral, fact.data)))
        for question, fact in asked
        if _is_needed(question, lists)
    }


def _is_needed(question: Question, lists: set[str]) -> bool:
    return question.zone in lists if isinstance(question, Listing) else question.kind not in _COUNTED


def delivered(played: Played) -> list[tuple[str, str, tuple[bytes, ...]]]:
    """Return who has a copy, in which folder, with which fields of ours."""
    found = ((_neutral(copy.recipient), copy.folder, tuple(map(_without_id, copy.ours))) for copy in played.copies)
    return sorted(found)


def _without_id(field: bytes) -> bytes:
    return re.sub(rb"\bid=\w{12}", b"id=ID", field).replace(b"," + _KEPT.encode(), b"")


def bodies(played: Played) -> set[bytes]:
    return {take_apart(copy.message).body.rstrip(b"\n") for copy in played.copies}


def named(difference: str) -> list[str]:
    """Return the dialogues that differ so."""
    return [dialogue["name"] for dialogue in DIALOGUES if difference in dialogue.get("differs", ())]


EVERY = [dialogue["name"] for dialogue in DIALOGUES]


@pytest.mark.parametrize("name", [name for name in EVERY if name not in named("mbox line")])
def test_the_same_is_answered_and_judged(played: dict[str, tuple[Played, Played]], name: str) -> None:
    postfix, exim = played[name]
    assert replies(exim.sent) == replies(postfix.sent)
    assert judged(exim) == judged(postfix)
    known, known_to_exim = facts(postfix), facts(exim)
    assert known_to_exim.items() <= known.items()
    of_refused = known.keys() - known_to_exim.keys()
    assert all(any(recipient in question for recipient in postfix.refused) for question in of_refused), of_refused


@pytest.mark.parametrize("name", [name for name in EVERY if name not in (*named("mbox line"), *named("marks"))])
def test_the_same_is_delivered(played: dict[str, tuple[Played, Played]], name: str) -> None:
    postfix, exim = played[name]
    assert delivered(exim) == delivered(postfix)
    if name not in named("bytes"):
        assert bodies(exim) == bodies(postfix)


@pytest.mark.parametrize("name", named("marks"))
def test_exim_marks_for_one_what_postfix_can_mark_for_all_only(
    played: dict[str, tuple[Played, Played]], name: str
) -> None:
    postfix, exim = played[name]
    assert not any(copy.marked for copy in postfix.copies)
    assert exim.message is not None
    marking = {one["address"].lower() for one in exim.message.recipients if one["action"] == "mark"}
    assert {copy.recipient for copy in exim.copies if copy.folder == "Junk"} == marking
    assert marking


@pytest.mark.parametrize("name", named("mbox line"))
def test_exim_takes_a_first_line_of_an_mbox_for_the_body(played: dict[str, tuple[Played, Played]], name: str) -> None:
    postfix, exim = played[name]
    assert postfix.message is not None
    assert exim.message is not None
    assert postfix.message.fields
    assert not exim.message.fields
    assert replies(exim.sent) == replies(postfix.sent)


@pytest.mark.parametrize("domain", ["stamped.test", "marked-unscanned.test", "waits.test"])
@pytest.mark.parametrize("fault", [Fault("refuse"), Fault("say", text=b"\0nonsense\r\n")], ids=lambda fault: fault.kind)
def test_scanners_that_fail_mean_the_same(lab: Lab, exim: Exim, fault: Fault, domain: str) -> None:
    """Both MTAs ask at once: a message is put off for the first seconds of an outage only."""
    with lab.scanners.failing(lab.service, fault, fault), ThreadPoolExecutor() as together:
        sent = list(together.map(lambda send: send(mail(b"tea"), f"bob@{domain}"), (lab.send, exim.send)))
    copies = lab.deliveries()
    postfix, other = (Played(one, copies=[copy for copy in copies if copy.queue_id == one.queue_id]) for one in sent)
    assert replies(other.sent) == replies(postfix.sent)
    assert delivered(other) == delivered(postfix)
    assert postfix.copies or postfix.sent.put_off


def test_there_are_sixty_dialogues_and_every_action_is_among_them(played: dict[str, tuple[Played, Played]]) -> None:
    assert len(DIALOGUES) >= 60
    told = [one for postfix, _ in played.values() for one in (*judged(postfix)["taken"], *judged(postfix)["refused"])]
    assert {one["action"] for one in told} == {"accept", "mark", "quarantine", "defer", "reject"}


def test_whoever_counts_finds_what_only_one_mta_shows(played: dict[str, tuple[Played, Played]]) -> None:
    """The list in docs/exim.md is all: a difference that is gone is taken off it."""
    (passed,) = (played[name] for name in named("kept") if "greylisting" in name)
    shown = [
        [found["name"] for one in side.message.recipients for found in one["findings"]]
        for side in passed
        if side.message
    ]
    assert [_KEPT in names for names in shown] == [True, False]
