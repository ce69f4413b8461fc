"""What holds after every end-to-end test, whatever it did.

I1 a mail answered 250 is, for each recipient, in the store exactly once or in a quarantine; no other is;
I2 no 5xx but by a policy's finding, after DATA where each accepted recipient's domain has opted in;
I3 body and foreign fields are there byte for byte;
I4 forged fields of our names are gone;
I5 the processes live, memory and descriptors are back;
I6 one verdict event for each transaction, with its reason;
I7 no callback took longer than its budget;
I8 no state of one session is in another.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from e2e_lab.configuration import BUDGET, MAY_REFUSE_AFTER_DATA, SCAN_BUDGET, SCANNED
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
    copies = defaultdict(list)
    for copy in lab.deliveries():
        copies[copy.queue_id].append(copy)
    judged = _judged(lab, sent)
    _i1_once(lab, sent, [copy for together in copies.values() for copy in together])
    for one, event in judged:
        _i2_refused_by_policy(one, event)
        for copy in copies[one.queue_id]:
            _i3_i4_bytes(one, event, copy)
        if event:
            i6_reason(event)
            i7_in_time(event)
            _i8_own_state(one, event)
    _i6_no_more(lab, judged)
    i5_alive(lab)


def _judged(lab: Lab, sent: Sequence[Sent]) -> list[tuple[Sent, Event]]:
    """Pair each transaction with its verdict event; with {} where earmark may never have got as far as a verdict."""
    certain = {key for one in sent for key in (one.queue_id, *one.verdict_ids) if key}
    wait_until(lambda: certain <= _by_key(lab).keys(), f"a verdict event for each of {certain}")
    events = _by_key(lab)
    return [(one, next((events[key] for key in (one.queue_id, *one.verdict_ids) if key), {})) for one in sent]


def _by_key(lab: Lab) -> dict[str, Event]:
    """Return the verdict events by their own id and by their queue id."""
    return {event[key]: event for event in lab.verdicts() for key in ("id", "queue_id") if event[key]}


def _i1_once(lab: Lab, sent: Sequence[Sent], copies: Sequence[Delivery]) -> None:
    by_mta = {file.name for file in lab.postfix.held()} | set(lab.sendmail.held() if lab.sendmail else ())
    taken = [one for one in sent if one.queue_id and one.queue_id not in by_mta]
    expected = Counter((one.queue_id, recipient.lower()) for one in taken for recipient in one.accepted)
    queue_ids = {event["id"]: event["queue_id"] for event in lab.verdicts()}  # a killed worker may have held what it
    rows = [row for row in lab.held() if row["id"] in queue_ids]  # never answered for, and then tells no event of it
    held = Counter((queue_ids[row["id"]], row["recipient"].lower()) for row in rows)
    assert Counter((copy.queue_id, copy.recipient) for copy in copies) + held == expected


def _i2_refused_by_policy(one: Sent, event: Event) -> None:
    refused = {recipient for recipient, reply in one.recipients.items() if reply.code >= 500}
    if one.final and one.final.code >= 500:
        assert {domain_of(recipient) for recipient in one.accepted} <= MAY_REFUSE_AFTER_DATA
        refused = set(one.recipients)
    if refused:
        assert event["findings"], event
        assert refused == {told["address"] for told in event["recipients"] if told["action"] == "reject"}, event


def _i3_i4_bytes(one: Sent, event: Event, copy: Delivery) -> None:
    as_sent = one.stored_as if one.stored_as is not None else one.message.removesuffix(b"\n") + b"\n"
    assert copy.message == (as_sent if event["exempt"] else without_ours(as_sent))
    assert max(Counter(field.partition(b":")[0].lower() for field in copy.ours).values(), default=1) == 1
    (trace,) = copy.values("X-Earmark")
    assert f"id={event['id']};" in trace


def i5_alive(lab: Lab) -> None:
    service, before = lab.service, lab.at_rest
    assert service.running
    wait_until(lambda: service.usage().children == before.children, "as many children as at the start")
    wait_until(lambda: service.usage().descriptors <= before.descriptors + _SPARE_DESCRIPTORS, "descriptors are back")
    wait_until(lambda: service.usage().resident <= before.resident * 1.2, f"memory is back to {before}")


def i6_reason(event: Event) -> None:
    assert event["action"] == "accept" or event["findings"] or event["unknown"], event


def _i6_no_more(lab: Lab, judged: Sequence[tuple[Sent, Event]]) -> None:
    """Each event is of one transaction: only one that was put off may have an event that it does not know of."""
    events = lab.verdicts()
    for key in ("id", "queue_id"):
        assert max(Counter(event[key] for event in events if event[key]).values(), default=1) == 1
    known = {event["id"] for _, event in judged if event}
    assert len({event["id"] for event in events} - known) <= sum(not event for _, event in judged)


def i7_in_time(event: Event) -> None:
    waits = len(event["recipients"]) + 1
    scans = any(domain_of(told["address"]) in SCANNED for told in event["recipients"])
    assert event["elapsed_ms"] <= 1000 * (waits * BUDGET + scans * SCAN_BUDGET + _SLACK), event


def _i8_own_state(one: Sent, event: Event) -> None:
    assert (event["client"], event["sender"], event["user"]) == (one.peer.address, one.sender, one.peer.login), event
    told = {told["address"] for told in event["recipients"]}
    answered = {recipient for recipient, reply in one.recipients.items() if not 400 <= reply.code < 500}
    assert answered <= told <= one.recipients.keys(), event


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()
