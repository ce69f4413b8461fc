"""A stored record, judged again: what agrees, what cannot, and what differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from earmark.core.checks.client import ClientKnobs
from earmark.core.evidence import HostAddress, ReverseName, Stage
from earmark.core.judge import ENGINE, plan
from earmark.core.mail import Client, Envelope, Header, Message, Site, Transaction, parse_path
from earmark.core.policy import PolicySet
from earmark.core.record import HEADERS_AT_MOST, SCHEMA, Record, make_record
from earmark.core.rederive import differences, obstacles, received_chain, rederive
from earmark.log import verdict_fields
from earmark.serial import decode, encode
from fakes.policies import SITE, policy
from fakes.records import judged, record

SAMPLES = Path(__file__).parent / "samples"


def test_the_reason_why_it_need_not_agree_is_said() -> None:
    assert list(obstacles(record())) == []
    assert list(obstacles(record(engine=ENGINE + 1))) == [f"engine {ENGINE + 1} judged, this is engine {ENGINE}"]
    assert list(obstacles(record(cut=True))) == ["the record does not hold all header fields that were consulted"]
    assert list(obstacles(record(cut=True, ended="abort"))) == []
    assert "newer earmark" in next(obstacles(record(v=SCHEMA + 1)))


def test_other_policies_come_out_otherwise_and_say_for_whom() -> None:
    stored = record()
    again = rederive(stored, PolicySet(policy(), {}, Site()))
    told = list(differences(stored, again))
    assert "u0@example.org: policy was example.org, now default" in told
    assert "u0@example.org: refuse_score was 0.0, now 8.0" in told


def test_findings_that_differ_are_told_by_name_and_a_field_of_later_versions_is_no_difference() -> None:
    again = judged()
    (recipient,) = make_record(again).recipients
    findings = recipient["findings"]
    stored = replace(record(), recipients=[{**recipient, "findings": []}])
    told = list(differences(stored, again))
    assert told == ["u0@example.org: findings were none; now +5.00 ZEN_XBL"]
    older = [{key: value for key, value in found.items() if key != "defer_at"} for found in findings]
    assert list(differences(replace(record(), recipients=[{**recipient, "findings": older}]), again)) == []
    other = [{**found, "set_by": "elsewhere.toml:1"} for found in findings]
    told = list(differences(replace(record(), recipients=[{**recipient, "findings": other}]), again))
    assert told == [f"u0@example.org: set_by of ZEN_XBL was elsewhere.toml:1, now {findings[0]['set_by']}"]


def test_received_values_survive_byte_for_byte_up_to_the_limit() -> None:
    values = [bytes(range(256)), b" from x\n\tby y", b"z" * (HEADERS_AT_MOST - 270)]
    kept = make_record(judged(headers=tuple(Header(b"received ", value) for value in values)))
    assert [value.encode("latin-1") for value in decode(encode(kept), Record).received] == values[:2] + values[2:][:1]
    assert not kept.cut
    over = make_record(judged(headers=tuple(Header(b"Received", value) for value in [*values, b"more"])))
    assert len(over.received) == 3
    assert over.cut


def test_a_message_id_is_kept_printable_and_short() -> None:
    kept = make_record(judged(headers=(Header(b"MESSAGE-ID", b" <a\x1b[31m" + b"x" * 5000 + b">"),)))
    assert kept.message_id.isprintable()
    assert len(kept.message_id) <= 250


def test_a_record_shares_nothing_that_the_session_goes_on_to_change() -> None:
    before = judged()
    facts = dict(before.facts)
    kept = make_record(replace(before, facts=facts))
    facts.clear()
    before.txn.envelope.helo = "later.example"
    assert len(kept.facts) == 2
    assert kept.helo == "mail.example.net"


def test_a_question_that_no_program_knows_is_an_error_and_not_a_crash() -> None:
    with pytest.raises(ValueError, match="not a question"):
        rederive(record(facts=[(("x", "unheard-of"), judged().facts.popitem()[1])]), PolicySet(policy(), {}, Site()))  # type: ignore[attr-defined]


def test_a_policy_asks_for_every_answer_that_it_reads() -> None:
    """Otherwise what another domain's policy asks would decide, and so would the time of the answer."""
    alone = policy(client=ClientKnobs())
    envelope = Envelope(Client("192.0.2.7"), SITE, "mail.example.net", parse_path(b"<a@example.net>"))
    asked = plan(Stage.RCPT, Transaction(envelope, Message()), {}, alone.asking)
    assert HostAddress("mail.example.net") in asked
    assert ReverseName("192.0.2.7") in asked


def test_todays_program_reads_a_record_and_an_event_of_version_1() -> None:
    stored = decode((SAMPLES / "record-v1.json").read_bytes(), Record)
    assert (stored.v, stored.id, stored.sender.domain) == (1, "0123456789AB", "example.net")
    assert [hop.address for hop in received_chain(stored, Site())] == ["198.51.100.9"]
    again = rederive(stored, PolicySet(policy(), {}, Site()))
    assert len(again.recipients) == 2
    event = decode((SAMPLES / "verdict-event-v1.json").read_bytes(), dict[str, object])
    assert event["v"] == 1
    assert {key: event[key] for key in verdict_fields(stored)} == verdict_fields(stored)
