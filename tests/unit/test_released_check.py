"""The field of a release: believed of our own sessions only, in one form, and when the store knows its token."""

import pytest

from earmark.core.checks.content import ContentKnobs
from earmark.core.checks.released import examine, release_field, wants
from earmark.core.evidence import Fact, Question, Release, Status
from earmark.core.mail import Client, Envelope, Header, Message, Transaction, parse_path
from earmark.core.policy import PolicySet
from earmark.core.recipients import judge_all
from earmark.core.record import Judged, make_record
from earmark.core.rederive import differences, rederive
from earmark.wire.message import split_header
from fakes.policies import SITE, policy

TOKEN = "0123456789abcdef" * 2
QUESTION = Release("0123456789AB", TOKEN)
KNOBS = ContentKnobs()


def transaction(*values: bytes, exempt: str = "own network", relay: str = "") -> Transaction:
    headers = [Header(b"X-Earmark-Release", value) for value in values]
    return Transaction(Envelope(Client("127.0.0.1"), SITE, exempt=exempt, relay=relay), Message(headers))


def test_what_the_command_writes_is_read() -> None:
    fields, _ = split_header(release_field("0123456789AB", TOKEN))
    ((name, value),) = fields
    assert name == b"X-Earmark-Release"
    assert list(wants(transaction(value), {}, KNOBS)) == [QUESTION]


@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"",),
        (b" 0123456789AB",),
        (b" 0123456789ab " + TOKEN.encode(),),
        (b" 0123456789AB " + TOKEN.upper().encode(),),
        (b" 0123456789AB " + TOKEN.encode() + b"0",),
        (b" 0123456789AB  " + TOKEN.encode(),),
        (b" 0123456789AB " + TOKEN.encode() + b"\n x",),
        (b" 0123456789AB " + TOKEN.encode(),) * 2,
        (b" " * 60_000 + b"0123456789AB",),
    ],
)
def test_anything_else_asks_nothing(values: tuple[bytes, ...]) -> None:
    assert not list(wants(transaction(*values), {}, KNOBS))


@pytest.mark.parametrize(("exempt", "relay"), [("", ""), ("", "own relay")])
def test_a_stranger_proves_nothing(exempt: str, relay: str) -> None:
    txn = transaction(f" 0123456789AB {TOKEN}".encode(), exempt=exempt, relay=relay)
    assert not list(wants(txn, {}, KNOBS))
    assert not list(examine(txn, {QUESTION: Fact(Status.PASS)}, KNOBS))


@pytest.mark.parametrize("status", [Status.NONE, Status.TEMPERROR])
def test_without_the_stores_word_nothing_is_released(status: Status) -> None:
    txn = transaction(f" 0123456789AB {TOKEN}".encode())
    assert not list(examine(txn, {QUESTION: Fact(status)}, KNOBS))
    (found,) = examine(txn, {QUESTION: Fact(Status.PASS)}, KNOBS)
    assert (found.name, found.opt_in, found.score) == ("RELEASED", "released", 0)


def test_the_record_keeps_what_the_verdict_is_derived_from() -> None:
    txn = transaction(f" 0123456789AB {TOKEN}".encode())
    facts: dict[Question, Fact] = {QUESTION: Fact(Status.PASS)}
    policies = PolicySet(policy(), {}, SITE)
    recipients, verdict = judge_all(
        txn, facts, policies, [parse_path(b"<bob@example.org>")], "00000000000A", ended="eom"
    )
    stored = make_record(Judged("00000000000A", txn, facts, recipients, verdict, "", "eom", "", 0.0))
    assert [found["name"] for found in stored.recipients[0]["findings"]] == ["RELEASED"]
    assert list(differences(stored, rederive(stored, policies))) == []
