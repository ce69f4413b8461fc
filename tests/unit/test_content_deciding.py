"""What the words of the content lead to, recipient by recipient, where it is easy to get wrong."""

from dataclasses import replace

import pytest

from earmark.core.access import Entry, Kind, Verb, entry_text
from earmark.core.checks.access import AccessKnobs
from earmark.core.checks.content import (
    ContentKnobs,
    MixedMarks,
    MixedRecipients,
    MixedRefusals,
    OnVirus,
    Scanned,
    WhenUnscanned,
)
from earmark.core.evidence import (
    Entries,
    Fact,
    Points,
    Question,
    ReverseName,
    SpamScan,
    Status,
    VirusScan,
)
from earmark.core.mail import Client, Envelope, Message, Transaction, parse_path
from earmark.core.policy import AfterData, Mode, Policy, PolicySet
from earmark.core.recipients import Recipient, judge_all
from earmark.core.spam_score import SpamScore, spam_score_data
from earmark.core.verdict import Action, RemoveRecipient, Verdict
from fakes.policies import SCANNING, policy

CLIENT = "192.0.2.7"
BOB, JUNK, EVE, POSTMASTER = (
    parse_path(f"<{local}@{domain}>".encode())
    for local, domain in [
        ("bob", "a.example"),
        ("bob+junk", "a.example"),
        ("eve", "b.example"),
        ("Postmaster", "a.example"),
    ]
)
SCANS = ContentKnobs(clamav=Scanned.ALL, virus=OnVirus.REJECT, spamassassin=Scanned.ALL, spam_reject_score=Points(8_00))
VIRUS = VirusScan("m", "25000000")
WHOLE = SpamScan("m", "", "500000", "whole")
PATHLESS = WHOLE._replace(view="without-path")
FOUND = Fact(Status.FAIL, ("Eicar-Test-Signature",))
UNSCANNED = Fact(Status.TEMPERROR, ("failing", "0"))
TXN = Transaction(
    Envelope(Client(CLIENT), SCANNING, helo="mail.example.net", sender=parse_path(b"<a@example.net>")),
    Message(content="m"),
)


def spam(score: int) -> Fact:
    return Fact(Status.PASS, spam_score_data(SpamScore(Points(score), CLIENT, ())))


def strict(content: ContentKnobs = SCANS, mode: Mode = Mode.ENFORCE, dmarc: AfterData = AfterData.WEIGH) -> Policy:
    access = AccessKnobs(Points(-100_00), Points(100_00))
    return policy(zones=(), mode=mode, dmarc=dmarc, content=content, access=access)


def judged(
    facts: dict[Question, Fact], *paths: object, a: Policy | None = None, b: Policy | None = None
) -> tuple[tuple[Recipient, ...], Verdict]:
    known = {ReverseName(CLIENT): Fact(Status.PASS, ("mail.example.net",)), **facts}
    policies = PolicySet(policy(), {"a.example": a or strict(), "b.example": b or strict(ContentKnobs())}, SCANNING)
    return judge_all(TXN, known, policies, paths, "ID", ended="eom")  # type: ignore[arg-type]


def allowing(entry: Entry) -> dict[Question, Fact]:
    entries = Entries(CLIENT, "", "mail.example.net", "a@example.net", "bob@a.example")
    fact = Fact(Status.PASS, (entry_text(entry),))
    return {entries: fact, entries._replace(name="mail.example.net"): fact}


ALLOWED = Entry(Verb.ALLOW, Kind.CLIENT, CLIENT)


@pytest.mark.parametrize("whole", [8_00, 60_00, 1_000_00])
def test_who_is_allowed_is_not_refused_as_spam_whatever_spamassassin_makes_of_the_path(whole: int) -> None:
    ((bob,), verdict) = judged({**allowing(ALLOWED), WHOLE: spam(whole), PATHLESS: spam(8_00)}, BOB)
    assert verdict.action <= Action.MARK
    assert "SPAM_CONFIRMED" in [found.name for found in bob.outcome.findings]


def test_without_an_entry_the_same_is_refused() -> None:
    ((bob,), _) = judged({WHOLE: spam(8_00), PATHLESS: spam(8_00)}, BOB)
    assert bob.outcome.action is Action.REJECT


def test_who_may_be_allowed_by_lists_that_cannot_be_read_is_not_refused_as_spam() -> None:
    entries = Entries(CLIENT, "", "mail.example.net", "a@example.net", "bob@a.example")
    facts: dict[Question, Fact] = {entries: Fact(Status.TEMPERROR), WHOLE: spam(8_00), PATHLESS: spam(8_00)}
    ((bob,), _) = judged(facts, BOB)
    assert bob.outcome.action is Action.MARK


@pytest.mark.parametrize("order", [1, -1])
def test_where_one_policy_refuses_and_the_other_defers_all_are_told_to_come_again(order: int) -> None:
    waiting = strict(replace(SCANS, clamav=Scanned.OFF, spam_unscanned=WhenUnscanned.DEFER, spam_defer_for=1))
    facts: dict[Question, Fact] = {VIRUS: FOUND, WHOLE: UNSCANNED}
    recipients, verdict = judged(facts, *(BOB, EVE)[::order], b=waiting)
    assert verdict.action is Action.DEFER
    assert {one.outcome.action for one in recipients} == {Action.DEFER}
    assert {one.outcome.reply for one in recipients} == {verdict.reply}
    assert {one.address: one.outcome.would for one in recipients} == {BOB: Action.REJECT, EVE: Action.DEFER}


