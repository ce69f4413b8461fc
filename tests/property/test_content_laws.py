"""The laws of what the scanners say, and of several recipients of one message (docs/content.md; promises 1 to 3)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from hypothesis import assume, given
from hypothesis import strategies as st

from earmark.core.checks.access import AccessKnobs
from earmark.core.checks.content import NO_USER, ContentKnobs, MixedRecipients, OnVirus, Scanned, WhenUnscanned
from earmark.core.evidence import DmarcRecords, Fact, Facts, Listing, Points, Question, Release, SpamScan, Status
from earmark.core.held import held
from earmark.core.mail import Address, Client, Header, Message, Transaction, parse_path
from earmark.core.policy import AfterData, Mode, OnError, Policy, PolicySet
from earmark.core.recipients import Means, Recipient, judge_all, shown
from earmark.core.spam_score import SpamScore, spam_score_data
from earmark.core.stamp import Trace, edits
from earmark.core.verdict import Action, AddRecipient, ChangeHeader, Hold, InsertHeader, RemoveRecipient, Verdict
from fakes.policies import COP, SCANNING, policy
from fakes.strategies import RELEASE, UNSCANNED, content_knobs, facts_for, known_worlds, transactions

DOMAINS = ("first.secret.test", "second.secret.test", "third.secret.test")
RECIPIENTS = [parse_path(f"<{user}@{domain}>".encode()) for domain in DOMAINS for user in ("bob", "bob+junk", "eve+x")]
POSTMASTERS = [parse_path(f"<Postmaster@{domain}>".encode()) for domain in DOMAINS]
CHECKS = ("client", "listings", "access", "received", "authentication", "content")
"""Those that have to do with what is at stake here; fewer questions make for more cases in the same time."""
ACCESS = AccessKnobs(Points(-100_00), Points(100_00))
MODES = [*4 * [Mode.ENFORCE], Mode.MARK, Mode.OBSERVE]
ALLOWED = "192.0.2.8"
"""A client that an entry of the lists allows."""
Judged = tuple[tuple[Recipient, ...], Verdict]


class Case(NamedTuple):
    """A message that has come, with everything that is known of it."""

    txn: Transaction
    policies: PolicySet
    paths: list[Address]
    facts: dict[Question, Fact]
    means: Means

    def judged(
        self, paths: Sequence[Address] = (), facts: Facts | None = None, txn: Transaction | None = None
    ) -> Judged:
        """Judge it, for these recipients, with these facts, or with another message in its place."""
        known = self.facts if facts is None else facts
        return judge_all(
            txn or self.txn, known, self.policies, paths or self.paths, "ID", ended="eom", means=self.means
        )


def opinions(name: str, content: st.SearchStrategy[ContentKnobs], modes: Sequence[Mode]) -> st.SearchStrategy[Policy]:
    def opinion(mode: Mode, on_error: OnError, mark_at: int, dmarc: AfterData, knobs: ContentKnobs) -> Policy:
        whole = policy(
            name,
            mode=mode,
            on_error=on_error,
            mark_at=mark_at,
            dmarc=dmarc,
            zones=(COP,),
            access=ACCESS,
            content=knobs,
            help_url=f"https://{name}/",
        )
        return replace(whole, knobs={check: whole.knobs[check] for check in CHECKS})

    mark_at = st.sampled_from([100, 500])
    return st.builds(
        opinion, st.sampled_from(modes), st.sampled_from(OnError), mark_at, st.sampled_from(AfterData), content
    )


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    of: Sequence[st.SearchStrategy[ContentKnobs]] = (content_knobs(),),
    modes: Sequence[Mode] = MODES,
    among: Sequence[Address] = (*RECIPIENTS, POSTMASTERS[0]),
    strangers: bool = False,
    releasing: bool = False,
) -> Case:
    """Return a case whose policies have knobs `of` one kind.

    Of a stranger, whom an entry may allow, or of a release of the administrator's; of anybody by default.
    """
    content = of[draw(st.integers(0, len(of) - 1))]
    named = {domain: draw(opinions(domain, content, modes)) for domain in DOMAINS}
    if draw(st.booleans()):  # two domains of one class
        named[DOMAINS[1]] = replace(named[DOMAINS[0]], name=DOMAINS[1])
    txn = draw(transactions())
    client = draw(st.sampled_from([Client(ALLOWED), txn.envelope.client]))
    envelope = replace(txn.envelope, site=SCANNING, client=client)
    if strangers:
        envelope = replace(envelope, exempt="", relay="")
    elif releasing:
        envelope = replace(envelope, exempt="own network")
    message = replace(txn.message, headers=[*txn.message.headers, RELEASE]) if releasing else txn.message
    txn = Transaction(envelope, message)
    paths = draw(st.lists(st.sampled_from(among), min_size=1, max_size=4))
    paths += [RECIPIENTS[0], RECIPIENTS[3], RECIPIENTS[6]][: draw(st.integers(0, 3))]  # of different policies
    policies = PolicySet(policy(), named, SCANNING)
    facts = draw(known_worlds(txn, tuple(named.values()), recipients=paths))
    readdress, hold = (draw(st.sampled_from([True, True, False])) for _ in range(2))
    return Case(txn, policies, paths, facts, Means(readdress, hold))


def accepted(case: Case, recipients: Sequence[Recipient]) -> list[Recipient]:
    """Those whom the message itself was for: the others met their end at RCPT."""
    early, _ = judge_all(case.txn, case.facts, case.policies, [one.address for one in recipients], "ID", ended="abort")
    return [one for one, then in zip(recipients, early, strict=True) if then.outcome.action is Action.ACCEPT]


def is_told_to_come_alone(one: Recipient) -> bool:
    return one.outcome.reply is not None and one.outcome.reply.code == 452


@given(cases())
def test_nobody_fares_worse_among_others_than_alone_nor_better_without_saying_so(case: Case) -> None:
    recipients, verdict = case.judged()
    for one in recipients:
        ((alone,), _) = case.judged([one.address])
        if is_told_to_come_alone(one):
            assert one.policy.content.mixed_recipients is MixedRecipients.SEPARATE
            continue
        assert one.outcome.action <= alone.outcome.action
        assert one.outcome.would == alone.outcome.would
        if one.outcome.action < alone.outcome.action:
            assert one.outcome.would >= alone.outcome.action
    for one in accepted(case, recipients):
        assert verdict.action <= one.outcome.action


@given(cases())
def test_where_each_recipient_is_answered_each_has_what_its_policy_asks_for(case: Case) -> None:
    case = case._replace(means=Means(answer_each=True))
    recipients, _ = case.judged()
    for one in recipients:
        ((alone,), _) = case.judged([one.address])
        assert one.outcome.action is alone.outcome.action or is_told_to_come_alone(one)


def eager(knobs: ContentKnobs, virus: OnVirus = OnVirus.REJECT) -> ContentKnobs:
    """Change knobs so that more comes of the same answers."""
    viruses = replace(knobs, clamav=Scanned.ALL, virus=virus, virus_heuristic=virus, virus_unofficial=virus)
    together = MixedRecipients.TOGETHER
    return replace(
        viruses, spamassassin=Scanned.ALL, spam_user=NO_USER, spam_reject_score=Points(5_00), mixed_recipients=together
    )


EAGER = content_knobs().map(eager)
HOLDING = content_knobs().map(lambda knobs: eager(knobs, OnVirus.QUARANTINE))
HALF_EAGER = content_knobs().map(
    lambda knobs: replace(eager(knobs), spam_user=knobs.spam_user, virus_unscanned=WhenUnscanned.DEFER)
)


@given(cases(of=[content_knobs(), EAGER, EAGER], modes=[*4 * [Mode.ENFORCE], Mode.MARK], strangers=True), st.data())
def test_the_order_of_recipients_changes_nothing_for_whom_shares_a_message(case: Case, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(case.paths))
    first, verdict = case.judged()
    again, verdict_again = case.judged(shuffled)
    alone = {one.address: one for one in first if one.policy.content.mixed_recipients is MixedRecipients.SEPARATE}
    if not alone:
        assert {one.address: one.outcome for one in first} == {one.address: one.outcome for one in again}
        assert (verdict.action, verdict.reply) == (verdict_again.action, verdict_again.reply)
        assert Counter(verdict.edits) == Counter(verdict_again.edits)
    refused_at_rcpt = [{one.address for one in them if _is_refused_at_rcpt(case, one)} for them in (first, again)]
    assert refused_at_rcpt[0] == refused_at_rcpt[1]
    assert {one.address for one in (*first, *again) if is_told_to_come_alone(one)} <= alone.keys()


def _is_refused_at_rcpt(case: Case, one: Recipient) -> bool:
    ((early,), _) = judge_all(case.txn, case.facts, case.policies, [one.address], "ID", ended="abort")
    return early.outcome.action > Action.ACCEPT and early.outcome == one.outcome


@given(cases())
def test_no_header_tells_of_anybody_else(case: Case) -> None:
    recipients, verdict = case.judged()
    told, policies = shown(recipients, verdict)
    for edit in edits(case.txn, case.facts, told, policies, Trace("ID", "f00d")):
        if isinstance(edit, InsertHeader | ChangeHeader):
            assert "secret" not in edit.value


NOTHING_ASKED_FOR = content_knobs().map(
    lambda knobs: replace(
        knobs,
        spam_reject_score=Points(0),
        virus=min(knobs.virus, OnVirus.QUARANTINE, key=list(OnVirus).index),
        virus_heuristic=min(knobs.virus_heuristic, OnVirus.QUARANTINE, key=list(OnVirus).index),
        virus_unofficial=min(knobs.virus_unofficial, OnVirus.QUARANTINE, key=list(OnVirus).index),
    )
)


@given(cases(of=[NOTHING_ASKED_FOR]), st.data())
def test_nothing_refuses_after_data_what_no_policy_has_asked_for(case: Case, data: st.DataObject) -> None:
    weighing = {domain: replace(one, dmarc=AfterData.WEIGH) for domain, one in case.policies.domains.items()}
    forged = replace(case.txn, message=Message((Header(b"From", b" bob@example.org"),)))
    facts = data.draw(known_worlds(forged, tuple(weighing.values()), recipients=case.paths))
    for question in facts:
        if isinstance(question, DmarcRecords):
            facts[question] = Fact(Status.PASS, (f"{question.domain} v=DMARC1; p=reject",))
    case = case._replace(policies=PolicySet(policy(), weighing, SCANNING), txn=forged, facts=facts)
    recipients, verdict = case.judged()
    assert verdict.action is not Action.REJECT
    for one in accepted(case, recipients):
        assert one.outcome.would is not Action.REJECT or one.policy.mode is not Mode.ENFORCE


def without_path(facts: Facts) -> dict[Question, Fact]:
    """What would be known of the same message had it claimed no path: SpamAssassin's two scans would be one."""
    confirming = {scan: fact for scan, fact in facts.items() if isinstance(scan, SpamScan) and scan.view != "whole"}
    return {**facts, **{scan._replace(view="whole"): fact for scan, fact in confirming.items()}}


