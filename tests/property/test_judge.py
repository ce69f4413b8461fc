"""The laws of judging (docs/design.md, promises 1 to 4)."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from earmark.core.evidence import Fact, Facts, Finding, Listing, Origin, Points, Stage, Status
from earmark.core.judge import combine, decide, examine, plan
from earmark.core.mail import Client, Envelope, Header, Message, Transaction, parse_path
from earmark.core.phrase import reply_for
from earmark.core.policy import Mode, OnError, Policy, PolicySet
from earmark.core.stamp import Trace, edits
from earmark.core.verdict import Action, InsertHeader, Outcome
from fakes.policies import ALL_ZONES, SITE, policy
from fakes.strategies import CODES, content_knobs, facts_for, known_worlds, policies, transactions

SCANNED = policies(content=content_knobs())


def at_rcpt(txn: Transaction, facts: Facts, asked: Policy) -> Outcome:
    return decide(Stage.RCPT, txn, facts, examine(Stage.RCPT, txn, facts, asked), asked)


def at_eom(txn: Transaction, facts: Facts, asked: Policy) -> Outcome:
    findings = examine(Stage.EOM, txn, facts, asked)
    return decide(Stage.EOM, txn, facts, findings, asked, early=at_rcpt(txn, facts, asked))


@given(st.data(), transactions(), SCANNED)
def test_asking_ends_within_four_rounds(data: st.DataObject, txn: Transaction, asked: Policy) -> None:
    facts: dict[Any, Fact] = {}
    for _ in range(4):
        for question in plan(Stage.EOM, txn, facts, asked.asking):
            facts[question] = data.draw(facts_for(question))
    assert plan(Stage.EOM, txn, facts, asked.asking) == []


@given(st.data(), transactions(), SCANNED)
def test_every_score_is_the_sum_of_its_findings(data: st.DataObject, txn: Transaction, asked: Policy) -> None:
    facts = data.draw(known_worlds(txn, (asked,), late=True))
    for outcome in (at_rcpt(txn, facts, asked), at_eom(txn, facts, asked)):
        refusing = [found for found in outcome.findings if found.origin in {Origin.CONNECTION, Origin.ENVELOPE}]
        assert outcome.refuse_score == sum(found.score for found in refusing if not found.late)
        assert outcome.mark_score == sum(found.score for found in outcome.findings)


@given(st.data(), transactions(), SCANNED)
def test_what_was_found_at_rcpt_is_found_again_at_the_end(data: st.DataObject, txn: Transaction, asked: Policy) -> None:
    facts = data.draw(known_worlds(txn, (asked,), late=data.draw(st.booleans())))
    early = at_rcpt(txn, facts, asked)
    standing = examine(Stage.EOM, txn, facts, asked, early=early)
    first, again = (
        decide(Stage.EOM, txn, facts, found, asked, early=early)
        for found in (standing, examine(Stage.EOM, txn, facts, asked))
    )
    assert sorted(first.findings, key=repr) == sorted(again.findings, key=repr)
    assert first._replace(findings=()) == again._replace(findings=())


@given(st.data(), transactions(), SCANNED, st.integers(1, 2000), st.sampled_from(list(Origin)))
def test_worse_evidence_never_helps_the_sender(
    data: st.DataObject, txn: Transaction, asked: Policy, more: int, origin: Origin
) -> None:
    facts = data.draw(known_worlds(txn, (asked,)))
    worse = Finding("WORSE", origin, Points(more), "", "")
    for stage in (Stage.RCPT, Stage.EOM):
        findings = examine(stage, txn, facts, asked)
        before = decide(stage, txn, facts, findings, asked)
        after = decide(stage, txn, facts, (*findings, worse), asked)
        assert after.action >= before.action
        assert after.would >= before.would


@given(st.data(), transactions(), SCANNED)
def test_a_new_listing_never_helps_the_sender(data: st.DataObject, txn: Transaction, asked: Policy) -> None:
    facts = data.draw(known_worlds(txn, (asked,)))
    listings = [question for question in facts if question.kind == "list" and question.zone != "trust.example"]
    clean = [question for question in listings if facts[question].status is Status.NONE]
    if not clean:
        return
    changed = {**facts, data.draw(st.sampled_from(clean)): Fact(Status.FAIL, ("127.0.0.2",), 60)}
    assert at_rcpt(txn, changed, asked).would >= at_rcpt(txn, facts, asked).would
    assert at_eom(txn, changed, asked).would >= at_eom(txn, facts, asked).would


@given(st.data(), transactions(), SCANNED)
def test_an_unknown_never_turns_a_non_refusal_into_a_refusal(
    data: st.DataObject, txn: Transaction, asked: Policy
) -> None:
    facts = data.draw(known_worlds(txn, (asked,)))
    if not facts or at_rcpt(txn, facts, asked).would is Action.REJECT:
        return
    question = data.draw(st.sampled_from(sorted(facts)))
    unknown = {**facts, question: Fact(Status.TEMPERROR, why="timeout")}
    assert at_rcpt(txn, unknown, asked).would is not Action.REJECT


@given(st.data(), st.sampled_from(CODES), st.sampled_from(CODES), st.integers(1, 1300))
def test_a_silent_allow_list_counts_as_its_kindest_answer(
    data: st.DataObject, blocked: str, trusted: str, refuse_at: int
) -> None:
    txn = Transaction(Envelope(Client("192.0.2.7"), SITE, helo="mail.example.net"), Message())
    asked = policy(refuse_at=refuse_at, mark_at=1)
    facts = data.draw(known_worlds(txn, (asked,)))
    facts[Listing("zen.example", "192.0.2.7")] = Fact(Status.FAIL, (blocked,), 60)
    facts[Listing("trust.example", "192.0.2.7")] = Fact(Status.PASS, (trusted,), 60)
    if at_rcpt(txn, facts, asked).would is not Action.REJECT:
        facts[Listing("trust.example", "192.0.2.7")] = Fact(Status.TEMPERROR, why="timeout")
        assert at_rcpt(txn, facts, asked).would is not Action.REJECT


@given(st.data(), transactions(), SCANNED)
def test_a_late_answer_never_refuses(data: st.DataObject, txn: Transaction, asked: Policy) -> None:
    facts = data.draw(known_worlds(txn, (asked,)))
    late = {question: fact._replace(late=True) for question, fact in facts.items()}
    dead = {question: Fact(Status.TEMPERROR) for question in facts}
    assert at_rcpt(txn, late, asked) == at_rcpt(txn, dead, asked)


@given(st.data(), transactions(), policies())
def test_a_dead_world_never_refuses(data: st.DataObject, txn: Transaction, asked: Policy) -> None:
    facts = dict.fromkeys(data.draw(known_worlds(txn, (asked,))), Fact(Status.TEMPERROR))
    blind = at_rcpt(txn, facts, asked)
    by_form = sum(found.score for found in examine(Stage.RCPT, txn, {}, asked))
    assert blind.refuse_score == by_form
    assert blind.would is not Action.REJECT or by_form >= asked.refuse_at


@given(st.data(), transactions(), SCANNED)
def test_the_order_of_zones_and_of_answers_changes_nothing(
    data: st.DataObject, txn: Transaction, asked: Policy
) -> None:
    facts = data.draw(known_worlds(txn, (asked,)))
    shuffled = {question: facts[question] for question in data.draw(st.permutations(list(facts)))}
    zones = data.draw(st.permutations(asked.knobs["listings"].zones))
    other = policy(
        mode=asked.mode,
        on_error=asked.on_error,
        refuse_at=asked.refuse_at,
        mark_at=asked.mark_at,
        dmarc=asked.dmarc,
        zones=tuple(zones),
        rates=asked.knobs["rates"],
        greylist=asked.knobs["greylist"],
        content=asked.content,
    )
    for judged in (at_rcpt, at_eom):
        first, second = judged(txn, facts, asked), judged(txn, shuffled, other)
        assert (first.action, first.would) == (second.action, second.would)
        assert (first.refuse_score, first.mark_score) == (second.refuse_score, second.mark_score)


@given(st.data(), transactions(), policies("a.example"), policies("b.example"), policies("c.example"))
def test_one_domains_file_cannot_change_anothers_verdict(
    data: st.DataObject, txn: Transaction, mine: Policy, theirs: Policy, other: Policy
) -> None:
    facts = data.draw(known_worlds(txn, (mine, theirs, other)))
    address = parse_path(b"<bob@a.example>")
    for neighbour in (theirs, other):
        found = PolicySet(policy(), {"a.example": mine, "b.example": neighbour}, SITE).find(address)
        assert found is mine
        assert at_rcpt(txn, facts, found) == at_rcpt(txn, dict(facts), mine)


@given(st.data(), transactions(), st.lists(policies(), min_size=1, max_size=4))
def test_no_message_content_changes_the_set_of_refusals(
    data: st.DataObject, txn: Transaction, asked: list[Policy]
) -> None:
    facts = data.draw(known_worlds(txn, tuple(asked)))
    bare = Transaction(txn.envelope, Message())
    for one in asked:
        assert at_rcpt(txn, facts, one) == at_rcpt(bare, facts, one)
        assert at_eom(txn, facts, one).action <= Action.MARK


@given(st.data(), transactions(), st.lists(SCANNED, min_size=1, max_size=4))
def test_no_recipient_gets_a_harsher_outcome_than_its_own_policy(
    data: st.DataObject, txn: Transaction, asked: list[Policy]
) -> None:
    facts = data.draw(known_worlds(txn, tuple(asked)))
    outcomes = [at_eom(txn, facts, one) for one in asked]
    verdict = combine(outcomes, asked)
    assert all(verdict.action <= outcome.action for outcome in outcomes)
    assert all(came.action <= own.action for came, own in zip(verdict.outcomes, outcomes, strict=True))
    order = data.draw(st.permutations(range(len(outcomes))))
    permuted = combine([outcomes[at] for at in order], [asked[at] for at in order])
    assert permuted.action is verdict.action
    assert [verdict.outcomes[at].action for at in order] == [outcome.action for outcome in permuted.outcomes]


hostile = st.text(alphabet=st.sampled_from("ab.%\r\n\t\0\x1b\x7f\u202e\u00e4 :;[]<>"), max_size=80)


@given(hostile, hostile, hostile)
def test_nothing_a_client_says_can_create_a_second_line(helo: str, sender: str, subject: str) -> None:
    asked = policy(refuse_at=50, mark_at=50, subject_tag="[SPAM]", zones=ALL_ZONES)
    address = parse_path(sender.encode("utf-8"))
    base = Transaction(
        Envelope(Client("192.0.2.7"), SITE, helo=helo, sender=address), Message((Header(b"Subject", subject.encode()),))
    )
    outcome = at_rcpt(base, {}, asked)
    reply = reply_for(outcome, base.envelope, asked, "0123456789AB")
    if reply is not None:
        assert re.fullmatch(r"[45]\d\d [45]\.\d\.\d [ -~]*", str(reply))
        assert len(reply.text) <= 400
    marked = decide(Stage.EOM, base, {}, outcome.findings, asked, early=outcome)
    for edit in edits(base, {}, combine([marked], [asked]), [asked], Trace("0123456789AB", "abc")):
        if isinstance(edit, InsertHeader):
            assert re.fullmatch(r"[A-Za-z-]+", edit.name)
            assert re.fullmatch(r"[ -~]*(\n\t[ -~]*)*", edit.value)
            assert all(len(line) <= 78 for line in edit.value.split("\n"))


@given(st.data(), transactions())
def test_no_header_reveals_another_recipients_domain(data: st.DataObject, txn: Transaction) -> None:
    secret = data.draw(policies("secret-customer.example"))
    asked = [data.draw(policies("open.example")), secret]
    facts = data.draw(known_worlds(txn, tuple(asked)))
    outcomes = [at_eom(txn, facts, one) for one in asked]
    written = edits(txn, facts, combine(outcomes, asked), asked, Trace("0123456789AB", "abc"))
    assert not any("secret-customer" in str(edit) for edit in written)


@given(st.data(), transactions(), SCANNED)
def test_mode_mark_and_observe_refuse_nobody(data: st.DataObject, txn: Transaction, asked: Policy) -> None:
    facts = data.draw(known_worlds(txn, (asked,)))
    for mode in (Mode.MARK, Mode.OBSERVE):
        milder = policy(mode=mode, refuse_at=asked.refuse_at, mark_at=asked.mark_at, on_error=OnError.DEFER)
        assert at_rcpt(txn, facts, milder).action is Action.ACCEPT
        held_back = at_rcpt(txn, facts, milder).would
        final = at_eom(txn, facts, milder)
        assert final.would >= held_back
        if mode is Mode.OBSERVE:
            assert final.action is Action.ACCEPT
        elif held_back is Action.REJECT:
            assert final.action is Action.MARK