def test_the_reply_to_a_message_that_all_refuse_does_not_depend_on_their_order() -> None:
    a, b = strict(), replace(strict(), help_url="https://b.example/")
    (_, first), (_, second) = (judged({VIRUS: FOUND}, *paths, a=a, b=b) for paths in ((BOB, EVE), (EVE, BOB)))
    assert first.action is Action.REJECT
    assert first.reply == second.reply


def test_a_junk_copy_does_not_go_where_another_is_taken_away() -> None:
    """bob's entry spares him what his own junk address meets; to take that away would take his copy, too."""
    detail = strict(replace(SCANS, clamav=Scanned.OFF, mixed_marks=MixedMarks.DETAIL))
    facts = {**allowing(ALLOWED), WHOLE: spam(1_000_00), PATHLESS: spam(1_000_00)}
    recipients, verdict = judged(facts, BOB, JUNK, EVE, a=detail)
    assert [one.outcome.action for one in recipients] == [Action.MARK, Action.QUARANTINE, Action.ACCEPT]
    assert verdict.edits == (RemoveRecipient("bob+junk@a.example"),)


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        ({VIRUS: FOUND}, Action.QUARANTINE),
        ({WHOLE: spam(9_00), PATHLESS: spam(9_00)}, Action.MARK),
        ({WHOLE: UNSCANNED}, Action.ACCEPT),
    ],
    ids=["virus", "spam", "unscanned"],
)
def test_mail_for_the_postmaster_is_held_for_a_virus_and_else_only_marked(
    facts: dict[Question, Fact], action: Action
) -> None:
    eager = strict(replace(SCANS, spam_unscanned=WhenUnscanned.DEFER, spam_defer_for=1), dmarc=AfterData.REJECT)
    ((postmaster,), _) = judged(facts, POSTMASTER, a=eager)
    assert postmaster.outcome.action is action


@pytest.mark.parametrize(("mode", "second"), [(Mode.ENFORCE, 452), (Mode.MARK, None), (Mode.OBSERVE, None)], ids=str)
def test_only_a_policy_in_force_has_its_recipients_come_in_a_message_of_their_own(
    mode: Mode, second: int | None
) -> None:
    alone = strict(replace(SCANS, mixed_recipients=MixedRecipients.SEPARATE), mode)
    (_, bob), _ = judged({}, EVE, BOB, a=alone)
    assert (bob.outcome.reply.code if bob.outcome.reply else None) == second
    (_, postmaster), _ = judged({}, EVE, POSTMASTER, a=alone)
    assert postmaster.outcome.reply is None
    (bob, eve), _ = judged({}, BOB, EVE, a=alone)
    assert [bob.outcome.reply, eve.outcome.reply] == [None, None]


@pytest.mark.parametrize(
    ("facts", "action", "would"),
    [
        ({VIRUS: FOUND}, Action.MARK, Action.QUARANTINE),
        ({WHOLE: UNSCANNED}, Action.ACCEPT, Action.DEFER),
        ({WHOLE: UNSCANNED, VIRUS: FOUND}, Action.MARK, Action.DEFER),
    ],
    ids=["virus", "unscanned", "both"],
)
def test_mode_mark_marks_what_would_be_held_and_not_what_would_be_put_off(
    facts: dict[Question, Fact], action: Action, would: Action
) -> None:
    waiting = replace(SCANS, virus=OnVirus.QUARANTINE, spam_unscanned=WhenUnscanned.DEFER, spam_defer_for=1)
    ((bob,), _) = judged(facts, BOB, a=strict(waiting, Mode.MARK))
    assert (bob.outcome.action, bob.outcome.would) == (action, would)


def test_a_policy_may_have_its_copy_marked_where_it_cannot_have_the_message_refused() -> None:
    mild = strict(replace(SCANS, mixed_refusals=MixedRefusals.MARK, mixed_marks=MixedMarks.DETAIL))
    (bob, eve), verdict = judged({VIRUS: FOUND}, BOB, EVE, a=mild)
    assert (bob.outcome.action, bob.outcome.would) == (Action.MARK, Action.REJECT)
    assert eve.outcome.action is verdict.action is Action.ACCEPT
    assert [edit.kind for edit in verdict.edits] == ["add-recipient", "remove-recipient"]


@pytest.mark.parametrize("failing", [VIRUS, WHOLE], ids=["virus", "spam"])
@pytest.mark.parametrize(("since", "action"), [(-60, Action.DEFER), (-61, Action.ACCEPT)])
def test_each_scanner_is_waited_for_as_long_as_its_own_knob_says(failing: Question, since: int, action: Action) -> None:
    own, other = ("virus", "spam") if failing is VIRUS else ("spam", "virus")
    deferring = {f"{scanner}_unscanned": WhenUnscanned.DEFER for scanner in (own, other)}
    waiting = replace(SCANS, **deferring, **{f"{own}_defer_for": 60, f"{other}_defer_for": 3600})  # type: ignore[arg-type]
    ((bob,), _) = judged({failing: Fact(Status.TEMPERROR, ("failing", str(since)))}, BOB, a=strict(waiting))
    assert bob.outcome.action is action
