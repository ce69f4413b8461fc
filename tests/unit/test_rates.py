"""What is counted of a message and of a recipient, and what an empty bucket does."""

from dataclasses import replace

from earmark.core.checks.check import UNLESS_ALLOWED
from earmark.core.checks.rates import NO_LIMIT, RATES, Limit, RatesKnobs
from earmark.core.evidence import Fact, Finding, Origin, Points, Question, Status, Taking
from earmark.core.mail import Client, Envelope, Site, parse_path
from earmark.core.policy import PolicySet
from earmark.engine import Engine
from fakes.policies import SITE, policy
from fakes.world import FakeWorld

LIMIT = Limit("30/60")
ALL = RatesKnobs(LIMIT, LIMIT, LIMIT, LIMIT, LIMIT, score=Points(150))
ENVELOPE = Envelope(
    Client("192.0.2.7"),
    Site(),
    sender=parse_path(b"<a@example.net>"),
    user="bob",
    recipient=parse_path(b"<Bob@example.org>"),
)
OVER = Fact(Status.FAIL, ("0", "12"))


def wanted(envelope: Envelope, knobs: RatesKnobs = ALL) -> list[tuple[str, str]]:
    asked = list(RATES.wants(envelope, {}, knobs))
    assert all(isinstance(each, Taking) and each.limit == LIMIT for each in asked)
    return [(each.bucket, each.key) for each in asked if isinstance(each, Taking)]


def found(over: list[Question], knobs: RatesKnobs = ALL) -> list[Finding]:
    return list(RATES.examine(ENVELOPE, dict.fromkeys(over, OVER), knobs))


def test_without_limits_nothing_is_asked() -> None:
    assert not list(RATES.wants(ENVELOPE, {}, RatesKnobs()))


def test_each_limit_has_its_bucket() -> None:
    assert wanted(ENVELOPE) == [
        ("client", "192.0.2.7"),
        ("network", "192.0.2.0/24"),
        ("sender", "example.net"),
        ("recipient", "bob@example.org"),
        ("user", "bob"),
    ]
    assert wanted(replace(ENVELOPE, client=Client("2001:db8::7"), user=""))[:2] == [
        ("client", "2001:db8::7"),
        ("network", "2001:db8::/64"),
    ]
    assert wanted(ENVELOPE, RatesKnobs(user=LIMIT)) == [("user", "bob")]


def test_a_second_recipient_takes_a_token_of_its_own_and_none_of_the_messages() -> None:
    first, second = (
        set(wanted(replace(ENVELOPE, recipient=parse_path(each)))) for each in (b"<a@x.example>", b"<b@x>")
    )
    assert first - second == {("recipient", "a@x.example")}
    assert second - first == {("recipient", "b@x")}


def test_the_null_sender_is_never_counted() -> None:
    assert not wanted(replace(ENVELOPE, sender=parse_path(b"<>")))


def test_an_exempt_session_is_counted_but_for_its_client_and_network() -> None:
    assert RATES.of_exempt
    assert [bucket for bucket, _ in wanted(replace(ENVELOPE, exempt="authenticated as bob"))] == [
        "sender",
        "recipient",
        "user",
    ]


def test_a_key_is_bounded_whatever_the_client_says() -> None:
    envelope = replace(ENVELOPE, sender=parse_path(b"<a@" + b"x" * 5000 + b">"), user="u" * 5000)
    assert all(len(key) <= 320 for _, key in wanted(envelope))


def test_what_is_not_over_its_limit_or_not_known_finds_nothing() -> None:
    asked = list(RATES.wants(ENVELOPE, {}, ALL))
    for fact in (Fact(Status.PASS, ("3", "0")), Fact(Status.TEMPERROR, why="no answer")):
        assert not list(RATES.examine(ENVELOPE, dict.fromkeys(asked, fact), ALL))


def test_each_limit_that_is_exceeded_is_found_and_one_bears_the_score() -> None:
    findings = found(list(RATES.wants(ENVELOPE, {}, ALL)))
    assert [(each.name, each.origin, each.score) for each in findings] == [
        ("RATE_CLIENT", Origin.CONNECTION, 150),
        ("RATE_NETWORK", Origin.CONNECTION, 0),
        ("RATE_SENDER", Origin.ENVELOPE, 0),
        ("RATE_RECIPIENT", Origin.ENVELOPE, 0),
        ("RATE_USER", Origin.ENVELOPE, 0),
    ]
    assert all(each.defer_at is None for each in findings)
    assert findings[0].why == "client 192.0.2.7 has had its 30 messages in 60 s: come back in 12 s"
    assert findings[0].knob == "rates.client"


def test_a_limit_can_make_the_client_come_back_whatever_its_score() -> None:
    knobs = RatesKnobs(user=LIMIT, defer=True)
    (finding,) = found([Taking("user", "bob", LIMIT)], knobs)
    assert (finding.score, finding.defer_at) == (0, UNLESS_ALLOWED)
    assert knobs.client == NO_LIMIT


async def test_each_message_takes_a_token_even_where_the_client_greets_again_before_it() -> None:
    asked = policy(rates=RatesKnobs(client=LIMIT))
    world = FakeWorld()
    engine = Engine(PolicySet(asked, {}, SITE), world, "GEN", lambda _: None)
    session = engine.session()
    session.connect(Client("192.0.2.7"))
    for _ in range(3):
        session.helo(b"mail.example.net")
        session.mail(parse_path(b"<a@example.net>"))
        for recipient in (b"<bob@example.org>", b"<eve@example.org>"):
            session.rcpt(parse_path(recipient), lambda _: None)
        session.abort()
    session.close()
    assert world.asked.count("rate client 192.0.2.7 30/60") == 3
