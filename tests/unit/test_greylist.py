"""Who has to come back, who did, who never has to; and what is kept of it."""

from dataclasses import replace

import pytest

from earmark.core.authentication.spf_identity import identity
from earmark.core.checks.greylist import ANYBODY, GREYLIST, GreylistKnobs
from earmark.core.effects import Attempt, Effect, Passed
from earmark.core.evidence import Fact, Facts, Finding, Greylisting, Points, Question, Status
from earmark.core.mail import Client, Envelope, Site, parse_path
from earmark.core.verdict import Action

AT = 1_700_000_000.0
KNOBS = GreylistKnobs(enabled=True)
ENVELOPE = Envelope(
    Client("192.0.2.7"),
    Site(),
    "mail.example.net",
    parse_path(b"<a@example.net>"),
    AT,
    recipient=parse_path(b"<bob@example.org>"),
    id="SECOND",
)
TRIPLET = Greylisting("192.0.2.0/24", "example.net", "example.org")
PAIR = TRIPLET._replace(recipient=ANYBODY)
NONE = Fact(Status.NONE)


def seen(ago: float) -> Fact:
    return Fact(Status.FAIL, (repr(AT - ago), "FIRST"))


def passed(ago: float, times: int = 1) -> Fact:
    return Fact(Status.PASS, (repr(AT - 90_000), repr(AT - ago), str(times)))


def facts(own: Fact = NONE, pair: Fact = NONE, spf: Status = Status.NONE) -> dict[Question, Fact]:
    asked = identity(ENVELOPE)
    assert asked is not None
    return {asked: Fact(spf), TRIPLET: own, PAIR: pair}


def found(known: Facts, envelope: Envelope = ENVELOPE, knobs: GreylistKnobs = KNOBS) -> list[Finding]:
    return list(GREYLIST.examine(envelope, known, knobs))


def kept(known: Facts, action: Action, knobs: GreylistKnobs = KNOBS) -> list[Effect]:
    return list(GREYLIST.effects(ENVELOPE, known, knobs, action))


def test_it_is_off_unless_switched_on() -> None:
    off = GreylistKnobs()
    assert not off.enabled
    assert not list(GREYLIST.wants(ENVELOPE, {}, off))
    assert not found(facts(), knobs=off)
    assert not kept(facts(), Action.DEFER, off)


def test_who_was_never_seen_has_to_come_back_and_is_told_when() -> None:
    (finding,) = found(facts())
    assert (finding.name, finding.score, finding.defer_at) == ("GREYLISTED", 0, KNOBS.from_score)
    assert finding.why == "greylisted, not seen before: come back in 5 minutes"
    assert finding.question == TRIPLET


@pytest.mark.parametrize(
    ("ago", "why"),
    [
        (0, "greylisted, first seen 0 seconds ago: come back in 5 minutes"),
        (90.5, "greylisted, first seen 91 seconds ago: come back in 4 minutes"),
        (121, "greylisted, first seen 3 minutes ago: come back in 3 minutes"),
        (299.5, "greylisted, first seen 5 minutes ago: come back in 1 second"),
    ],
)
def test_who_comes_back_too_early_is_told_how_long_it_still_is(ago: float, why: str) -> None:
    (finding,) = found(facts(seen(ago)))
    assert (finding.name, finding.why) == ("GREYLISTED", why)


def test_who_comes_back_in_time_passes_and_the_first_attempt_is_named() -> None:
    (finding,) = found(facts(seen(420)))
    assert (finding.name, finding.score, finding.defer_at) == ("GREYLIST_PASSED", 0, None)
    assert finding.why == "came back 7 minutes after the first attempt, verdict FIRST"


def test_a_clock_that_was_ahead_when_it_was_noted_keeps_nobody_out() -> None:
    tomorrow = facts(seen(-86_400))
    assert [finding.name for finding in found(tomorrow)] == ["GREYLIST_PASSED"]
    assert [type(effect) for effect in kept(tomorrow, Action.ACCEPT)] == [Passed, Passed]
    assert [finding.name for finding in found(facts(seen(-2)))] == ["GREYLISTED"], "nodes differ by seconds"


def test_who_passed_before_passes_without_a_word() -> None:
    assert not found(facts(passed(50_000)))


@pytest.mark.parametrize(("times", "waits"), [(0, True), (1, True), (2, False), (9, False)])
def test_who_came_back_for_others_need_not_wait(times: int, *, waits: bool) -> None:
    assert bool(found(facts(pair=passed(50_000, times)))) is waits


