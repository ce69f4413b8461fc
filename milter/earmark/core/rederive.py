"""Judging again from a Record: the same engine number, generation and record give the same outcomes (promise 4)."""

from collections.abc import Iterator

from earmark.core.evidence import Facts, Stage, question_from_parts
from earmark.core.judge import ENGINE, combine, decide, examine
from earmark.core.mail import Client, Envelope, Header, Hop, Message, Site, Transaction
from earmark.core.phrase import reply_for
from earmark.core.policy import Policy, PolicySet
from earmark.core.received import read_chain
from earmark.core.record import SCHEMA, Judged, Record, make_record
from earmark.core.verdict import Action, Outcome


def rederive(record: Record, policies: PolicySet) -> Judged:
    """Return what these policies say of the stored transaction. Raises ValueError for a record that holds no question.

    The edits are not made again: they depend on header fields that no check consults and no record keeps.
    """
    txn = _transaction(record, policies.site)
    facts = {question_from_parts(parts): fact for parts, fact in record.facts}
    chosen = [policies.find(address) for address in record.forward_paths]
    outcomes = {policy: _outcome(record, txn, facts, policy) for policy in dict.fromkeys(chosen)}
    taken = [outcome for outcome in outcomes.values() if record.ended == "eom" and outcome.reply is None]
    return Judged(
        record.id,
        txn,
        facts,
        tuple((path, policy, outcomes[policy]) for path, policy in zip(record.forward_paths, chosen, strict=True)),
        combine(taken),
        record.user,
        record.queue_id,
        record.ended,
        record.generation,
        record.elapsed_ms / 1000,
    )


def _transaction(record: Record, site: Site) -> Transaction:
    client = Client(record.client)
    envelope = Envelope(client, site, record.helo, record.sender, record.at, record.exempt, record.relay)
    hops = () if record.exempt else received_chain(record, site)
    return Transaction(envelope, Message(_headers(record), hops, record.truncated))


def received_chain(record: Record, site: Site) -> tuple[Hop, ...]:
    """Return the Received chain as far as the record holds it, newest first."""
    return read_chain(_headers(record), site, record.client)


def _headers(record: Record) -> tuple[Header, ...]:
    return tuple(Header(b"Received", value.encode("latin-1")) for value in record.received)


def _outcome(record: Record, txn: Transaction, facts: Facts, policy: Policy) -> Outcome:
    """Return the policy's outcome at RCPT and, where the message was judged, at its end, as `engine.Session` does."""
    early = decide(Stage.RCPT, txn, facts, examine(Stage.RCPT, txn, facts, policy), policy)
    early = early._replace(reply=reply_for(early, txn.envelope, policy, record.id))
    if record.ended != "eom" or early.action is not Action.ACCEPT:
        return early
    return decide(Stage.EOM, txn, facts, examine(Stage.EOM, txn, facts, policy), policy, early=early)


def obstacles(record: Record) -> Iterator[str]:
    """Yield why judging this record again may rightly come out otherwise; nothing where it must come out the same."""
    if record.v > SCHEMA:
        yield f"a newer earmark wrote the record (version {record.v}, this one knows {SCHEMA})"
    if record.engine != ENGINE:
        yield f"engine {record.engine} judged, this is engine {ENGINE}"
    if record.cut and record.ended == "eom":
        yield "the record does not hold all Received fields"


def differences(record: Record, again: Judged) -> Iterator[str]:
    """Yield, for each recipient, what came out otherwise."""
    for stored, derived in zip(record.recipients, make_record(again).recipients, strict=True):
        for key in derived:
            if stored.get(key) != derived[key]:
                yield f"{stored['address']}: {key} was {stored.get(key)}, now {derived[key]}"
