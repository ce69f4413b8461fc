"""Judged transactions as literals, for the history, the log and explain."""

from dataclasses import replace

from earmark.core.evidence import Fact, Finding, Listing, Origin, Points, Question, ReverseName, Status
from earmark.core.mail import Client, Envelope, Header, Message, Site, Transaction, parse_path
from earmark.core.recipients import Recipient
from earmark.core.record import Judged, Record, make_record
from earmark.core.verdict import Action, InsertHeader, Outcome, Reply, Verdict
from fakes.policies import policy

CLIENT = "192.0.2.7"
LISTED = Listing("zen.example", CLIENT)
FINDING = Finding(
    "ZEN_XBL", Origin.CONNECTION, Points(800), f"{CLIENT} is listed by zen.example", "zones.ZEN_XBL", LISTED
)
REFUSED = Outcome(Action.REJECT, 800, 800, (FINDING,), (), Action.REJECT, Reply(550, "5.7.1", "Refused: listed"))
MARKED = Outcome(Action.MARK, 0, 500, (FINDING._replace(origin=Origin.HEADER, score=Points(500)),), (), Action.MARK)


def judged(
    verdict_id: str = "0123456789AB",
    *,
    helo: str = "mail.example.net",
    queue_id: str = "4XyzQ",
    at: float = 1_700_000_000.0,
    headers: tuple[Header, ...] = (Header(b"Message-ID", b" <m1@example.net>"),),
    outcomes: tuple[Outcome, ...] = (MARKED,),
) -> Judged:
    envelope = Envelope(Client(CLIENT), Site(), helo, parse_path(b"<a@example.net>"), at)
    facts: dict[Question, Fact] = {
        LISTED: Fact(Status.FAIL, ("127.0.0.4",), 60, at - 5, "127.0.0.1:53"),
        ReverseName(CLIENT): Fact(Status.TEMPERROR, at=at, why="timeout"),
    }
    recipients = tuple(
        Recipient(parse_path(b"<u%d@example.org>" % number), policy("example.org"), outcome)
        for number, outcome in enumerate(outcomes)
    )
    verdict = Verdict(Action.MARK, (MARKED,), (InsertHeader("X-Spam-Flag", "YES"),))
    txn = Transaction(envelope, Message(headers))
    return Judged(verdict_id, txn, facts, recipients, verdict, queue_id, "eom", "f00d" * 16, 0.0125)


def record(verdict_id: str = "0123456789AB", **changes: object) -> Record:
    made = make_record(judged())
    return replace(made, id=verdict_id, **changes)  # type: ignore[arg-type]