def refused(judged: Judged) -> set[str]:
    recipients, _ = judged
    return {one.address.text for one in recipients if one.outcome.would is Action.REJECT}


REFUSING_SPAM = content_knobs().map(
    lambda knobs: replace(knobs, clamav=Scanned.OFF, spamassassin=Scanned.ALL, spam_reject_score=Points(5_00))
)


@given(cases(of=[REFUSING_SPAM], modes=[Mode.ENFORCE], strangers=True), st.data())
def test_a_claimed_path_brings_about_no_refusal(case: Case, data: st.DataObject) -> None:
    """Whatever path is claimed, and whatever is made of it: nothing is refused that would not be without it."""
    client = case.txn.envelope.client.address
    known: dict[Question, Fact] = dict(case.facts)
    scans = [question for question in case.facts if isinstance(question, SpamScan) and question.view == "whole"]
    for whole in scans:
        known[whole._replace(view="without-path")] = scored(data.draw(st.sampled_from([8_00, 60_00, 3_10])), client)
    headers = [header for header in case.txn.message.headers if header.name != b"Received"]
    bare = replace(case.txn, message=Message(headers))
    without = refused(case.judged(txn=bare, facts=without_path(known)))
    for hop in [question for question in known if isinstance(question, Listing) and question.address != client]:
        known[hop] = data.draw(facts_for(hop))
    for score in (5_00, 60_00, 1_000_00):
        for whole in scans:
            known[whole] = scored(score, client)
        assert refused(case.judged(facts=known)) <= without


