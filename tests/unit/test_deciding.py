"""What findings that defer, and findings that a policy has opted in to refuse on, lead to."""

import pytest

from earmark.core.checks.listings import ListingsKnobs
from earmark.core.checks.received import ReceivedKnobs
from earmark.core.evidence import UNKNOWN, Fact, Facts, Finding, Listing, Origin, Points, Stage, Status
from earmark.core.judge import combine, decide
from earmark.core.mail import Client, Envelope, Message, Transaction, parse_path
from earmark.core.phrase import reply_for
from earmark.core.policy import AfterData, Mode, OnError, PolicySet
from earmark.core.recipients import judge_all, shown
from earmark.core.verdict import Action, Outcome
from fakes.milter_front import lists_only
from fakes.policies import COP, SITE, TRUST, policy

ENVELOPE = Envelope(Client("192.0.2.7"), SITE, helo="mail.example.net")
TXN = Transaction(ENVELOPE, Message())
GREYLISTED = Finding("GREYLISTED", Origin.ENVELOPE, Points(0), "come back in 5 minutes", "", defer_at=Points(200))
POSTMASTER = parse_path(b"<postmaster@example.org>")
UNALIGNED = Finding("DMARC_REJECT", Origin.CONTENT, Points(500), "example.net asks to reject it", "", opt_in="dmarc")


def scoring(points: int) -> Finding:
    return Finding("ODD", Origin.ENVELOPE, Points(points), "it is odd", "")


def at_rcpt(*findings: Finding, **settings: object) -> Outcome:
    return decide(Stage.RCPT, TXN, {}, findings, policy(zones=(), **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "action"), [(0, Action.ACCEPT), (199, Action.ACCEPT), (200, Action.DEFER), (799, Action.DEFER)]
)
def test_a_finding_defers_from_its_score_on(score: int, action: Action) -> None:
    assert at_rcpt(GREYLISTED, scoring(score)).action is action


def test_what_refuses_is_not_told_to_come_back() -> None:
    assert at_rcpt(GREYLISTED, scoring(800)).action is Action.REJECT


def test_a_late_finding_defers_nobody() -> None:
    assert at_rcpt(GREYLISTED._replace(late=True), scoring(300)).action is Action.ACCEPT


def test_nobody_is_deferred_whom_an_unanswered_allow_list_may_trust() -> None:
    asked = policy(zones=(TRUST,))
    assert decide(Stage.RCPT, TXN, {}, (GREYLISTED, scoring(300)), asked).action is Action.DEFER
    unknown: Facts = {Listing("trust.example", "192.0.2.7"): UNKNOWN}
    assert decide(Stage.RCPT, TXN, unknown, (GREYLISTED, scoring(300)), asked).action is Action.ACCEPT


def test_the_reply_says_why_and_how_long() -> None:
    outcome = at_rcpt(GREYLISTED, scoring(300))
    reply = reply_for(outcome, ENVELOPE, policy(zones=()), "0123456789AB")
    assert str(reply) == "451 4.7.1 come back in 5 minutes (id 0123456789AB)"


@pytest.mark.parametrize("on_error", [OnError.DEFER, OnError.MARK])
def test_a_silent_list_is_waited_for_where_a_policy_says_so_and_a_disarmed_one_never(on_error: OnError) -> None:
    asked = lists_only(on_error=on_error, listings=ListingsKnobs((COP,)), received=ReceivedKnobs())

    def decided(why: str) -> Action:
        facts: Facts = {Listing("cop.example", "192.0.2.7"): Fact(Status.TEMPERROR, why=why)}
        early = decide(Stage.RCPT, TXN, facts, (), asked)
        return max(early.action, decide(Stage.EOM, TXN, facts, (), asked, early=early).action)

    assert decided("timeout") is (Action.DEFER if on_error is OnError.DEFER else Action.MARK)
    assert decided("disarmed: lists the world") is Action.ACCEPT


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.MARK])
def test_milder_modes_defer_nobody_and_mark_nobody_for_it(mode: Mode) -> None:
    early = at_rcpt(GREYLISTED, scoring(300), mode=mode)
    assert (early.action, early.would) == (Action.ACCEPT, Action.DEFER)
    end = decide(Stage.EOM, TXN, {}, early.findings, policy(zones=(), mode=mode), early=early)
    assert (end.action, end.would) == (Action.ACCEPT, Action.DEFER)


def test_mail_for_the_postmaster_is_never_deferred() -> None:
    policies = PolicySet(policy(zones=(), on_error=OnError.DEFER), {}, SITE)
    assert not policies.find(POSTMASTER).refuses
    outcome = decide(Stage.RCPT, TXN, {}, (GREYLISTED, scoring(300)), policies.find(POSTMASTER))
    assert outcome.action is Action.ACCEPT


def at_end(mode: Mode = Mode.ENFORCE, dmarc: AfterData = AfterData.REJECT, *, late: bool = False) -> Outcome:
    asked = policy(zones=(), mode=mode, dmarc=dmarc)
    return decide(Stage.EOM, TXN, {}, (UNALIGNED._replace(late=late),), asked)


@pytest.mark.parametrize(
    ("mode", "action"), [(Mode.ENFORCE, Action.REJECT), (Mode.MARK, Action.MARK), (Mode.OBSERVE, Action.ACCEPT)]
)
def test_an_opt_in_refuses_after_data_as_far_as_the_mode_goes(mode: Mode, action: Action) -> None:
    outcome = at_end(mode)
    assert (outcome.action, outcome.would) == (action, Action.REJECT)


def test_without_the_opt_in_the_same_finding_only_weighs() -> None:
    assert at_end(dmarc=AfterData.WEIGH).action is Action.MARK


def test_a_late_finding_refuses_nothing_after_data() -> None:
    assert at_end(late=True).action is Action.MARK


def test_the_reply_after_data_names_what_was_opted_in_to() -> None:
    strict = policy(zones=(), dmarc=AfterData.REJECT)
    outcome = decide(Stage.EOM, TXN, {}, (scoring(700), UNALIGNED), strict)
    assert str(reply_for(outcome, ENVELOPE, strict, "ID")) == "550 5.7.1 Refused: example.net asks to reject it (id ID)"


def test_a_message_is_refused_after_data_only_where_all_refuse_it() -> None:
    refused, accepted = at_end(), at_end(dmarc=AfterData.WEIGH)._replace(action=Action.ACCEPT)
    two = [policy(), policy()]
    assert combine([refused, refused], two).action is Action.REJECT
    both = combine([refused, accepted], two)
    assert both.action is Action.ACCEPT
    assert [outcome.action for outcome in both.outcomes] == [Action.QUARANTINE, Action.ACCEPT]
    without = combine([refused, accepted], two, may_readdress=False)
    assert [outcome.action for outcome in without.outcomes] == [Action.MARK, Action.ACCEPT]
    assert both.outcomes[0].would is Action.REJECT
    assert both.outcomes[0].reply is None


def test_recipients_of_one_policy_share_an_outcome_unless_a_check_looks_at_them() -> None:
    policies = PolicySet(policy(zones=()), {}, SITE)
    paths = [parse_path(b"<a@example.org>"), parse_path(b"<b@example.org>")]
    recipients, verdict = judge_all(TXN, {}, policies, paths, "ID", ended="eom")
    distinct = 2 if policies.default.per_recipient else 1
    told, asked = shown(recipients, verdict)
    assert len(verdict.outcomes) == len(told.outcomes) == len(asked) == distinct
