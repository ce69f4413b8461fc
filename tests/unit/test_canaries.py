"""What lists and resolvers that go wrong are found to be, round by round, without a clock."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.core.canaries import (
    CALM,
    FEWEST,
    LIMIT,
    MORE_STRANGERS,
    MOST,
    Condition,
    Judged,
    Outcome,
    Seen,
    State,
    fixed_entries,
    is_public_resolver,
    is_suspicious,
    judge_round,
    next_state,
    stranger,
)
from earmark.core.evidence import Fact, Points, Status
from earmark.core.zones import Code, Zone, ZoneKind, is_public

LISTED = Code("LISTED", 0x7F000002, 0x7F000004, 0xFFFFFFFF, Points(800), "listed", "address", deep=True)
BLOCK = Zone("bl.example", "owner", ZoneKind.BLOCK, (LISTED,))
OTHER = BLOCK._replace(name="other.example")
ALLOW = BLOCK._replace(name="wl.example", kind=ZoneKind.ALLOW)
NAMES = BLOCK._replace(name="names.example", names=True)
ALL_STRANGERS = 1 + sum(MORE_STRANGERS)

NXDOMAIN = Fact(Status.NONE, ttl=60, why="NXDOMAIN", source="127.0.0.1:53")
NODATA = NXDOMAIN._replace(why="NODATA")
TIMEOUT = Fact(Status.TEMPERROR, why="timeout", source="127.0.0.1:53")
SERVFAIL = TIMEOUT._replace(why="SERVFAIL")


def address(*answers: str, ttl: int = 60) -> Fact:
    return Fact(Status.PASS, answers, ttl, source="127.0.0.1:53")


ENTRY = address("127.0.0.2")


def seen(
    listed: Fact | None = ENTRY, unlisted: Fact | None = NXDOMAIN, strangers: Sequence[Fact] = (NXDOMAIN,)
) -> Seen:
    return Seen(listed, unlisted, tuple(strangers))


def everybody(answer: Fact) -> Seen:
    """What a list shows that says the same of everything it is asked."""
    return seen(answer, answer, [answer] * (ALL_STRANGERS if is_suspicious(BLOCK, [answer]) else 1))


def judged(zone: Zone, answers: Seen, *, rewritten: bool = False) -> Judged:
    return judge_round({zone.name: zone}, {zone.name: answers}, rewritten=rewritten)[zone.name]


def after(rounds: Iterable[Judged], state: State | None = None) -> State:
    state = state or State()
    for one in rounds:
        state = next_state(state, one)
    return state


GOOD = Judged(Outcome.GOOD)
BAD = Judged(Condition.LISTS_WORLD, lasts=60)
SILENT = Judged(Outcome.SILENT)
ARMED = after([GOOD])


@pytest.mark.parametrize(
    ("zone", "answers", "what"),
    [
        (BLOCK, seen(), Outcome.GOOD),
        (BLOCK, seen(unlisted=NODATA, strangers=[NODATA]), Outcome.GOOD),
        (BLOCK, seen(None, None), Outcome.GOOD),
        (BLOCK, everybody(address("127.0.0.2")), Condition.LISTS_WORLD),
        (BLOCK, everybody(address("127.0.0.99")), Condition.LISTS_WORLD),
        (ALLOW, everybody(address("127.0.10.3")), Condition.TRUSTS_WORLD),
        (NAMES, everybody(address("127.0.1.2")), Condition.LISTS_WORLD),
        (BLOCK, seen(None, None, [ENTRY] * ALL_STRANGERS), Condition.LISTS_WORLD),
        (BLOCK, seen(unlisted=address("127.0.0.1")), Condition.WRONG_ENTRY),
        (BLOCK, seen(NXDOMAIN), Condition.NO_ENTRY),
        (BLOCK, everybody(NXDOMAIN), Condition.NO_ENTRY),
        (BLOCK, everybody(address("127.255.255.252")), Condition.REFUSES),
        (BLOCK, everybody(address("127.255.255.254")), Condition.PUBLIC_RESOLVER),
        (ALLOW, everybody(address("127.255.255.254")), Condition.PUBLIC_RESOLVER),
        (BLOCK, seen(strangers=[address("127.255.255.255")]), Condition.REFUSES),
        (BLOCK, everybody(address("203.0.113.250")), Condition.OUTSIDE),
        (BLOCK, everybody(TIMEOUT), Outcome.SILENT),
        (BLOCK, everybody(SERVFAIL), Outcome.SILENT),
        (BLOCK, seen(strangers=[TIMEOUT]), Outcome.SILENT),
        (BLOCK, seen(TIMEOUT), Outcome.UNDECIDED),
        (BLOCK, seen(unlisted=TIMEOUT), Outcome.UNDECIDED),
    ],
)
def test_one_round_says_what_is_the_matter(zone: Zone, answers: Seen, what: Condition | Outcome) -> None:
    assert judged(zone, answers).what is what


def test_a_refusal_to_a_well_known_resolver_is_blamed_on_the_resolver() -> None:
    refused = Fact(Status.PASS, ("127.255.255.255",), 60, source="8.8.8.8:53")
    assert judged(BLOCK, everybody(refused)).what is Condition.PUBLIC_RESOLVER
    assert is_public_resolver("[2001:4860:4860::8888]:53")
    assert is_public_resolver("[2001:4860:4860:0::8888]:53")
    assert not is_public_resolver("127.0.0.1:53")
    assert not is_public_resolver("FILE")


def test_an_address_for_a_name_that_cannot_exist_is_the_resolvers_doing() -> None:
    invented = everybody(address("203.0.113.250"))
    assert judged(BLOCK, invented, rewritten=True).what is Condition.REWRITTEN
    assert judged(BLOCK, seen(), rewritten=True).what is Outcome.GOOD


def test_entries_without_an_address_in_every_list_are_the_resolvers_doing() -> None:
    zones = {zone.name: zone for zone in (BLOCK, OTHER)}
    stripped = judge_round(zones, dict.fromkeys(zones, seen(NODATA)), rewritten=False)
    assert {one.what for one in stripped.values()} == {Condition.STRIPPED}
    one_has_it = judge_round(zones, {"bl.example": seen(NODATA), "other.example": seen()}, rewritten=False)
    assert one_has_it["bl.example"].what is Condition.NO_ENTRY
    one_is_silent = judge_round(zones, {"bl.example": seen(NODATA), "other.example": seen(TIMEOUT)}, rewritten=False)
    assert one_is_silent["bl.example"].what is Condition.STRIPPED
    one_was_not_asked = judge_round(zones, {"bl.example": seen(NODATA)}, rewritten=False)
    assert one_was_not_asked["bl.example"].what is Condition.NO_ENTRY


@pytest.mark.parametrize("listed", [1, 4, 15])
def test_a_list_with_many_addresses_does_not_list_the_world(listed: int) -> None:
    answers = seen(strangers=[ENTRY] * listed + [NXDOMAIN])
    assert judged(BLOCK, answers).what is Outcome.GOOD


def test_a_list_with_two_addresses_in_five_on_it_is_wronged_less_than_once_a_year() -> None:
    rounds_a_year = 365 * 86400 / 22
    assert 0.4**ALL_STRANGERS * rounds_a_year < 1


def test_lost_answers_do_not_hide_a_world_that_is_listed() -> None:
    some_lost = seen(strangers=[ENTRY] * 13 + [TIMEOUT] * 3)
    most_lost = seen(strangers=[ENTRY] * 4 + [TIMEOUT] * 12)
    assert judged(BLOCK, some_lost).what is Condition.LISTS_WORLD
    assert judged(BLOCK, most_lost).what is Outcome.UNDECIDED


def test_a_list_counts_from_its_first_good_round_on() -> None:
    assert State().condition is Condition.UNCHECKED
    assert after([SILENT, Judged(Outcome.UNDECIDED)]).condition is Condition.UNCHECKED
    assert after([GOOD]).condition is Condition.ARMED


@pytest.mark.parametrize("condition", [one for one in Condition if one not in (Condition.ARMED, Condition.UNCHECKED)])
def test_what_is_wrong_disarms_at_once(condition: Condition) -> None:
    assert after([GOOD] * 100 + [Judged(condition)]).condition is condition


def test_silence_and_lost_answers_disarm_nothing() -> None:
    assert after([SILENT] * 50 + [Judged(Outcome.UNDECIDED)], ARMED) == ARMED


def test_it_takes_good_rounds_in_a_row_to_be_believed_again() -> None:
    disarmed = after([BAD], ARMED)
    assert after([GOOD] * (disarmed.needed - 1), disarmed).condition is Condition.LISTS_WORLD
    assert after([GOOD] * disarmed.needed, disarmed).condition is Condition.ARMED
    broken_off = [GOOD] * (disarmed.needed - 1) + [SILENT] + [GOOD] * (disarmed.needed - 1)
    assert after(broken_off, disarmed).condition is Condition.LISTS_WORLD


def test_a_flapping_list_is_believed_ever_more_slowly_and_never_while_it_flaps() -> None:
    state, needed = after([BAD], ARMED), []
    for _ in range(8):
        needed.append(state.needed)
        assert after([GOOD, BAD] * 100, state).condition is not Condition.ARMED
        state = after([GOOD] * state.needed + [BAD], state)
    assert needed[0] >= FEWEST
    assert needed == sorted(needed)
    assert needed[-1] == MOST
    calmed = after([GOOD] * (MOST + CALM), state)
    assert after([BAD], calmed).needed == after([BAD], ARMED).needed, "an hour without a relapse is enough"


@pytest.mark.parametrize("ttl", [60, 300, 3600])
def test_a_list_is_not_believed_again_while_caches_may_hold_its_wrong_listings(ttl: int) -> None:
    disarmed = after([judged(BLOCK, everybody(address("127.0.0.2", ttl=ttl)))], ARMED)
    assert disarmed.needed * 18 >= ttl
    assert disarmed.needed <= LIMIT


def test_a_state_fits_into_bytes_whatever_happens() -> None:
    state = State()
    for number in range(2000):
        state = next_state(state, BAD._replace(lasts=3600) if number % 700 == 699 else GOOD)
        assert 0 <= state.good <= 255
        assert 1 <= state.needed <= 255


def test_the_fixed_entries_are_those_of_rfc_5782() -> None:
    assert fixed_entries(BLOCK) == ("2.0.0.127", "1.0.0.127")
    assert fixed_entries(NAMES) == ("test", "invalid")
    assert fixed_entries(BLOCK._replace(listed_canary=False)) == ("", "1.0.0.127")
    assert fixed_entries(BLOCK._replace(unlisted_canary=False)) == ("2.0.0.127", "")
    listed, unlisted = fixed_entries(BLOCK._replace(ipv4=False, ipv6=True))
    assert listed == "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20
    assert unlisted == "1" + listed[1:]


@given(st.binary(min_size=16, max_size=16))
def test_strangers_are_public_addresses_or_names(noise: bytes) -> None:
    octets = stranger(BLOCK, noise).split(".")
    assert is_public(".".join(reversed(octets)))
    nibbles = "".join(reversed(stranger(BLOCK._replace(ipv4=False, ipv6=True), noise).split(".")))
    assert is_public(":".join(nibbles[at : at + 4] for at in range(0, 32, 4)))
    label, _, rest = stranger(NAMES, noise).partition(".")
    assert rest == "com"
    assert label.isalnum()
    assert label[0].isalpha()