def scored(score: int, last_external: str) -> Fact:
    return Fact(Status.PASS, spam_score_data(SpamScore(Points(score), last_external, ())))


@given(cases(of=[REFUSING_SPAM], strangers=True))
def test_spam_is_refused_only_where_both_scans_took_the_right_host_and_both_say_so(case: Case) -> None:
    recipients, _ = case.judged()
    client = case.txn.envelope.client.address
    for one in recipients:
        for found in one.outcome.findings:
            if found.opt_in == "spam_reject_score":
                assert isinstance(found.question, SpamScan)
                for scan in (found.question, found.question._replace(view="whole")):
                    fact = case.facts[scan]
                    assert fact.status is Status.PASS
                    assert float(fact.data[0]) * 100 >= one.policy.content.spam_reject_score > 0
                    assert fact.data[1] == client


@given(cases(of=[REFUSING_SPAM], modes=[Mode.ENFORCE], strangers=True), st.data())
def test_what_is_unknown_never_refuses(case: Case, data: st.DataObject) -> None:
    """A scan that fails, lists that cannot be read, a proof that cannot be had: promise 2, after DATA as before it."""
    known: dict[Question, Fact] = dict(case.facts)
    for question in case.facts:
        if isinstance(question, SpamScan) and data.draw(st.booleans()):
            known[question] = scored(8_00, case.txn.envelope.client.address)
    recipients, verdict = case.judged(facts=known)
    taken = {one.address.text for one in accepted(case, recipients)}  # others were put off, and come again
    unknown = data.draw(st.sampled_from([Fact(Status.TEMPERROR, why="timeout"), *UNSCANNED]))
    for question in case.facts:
        less = case.judged(facts={**known, question: unknown})
        assert refused(less) & taken <= refused((recipients, verdict))
        assert less[1].action is not Action.REJECT or verdict.action is Action.REJECT or not taken


