"""The golden cases through both doors: a message means the same, whether it comes by milter or from Exim.

What the policy door has decided, the content door does not decide again; so it is given the recipients whom the milter
has taken at RCPT.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from earmark.core.held import Held
from earmark.core.record import Judged
from earmark.core.report import recipient_report
from earmark.core.verdict import Action, AddRecipient, RemoveRecipient
from earmark.fronts.exim_session import EximSession
from earmark.fronts.milter_dialogue import Shared
from earmark.fronts.milter_session import MilterSession
from earmark.wire.message import body_lines, split_header
from earmark.wire.milter import CONTINUE, Command, Connect, Packet, packet
from earmark.wire.milter_mta import connect, helo, macros, mail, rcpt
from fakes.exim_front import asked, read_as_exim_does
from fakes.golden import CASES, World, engine_of, read
from fakes.milter_front import EventList
from fakes.milter_targets import NEGOTIATED

HOST = b"mx.example.org"
COUNTED = ("greylist ", "rate ")
"""Questions that the content door does not ask again: what they said can only have been said at RCPT."""
_HEAD = 5
"""Bytes of a packet before its payload."""


BOTH = ["<bob@strict.example>", "<eve@mild.example>"]
VIRUS = {"virus 0123456789AB 25000000": "fail Eicar-Signature"}
SHAPES: dict[str, dict[str, Any]] = {
    "no header": {"message": "\nno header\n"},
    "nothing at all": {"message": ""},
    "a header without a body": {"message": "Subject: Hello\n\n"},
    "a line that is no field": {"message": "Subject: Hello\nno colon\nX: y\n\nbody\n"},
    "8-bit": {"message": "Subject: B\xe4h \u20ac\nX-\xfcber: x\n\nb\xf6dy\n"},
    "a huge header": {"message": "".join(f"X-{n}: {'y' * 900}\n" for n in range(999)) + "X-Spam-Flag: YES\n\nbody\n"},
    "a field of 100 KB": {"message": "X: " + "y\n\ty" * 25_000 + "\nSubject: x\n\nbody\n"},
    "empty lines and dots": {"message": "Subject: x\n\n\n\n.\n..\n\n\n"},
    "the mbox line of another": {"message": "Subject: x\n\nFrom me\n>From you\n"},
    "the envelope's fields forged": {"message": "X-Envelope-To: x\nX-Envelope-From: <y>\nX-Earmark-Prdr: yes\n\n"},
    "a Received forged": {
        "message": "Received: from x ([203.0.113.9])\n\tby mx.example.org with esmtpsa (Exim)\n\tid QUEUEIE; now\n\n"
    },
    "the null sender over IPv6": {"client": "2001:db8::7", "from": "<>"},
    "an own network": {"client": "127.0.0.1"},
    "quoted local parts": {"to": ['<"bob b"@strict.example>', "<Eve@Mild.Example>"]},
    "a virus for two policies": {
        "to": BOTH,
        "facts": VIRUS,
        "files": {
            "policies/server.toml": 'schema = 1\n[clamd]\nendpoints = ["unix:/run/clamd"]\n',
            "policies/domains/m.toml": 'domains = ["mild.example"]\n[content]\nvirus = "mark"\n',
            "policies/domains/s.toml": 'domains = ["strict.example"]\n[content]\nvirus = "quarantine"\n',
        },
    },
    "a virus for the junk detail of one": {
        "to": BOTH,
        "facts": VIRUS,
        "files": {
            "policies/server.toml": 'schema = 1\n[clamd]\nendpoints = ["unix:/run/clamd"]\n',
            "policies/domains/m.toml": (
                'domains = ["mild.example"]\n[content]\nvirus = "mark"\nmixed_marks = "detail"\n'
            ),
            "policies/domains/s.toml": 'domains = ["strict.example"]\n[content]\nclamav = "off"\n',
        },
    },
    "a virus refused by one and marked by the other": {
        "to": BOTH,
        "facts": VIRUS,
        "files": {
            "policies/server.toml": 'schema = 1\n[clamd]\nendpoints = ["unix:/run/clamd"]\n',
            "policies/domains/m.toml": 'domains = ["mild.example"]\n[content]\nvirus = "mark"\n',
            "policies/domains/s.toml": 'domains = ["strict.example"]\n[content]\nvirus = "reject"\n',
        },
    },
}
"""What the golden cases do not have: odd messages, odd envelopes."""


class Case(NamedTuple):
    """A golden case as bytes."""

    client: bytes
    helo: bytes | None
    sender: bytes
    recipients: list[bytes]
    user: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes


class Came(NamedTuple):
    """What came of it."""

    judged: Judged
    kept: list[tuple[Held, bytes]]
    taken: list[bytes]
    """The recipients that were not refused or deferred at RCPT."""


def case_of(told: dict[str, Any]) -> Case:
    raw = told.get("message", "Subject: Hello\n\n").encode()
    fields, offset = split_header(raw)
    return Case(
        told["client"].encode(),
        told["helo"].encode() if "helo" in told else None,
        told.get("from", "<a@example.net>").encode(),
        [path.encode() for path in told.get("to", ["<bob@example.org>"])],
        told.get("user", "").encode(),
        fields,
        body_lines(raw[offset:]),
    )


def counts_or_comes_late(told: dict[str, Any]) -> bool:
    """Return whether a case is about what the policy door alone decides, or about an answer that misses it."""
    facts = told.get("facts", {})
    late = any("late" in (fact.split()[:1] if isinstance(fact, str) else fact[:1]) for fact in facts.values())
    return late or any(question.startswith(COUNTED) for question in facts)


def packets_of(case: Case) -> Iterator[bytes]:
    """Yield what an MTA says, the RCPT commands each alone."""
    family = "6" if b":" in case.client else "4"
    yield NEGOTIATED + macros(Command.CONNECT, {b"j": HOST}) + connect(Connect(b"unknown", family, 0, case.client))
    if case.helo is not None:
        yield helo(case.helo)
    yield macros(Command.MAIL, {b"auth_authen": case.user} if case.user else {}) + mail(case.sender)
    yield from (rcpt(recipient) for recipient in case.recipients)
    header = (packet(Command.HEADER, name + b"\0" + value + b"\0") for name, value in case.fields)
    yield b"".join([macros(Command.DATA, {b"i": b"QUEUEID"}), packet(Command.DATA), *header, packet(Command.EOH)])
    if case.body:
        yield packet(Command.BODY, case.body)
    yield packet(Command.EOM)


def split(raw: bytes) -> Iterator[Packet]:
    while raw:
        end = 4 + int.from_bytes(raw[:4], "big")
        yield raw[4], raw[_HEAD:end]
        raw = raw[end:]


async def until(condition: Callable[[], bool], resumed: asyncio.Event) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await resumed.wait()
            resumed.clear()


async def by_milter(told: dict[str, Any], at: float) -> Came:
    """Return what comes of a case by milter."""
    world, judged, events, resumed = World(told), list[Judged](), EventList(), asyncio.Event()
    case, taken = case_of(told), list[bytes]()
    session = MilterSession(Shared(engine_of(told, world, judged.append, at), events), resumed.set)
    left = iter(case.recipients)
    for said in packets_of(case):
        session.out.clear()
        session.take(split(said))
        await until(lambda: not session.waiting, resumed)
        if said[4] == Command.RCPT:
            recipient = next(left)
            taken += [recipient] if session.out == [CONTINUE] else []
            if not taken and recipient is case.recipients[-1]:
                break
    session.close()
    assert not events.lines
    return Came(judged[0], world.kept, taken)


async def by_exim(told: dict[str, Any], at: float, recipients: list[bytes]) -> tuple[Came, bytes]:
    """Return what comes of a case through the content door, for these recipients, and the answer."""
    world, judged, events, resumed = World(told), list[Judged](), EventList(), asyncio.Event()
    case = case_of(told)
    session = EximSession(engine_of(told, world, judged.append, at), events, resumed.set)
    session.take(
        asked(
            case.fields,
            case.body,
            sender=case.sender[1:-1],
            recipients=tuple(recipient[1:-1] for recipient in recipients),
            queue_id=b"QUEUEID",
            helo=case.helo or b"",
            hostname=b"",
            address=case.client,
            user=case.user,
            stamp=(
                b" from [192.0.2.7] (helo=x)\n\tby mx.example.org with esmtp (Exim 4.96)\n\tid QUEUEID;\n\t"
                b"Thu, 01 Jan 1970 00:00:00 +0000"
            ),
        )
    )
    await until(lambda: session.ended, resumed)
    assert not events.lines
    return Came(judged[0], world.kept, recipients), session.answer


def reports(came: Came) -> list[dict[str, Any]]:
    """Return what became of the recipients who were taken at RCPT."""
    taken = {recipient[1:-1].decode() for recipient in came.taken}
    return [
        recipient_report(address.text, outcome, policy)
        for address, policy, outcome in came.judged.recipients
        if address.text in taken
    ]


def usual(differs: dict[str, Any]) -> dict[str, Any]:
    return {"client": "192.0.2.10", "helo": "mail.example.net", **differs}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_message_of_any_shape_means_the_same_by_milter_and_from_exim(shape: str) -> None:
    came = await means_the_same(usual(SHAPES[shape]))
    assert ("virus" in shape) == any(
        isinstance(edit, AddRecipient | RemoveRecipient) for edit in came.judged.verdict.edits
    )


@pytest.mark.parametrize(
    "path", [path for path in CASES if not counts_or_comes_late(read(path))], ids=lambda path: path.stem
)
async def test_a_golden_message_means_the_same_by_milter_and_from_exim(path: Path) -> None:
    await means_the_same(read(path))


async def means_the_same(told: dict[str, Any]) -> Came:
    """Assert it, and return what comes of it."""
    at = time.time()
    milter = await by_milter(told, at)
    if not milter.taken:
        return milter
    exim, answer = await by_exim(told, at, milter.taken)
    assert reports(exim) == reports(milter)
    assert exim.judged.verdict == milter.judged.verdict
    assert exim.kept == milter.kept
    message, other = exim.judged.txn.message, milter.judged.txn.message
    assert [tuple(field) for field in message.headers] == [tuple(field) for field in other.headers]
    assert list(message.hops) == list(other.hops)
    envelope, seen = exim.judged.txn.envelope, milter.judged.txn.envelope
    seen.recipient = envelope.recipient  # the last one that each was asked about
    assert envelope == seen
    report = read_as_exim_does(answer)
    assert report.spam == (milter.judged.verdict.action >= Action.MARK)
    assert report.value("reply") == str(milter.judged.verdict.reply or "")
    return exim


def test_most_cases_come_through_both_doors() -> None:
    through = [path for path in CASES if not counts_or_comes_late(read(path))]
    assert len(through) >= 100
