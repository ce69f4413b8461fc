"""What holds after every end-to-end test, whatever it did.

I1 a mail answered 250 is in the store exactly once, or held; no other is;
I2 no 5xx but by a policy's finding;
I3 body and foreign fields are there byte for byte;
I4 forged fields of our names are gone;
I5 the processes live, memory and descriptors are back;
I6 one verdict event for each transaction, with its reason;
I7 no callback took longer than its budget;
I8 no state of one session is in another.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from e2e_lab.configuration import BUDGET
from e2e_lab.lab import Lab
from e2e_lab.processes import wait_until
from e2e_lab.smtp import Sent
from e2e_lab.store import Delivery, without_ours

Event = dict[str, Any]

_SLACK = 1.0
"""Seconds by which a busy machine may overrun a budget."""
_SPARE_DESCRIPTORS = 16
"""Those that come and go by themselves: rotated DNS sockets, the history's files."""


def assert_invariants(lab: Lab, sent: Sequence[Sent]) -> None:
    """Hold everything that has happened since `lab.begin` against I1 to I8. `sent` are all transactions since then."""
    copies = lab.deliveries()
    by_sent = [(one, _event_of(lab, one)) for one in sent]
    _i1_once(lab, sent, copies)
    for one, event in by_sent:
        _i2_refused_by_policy(one, event)
        for copy in copies:
            if copy.queue_id == one.queue_id:
                _i3_i4_bytes(one, event, copy)
        if event:
            _i6_reason(event)
            _i7_in_time(event)
            _i8_own_state(one, event)
    _i6_no_more(lab, by_sent)
    _i5_alive(lab)


def _event_of(lab: Lab, one: Sent) -> Event:
    """Return the verdict event of a transaction; {} where earmark may never have got as far as a verdict."""
    if not one.queue_id and not one.verdict_ids:
        return {}
    wait_until(lambda: _matching(lab, one), f"a verdict event for {one}")
    (event,) = _matching(lab, one)
    return event


def _matching(lab: Lab, one: Sent) -> list[Event]:
    if one.queue_id:
        return [event for event in lab.verdicts() if event["queue_id"] == one.queue_id]
    return [event for event in lab.verdicts() if event["id"] in one.verdict_ids]


def _i1_once(lab: Lab, sent: Sequence[Sent], copies: Sequence[Delivery]) -> None:
    held = {file.name for file in lab.postfix.held()}
    taken = [one for one in sent if one.queue_id and one.queue_id not in held]
    expected = Counter((one.queue_id, recipient.lower()) for one in taken for recipient in one.accepted)
    assert Counter((copy.queue_id, copy.recipient) for copy in copies) == expected


def _i2_refused_by_policy(one: Sent, event: Event) -> None:
    refused = {recipient for recipient, reply in one.recipients.items() if reply.code >= 500}
    assert one.final is None or one.final.code < 500, one
    if refused:
        assert event["findings"], event
        assert refused == {told["address"] for told in event["recipients"] if told["action"] == "reject"}, event


def _i3_i4_bytes(one: Sent, event: Event, copy: Delivery) -> None:
    as_sent = one.stored_as if one.stored_as is not None else one.message.removesuffix(b"\n") + b"\n"
    assert copy.message == (as_sent if event["exempt"] else without_ours(as_sent))
    assert max(Counter(field.partition(b":")[0].lower() for field in copy.ours).values(), default=1) == 1
    (trace,) = copy.values("X-Earmark")
    assert f"id={event['id']};" in trace


def _i5_alive(lab: Lab) -> None:
    service, before = lab.service, lab.at_rest
    assert service.running
    wait_until(lambda: service.usage().children == before.children, "as many children as at the start")
    wait_until(lambda: service.usage().descriptors <= before.descriptors + _SPARE_DESCRIPTORS, "descriptors are back")
    wait_until(lambda: service.usage().resident <= before.resident * 1.2, f"memory is back to {before}")


def _i6_reason(event: Event) -> None:
    assert event["action"] == "accept" or event["findings"] or event["unknown"], event


def _i6_no_more(lab: Lab, by_sent: Sequence[tuple[Sent, Event]]) -> None:
    """No event belongs to nobody: only a transaction that ended in 4xx may have one that is not counted yet."""
    known = {event["id"] for _, event in by_sent if event}
    unsettled = sum(not event for _, event in by_sent)
    ids = [event["id"] for event in lab.verdicts()]
    assert len(ids) == len(set(ids))
    assert len(set(ids) - known) <= unsettled


def _i7_in_time(event: Event) -> None:
    waits = len(event["recipients"]) + 1
    assert event["elapsed_ms"] <= 1000 * (waits * BUDGET + _SLACK), event


def _i8_own_state(one: Sent, event: Event) -> None:
    seen = (event["client"], event["sender"], event["user"], {told["address"] for told in event["recipients"]})
    assert seen == (one.peer.address, one.sender, one.peer.login, set(one.recipients)), event
