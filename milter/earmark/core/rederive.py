"""Judging again from a Record: the same engine number, generation and record give the same outcomes (promise 4)."""

from collections.abc import Iterator
from typing import Any

from earmark.core.evidence import question_from_parts
from earmark.core.judge import ENGINE
from earmark.core.mail import Client, Envelope, Header, Hop, Message, Site, Transaction
from earmark.core.policy import PolicySet
from earmark.core.received import read_chain
from earmark.core.recipients import Means, judge_all, put_off
from earmark.core.record import SCHEMA, Judged, Record, make_record


def rederive(record: Record, policies: PolicySet) -> Judged:
    """Return what these policies say of the stored transaction. Raises ValueError for a record that holds no question.

    The edits are not made again: they depend on header fields that no check consults and no record keeps.
    """
    txn = _transaction(record, policies.site)
    facts = {question_from_parts(parts): fact for parts, fact in record.facts}
    means = Means(record.may_readdress, record.may_hold, record.may_answer_each, record.may_keep)
    recipients, verdict = judge_all(
        txn, facts, policies, record.forward_paths, record.id,
        ended=record.ended, means=means, before=record.taken, others=record.others,
    )  # fmt: skip
    if record.not_kept:
        recipients, verdict = put_off(recipients, record.id)
    return Judged(
        record.id,
        txn,
        facts,
        recipients,
        verdict,
        record.queue_id,
        record.ended,
        record.generation,
        record.elapsed_ms / 1000,
        means,
        record.not_kept,
        record.taken,
        tuple(record.others),
    )


def _transaction(record: Record, site: Site) -> Transaction:
    envelope = Envelope(
        Client(record.client),
        site,
        record.helo,
        record.sender,
        record.at,
        record.exempt,
        record.relay,
        record.user,
        site.authserv_id,
        id=record.id,
    )
    hops = () if record.exempt else received_chain(record, site)
    return Transaction(envelope, Message(_headers(record), hops, record.truncated, record.id))


def received_chain(record: Record, site: Site) -> tuple[Hop, ...]:
    """Return the Received chain as far as the record holds it, newest first."""
    return read_chain(_headers(record), site, record.client)


def _headers(record: Record) -> tuple[Header, ...]:
    received = (("received", value) for value in record.received)
    return tuple(Header(name.encode(), value.encode("latin-1")) for name, value in (*received, *record.fields))


def obstacles(record: Record) -> Iterator[str]:
    """Yield why judging this record again may rightly come out otherwise; nothing where it must come out the same."""
    if record.v > SCHEMA:
        yield f"a newer earmark wrote the record (version {record.v}, this one knows {SCHEMA})"
    if record.engine != ENGINE:
        yield f"engine {record.engine} judged, this is engine {ENGINE}"
    if record.cut and record.ended == "eom":
        yield "the record does not hold all header fields that were consulted"


def differences(record: Record, again: Judged) -> Iterator[str]:
    """Yield, for each recipient, what came out otherwise."""
    for stored, derived in zip(record.recipients, make_record(again).recipients, strict=True):
        for key in derived:
            if key == "findings":
                yield from (f"{stored['address']}: {what}" for what in _findings_differ(stored[key], derived[key]))
            elif stored.get(key) != derived[key]:
                yield f"{stored['address']}: {key} was {stored.get(key)}, now {derived[key]}"


def _findings_differ(stored: list[dict[str, Any]], derived: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how findings differ. A field that an older earmark did not write is none."""
    was, now = _names(stored), _names(derived)
    if was != now:
        yield f"findings were {was}; now {now}"
        return
    for old, new in zip(stored, derived, strict=True):
        for key in old:
            if old[key] != new.get(key):
                yield f"{key} of {old['name']} was {old[key]}, now {new.get(key)}"


def _names(findings: list[dict[str, Any]]) -> str:
    return ", ".join(f"{found['score']:+.2f} {found['name']}" for found in findings) or "none"