@given(cases(of=[content_knobs(), HALF_EAGER, HOLDING, HOLDING], modes=[Mode.ENFORCE], strangers=True), st.booleans())
def test_who_is_held_is_taken_away_and_nobody_is_left_without_the_message(case: Case, answer_each: bool) -> None:  # noqa: FBT001
    case = case._replace(means=case.means._replace(answer_each=answer_each))
    recipients, verdict = case.judged()
    ours = accepted(case, recipients)
    if verdict.action > Action.QUARANTINE:
        assert all(one.outcome.action is verdict.action for one in ours) or answer_each
        assert not verdict.edits
        return
    if answer_each:  # who refuses or defers has said so alone
        ours = [one for one in ours if one.outcome.action <= Action.QUARANTINE]
    kept = held(case.txn, "", recipients)
    by_us = Counter(one.address for one in kept.recipients) if kept else Counter()
    assert by_us == Counter(one.address.text for one in ours if one.outcome.action is Action.QUARANTINE)
    if verdict.action is Action.QUARANTINE:
        by_mta = any(isinstance(edit, Hold) for edit in verdict.edits)
        assert all(one.outcome.action is Action.QUARANTINE for one in ours)
        assert not by_mta or (case.means.hold and {one.policy.content.quarantine for one in ours} == {"mta"})
        return
    delivered = delivered_to([one.address.text for one in ours], verdict)
    for one in ours:
        text = one.address.text
        junk = f"{one.address.local.partition('+')[0]}+junk@{one.address.domain}"
        if one.outcome.action is Action.QUARANTINE:
            assert text not in delivered
        elif text not in delivered:
            assert one.outcome.action is Action.MARK
            assert one.policy.content.mixed_marks == "detail"
            assert junk in delivered


def delivered_to(recipients: list[str], verdict: Verdict) -> set[str]:
    """Whom the MTA delivers to when it has made the edits in their order."""
    left = set(recipients)
    for position, edit in enumerate(verdict.edits):
        match edit:
            case AddRecipient(address):
                following = verdict.edits[position + 1]
                assert isinstance(following, RemoveRecipient)
                assert following.address.partition("@")[2] == address.partition("@")[2]
                left.add(address)
            case RemoveRecipient(address):
                left.discard(address)
            case _:
                raise AssertionError(f"not for single recipients: {edit}")
    return left


@given(cases(of=[EAGER, HALF_EAGER], among=(*POSTMASTERS, *RECIPIENTS), strangers=True))
def test_mail_for_the_postmaster_is_taken(case: Case) -> None:
    postmasters = [*case.paths, POSTMASTERS[0]]
    facts = case.facts
    for paths in (postmasters, postmasters[::-1]):
        recipients, verdict = case.judged(paths, facts)
        assert verdict.action <= Action.QUARANTINE
        for one in recipients:
            assert one.outcome.action <= Action.QUARANTINE or one.address not in POSTMASTERS


@given(cases(modes=[Mode.OBSERVE, Mode.MARK]))
def test_the_milder_modes_only_mark_and_only_what_would_have_been_more_than_put_off(case: Case) -> None:
    recipients, verdict = case.judged()
    assert verdict.action <= Action.MARK
    for one in recipients:
        assert one.outcome.action <= (Action.MARK if one.policy.mode is Mode.MARK else Action.ACCEPT)
        if one.outcome.action is Action.ACCEPT and one.policy.mode is Mode.MARK:
            assert one.outcome.would in (Action.ACCEPT, Action.DEFER)
    assert not any(isinstance(edit, Hold) for edit in verdict.edits)


@given(cases(releasing=True))
def test_what_the_administrator_lets_go_is_delivered_and_only_what_he_lets_go(case: Case) -> None:
    releases = [question for question in case.facts if isinstance(question, Release)]
    assume(releases)
    released: dict[Question, Fact] = {**case.facts, **dict.fromkeys(releases, Fact(Status.PASS))}
    recipients, verdict = case.judged(facts=released)
    assert verdict.action is Action.ACCEPT or not accepted(case, recipients)
    ordinary, _ = case.judged(facts={**released, releases[0]: Fact(Status.NONE)})
    for one, otherwise in zip(recipients, ordinary, strict=True):
        assert one.outcome.action is Action.ACCEPT or one.outcome == otherwise.outcome
        assert one.outcome.would == otherwise.outcome.would