def test_proof_by_others_can_be_switched_off() -> None:
    knobs = replace(KNOBS, proven_after=0)
    assert PAIR not in list(GREYLIST.wants(ENVELOPE, facts(), knobs))
    assert found(facts(pair=passed(50_000, 9)), knobs=knobs)


@pytest.mark.parametrize("unknown", [TRIPLET, PAIR, identity(ENVELOPE)])
@pytest.mark.parametrize("action", [Action.ACCEPT, Action.DEFER])
def test_what_is_unknown_makes_nobody_wait_and_is_not_built_on(unknown: Question, action: Action) -> None:
    known = facts() | {unknown: Fact(Status.TEMPERROR, why="state unavailable")}
    assert not found(known)
    if unknown != PAIR:
        assert not kept(known, action)


def test_the_null_sender_is_never_asked_about() -> None:
    bounce = replace(ENVELOPE, sender=parse_path(b"<>"))
    assert not list(GREYLIST.wants(bounce, {}, KNOBS))
    assert not found(facts(), bounce)


def test_nothing_is_asked_before_there_is_a_recipient() -> None:
    assert not list(GREYLIST.wants(replace(ENVELOPE, recipient=parse_path(b"")), facts(), KNOBS))


def test_spf_is_asked_first_and_a_pass_makes_the_domain_the_origin() -> None:
    asked = identity(ENVELOPE)
    assert list(GREYLIST.wants(ENVELOPE, {}, KNOBS)) == [asked]
    by_domain = TRIPLET._replace(origin="example.net")
    wanted = list(GREYLIST.wants(ENVELOPE, facts(spf=Status.PASS), KNOBS))
    assert wanted == [asked, by_domain, by_domain._replace(recipient=ANYBODY)]
    wanted = list(GREYLIST.wants(ENVELOPE, facts(spf=Status.SOFTFAIL), KNOBS))
    assert wanted == [asked, TRIPLET, PAIR]


def test_the_network_of_an_ipv6_client_is_a_64() -> None:
    envelope = replace(ENVELOPE, client=Client("2001:db8::7"))
    asked = identity(envelope)
    assert asked is not None
    wanted = list(GREYLIST.wants(envelope, {asked: NONE}, KNOBS))
    assert isinstance(wanted[1], Greylisting)
    assert wanted[1].origin == "2001:db8::/64"


def test_a_key_is_bounded_whatever_the_client_says() -> None:
    envelope = replace(ENVELOPE, sender=parse_path(b"<a@" + b"x" * 5000 + b">"))
    wanted = [asked for asked in GREYLIST.wants(envelope, facts(), KNOBS) if isinstance(asked, Greylisting)]
    assert wanted
    assert all(len(asked.sender) <= 255 for asked in wanted)


def test_an_attempt_is_kept_with_its_verdict_for_as_long_as_coming_back_counts() -> None:
    assert kept(facts(), Action.DEFER) == [Attempt(TRIPLET, AT, 48 * 3600, "SECOND")]
    assert kept(facts(seen(60)), Action.DEFER) == [Attempt(TRIPLET, AT, 48 * 3600, "SECOND")]


def test_who_came_back_is_kept_as_passed_for_itself_and_for_the_proof() -> None:
    keep = 35 * 86400
    assert kept(facts(seen(420)), Action.ACCEPT) == [Passed(TRIPLET, AT, keep), Passed(PAIR, AT, keep)]


@pytest.mark.parametrize("known", [NONE, seen(10), passed(10)])
def test_nothing_is_kept_of_who_was_let_in_without_having_waited(known: Fact) -> None:
    assert not kept(facts(known), Action.ACCEPT)


@pytest.mark.parametrize("known", [NONE, seen(10), seen(420), passed(10), passed(90_000)])
def test_nothing_is_kept_of_who_was_refused(known: Fact) -> None:
    assert not kept(facts(known), Action.REJECT)


def test_who_came_back_and_is_deferred_for_another_reason_has_not_passed_yet() -> None:
    assert not kept(facts(seen(420)), Action.DEFER)


def test_who_keeps_coming_is_noted_again_once_an_hour() -> None:
    keep = 35 * 86400
    assert kept(facts(passed(3700)), Action.ACCEPT) == [Passed(TRIPLET, AT, keep)]
    assert kept(facts(NONE, passed(3700, 2)), Action.ACCEPT) == [Passed(PAIR, AT, keep)]
    assert not kept(facts(NONE, passed(3700, 1)), Action.ACCEPT), "that would prove what is not proven"


def test_the_band_begins_where_the_policy_says() -> None:
    (finding,) = found(facts(), knobs=replace(KNOBS, from_score=Points(450)))
    assert finding.defer_at == 450
