"""What holds after every test with Exim: I1 to I8 of `invariants`, as they are where each recipient is asked alone.

Each RCPT is a verdict of its own, which ends with "policy"; the message is another one, which has Exim's id.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from e2e_lab.configuration import MAY_REFUSE_AFTER_DATA
from e2e_lab.exim import Exim
from e2e_lab.invariants import domain_of, i5_alive, i6_reason, i7_in_time
from e2e_lab.lab import Lab
from e2e_lab.processes import wait_until
from e2e_lab.smtp import Sent
from e2e_lab.store import Delivery, take_apart, without_ours

Event = dict[str, Any]
_MARK = b"X-Spam-Flag: YES\n"
_RESULTS = b"authentication-results:"


def assert_exim_invariants(lab: Lab, exim: Exim, sent: Sequence[Sent]) -> None:
    """Hold everything that has happened since `lab.begin` against I1 to I8. `sent` are all transactions since then."""
    copies = lab.deliveries()
    events = _events(lab, sent)
    _i1_once(lab, exim, sent, copies)
    for one in sent:
        _i2_refused_by_policy(one, events)
        if one.queue_id:
            event = events[one.queue_id]
            _i8_own_state(one, event)
            for copy in copies:
                if copy.queue_id == one.queue_id:
                    _i3_i4_bytes(one, event, copy)
    for event in lab.verdicts():
        i6_reason(event)
        i7_in_time(event)
    _i6_no_more(lab, sent)
    i5_alive(lab)


def _events(lab: Lab, sent: Sequence[Sent]) -> dict[str, Event]:
    """Return the verdict events by their ids, those of messages by Exim's id as well; all that answers have told of."""
    certain = {key for one in sent for key in (one.queue_id, *one.verdict_ids) if key}
    wait_until(lambda: certain <= _by_key(lab).keys(), f"a verdict event for each of {certain}")
    return _by_key(lab)


def _by_key(lab: Lab) -> dict[str, Event]:
    return {event[key]: event for event in lab.verdicts() for key in ("id", "queue_id") if event[key]}


def _i1_once(lab: Lab, exim: Exim, sent: Sequence[Sent], copies: Sequence[Delivery]) -> None:
    frozen = exim.held()
    taken = [one for one in sent if one.queue_id and one.queue_id not in frozen]
    expected = Counter((one.queue_id, recipient.lower()) for one in taken for recipient in one.taken)
    queue_ids = {event["id"]: event["queue_id"] for event in lab.verdicts()}
    answered = {one.queue_id for one in sent}
    rows = [row for row in lab.held() if queue_ids.get(row["id"]) in answered]
    held = Counter((queue_ids[row["id"]], row["recipient"].lower()) for row in rows)
    assert Counter((copy.queue_id, copy.recipient) for copy in copies) + held == expected


def _i2_refused_by_policy(one: Sent, events: dict[str, Event]) -> None:
    for recipient, reply in one.recipients.items():
        if reply.code >= 500:
            (told,) = reply.verdict_ids
            (only,) = events[told]["recipients"]
            assert (only["address"], only["action"], events[told]["ended"]) == (recipient, "reject", "policy")
            assert events[told]["findings"]
    refused = {recipient for recipient, reply in one.after_data.items() if reply.code >= 500}
    if one.final and one.final.code >= 500:
        refused |= set(one.accepted)
    assert {domain_of(recipient) for recipient in refused} <= MAY_REFUSE_AFTER_DATA


def _i3_i4_bytes(one: Sent, event: Event, copy: Delivery) -> None:
    """Results of others come back on top of Exim's Received: remove_header takes all fields of a name."""
    as_sent = one.stored_as if one.stored_as is not None else one.message.removesuffix(b"\n") + b"\n"
    if not event["exempt"]:
        as_sent = without_ours(as_sent)
    stored = copy.message
    (told,) = (told for told in event["recipients"] if told["address"].lower() == copy.recipient)
    if told["action"] == "mark" and not copy.marked:  # it has the mark of its recipient alone, below all other fields
        stored = copy.message.replace(_MARK + b"\n", b"\n", 1)
    assert _without_results(stored) == _without_results(as_sent)
    foreign = [field for field in take_apart(as_sent).fields if field.lower().startswith(_RESULTS)]
    assert sum(field in copy.added or field in take_apart(stored).fields for field in foreign) >= len(foreign) - 1
    assert max(Counter(field.partition(b":")[0].lower() for field in copy.ours).values(), default=1) == 1
    (trace,) = copy.values("X-Earmark")
    assert f"id={event['id']};" in trace


def _without_results(message: bytes) -> bytes:
    fields, body = take_apart(message)
    return b"".join(field for field in fields if not field.lower().startswith(_RESULTS)) + body


def _i6_no_more(lab: Lab, sent: Sequence[Sent]) -> None:
    """Nothing is judged that was not asked: what was put off may have been judged and not been told."""
    events = lab.verdicts()
    for key in ("id", "queue_id"):
        assert max(Counter(event[key] for event in events if event[key]).values(), default=1) == 1
    asked = Counter(recipient for one in sent for recipient in one.recipients)
    assert not Counter(_only(event) for event in events if event["ended"] == "policy") - asked
    messages = sum(event["ended"] == "eom" for event in events)
    assert sum(bool(one.queue_id) for one in sent) <= messages <= sum(bool(one.accepted) for one in sent)


def _only(event: Event) -> str:
    (told,) = event["recipients"]
    address: str = told["address"]
    return address


def _i8_own_state(one: Sent, event: Event) -> None:
    assert (event["client"], event["sender"], event["user"]) == (one.peer.address, one.sender, one.peer.login), event
    assert [told["address"] for told in event["recipients"]] == one.accepted, event
