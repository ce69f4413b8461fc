"""Lists of domain names: what is asked about whom, and what a listing counts."""

import pytest

from earmark.core.checks import domain_listings
from earmark.core.checks.domain_listings import DOMAIN_LISTINGS, DomainListingsKnobs, asked_domain
from earmark.core.evidence import DomainListing, Fact, Facts, Finding, Origin, Points, Question, ReverseName, Status
from earmark.core.mail import Client, Envelope, last_two_labels, parse_path
from earmark.core.zones import Zone
from fakes.policies import NAME_ZONES, NAMES, SENDERS, SITE, TRUSTED_NAMES

IP = "192.0.2.7"
REVERSE = ReverseName(IP)
KNOBS = DomainListingsKnobs(NAME_ZONES)


def envelope(
    sender: bytes = b"<a@mail.spam.example>", helo: str | None = "mx.greets.example", address: str = IP
) -> Envelope:
    return Envelope(Client(address), SITE, helo=helo, sender=parse_path(sender))


def asked(shown: Envelope, facts: Facts | None = None, *zones: Zone) -> list[Question]:
    return list(domain_listings.wants(shown, facts or {}, DomainListingsKnobs(zones or (NAMES,))))


def found(shown: Envelope, facts: Facts, knobs: DomainListingsKnobs = KNOBS) -> list[Finding]:
    return list(domain_listings.examine(shown, facts, knobs))


def listed(zone: Zone, domain: str, *answers: str) -> Facts:
    status = Status.PASS if zone.kind == "allow" else Status.FAIL
    return {DomainListing(zone.name, domain): Fact(status, answers or ("127.0.1.2",), 60)}


def test_the_registrable_domains_of_sender_helo_and_reverse_name_are_asked_about() -> None:
    facts: Facts = {REVERSE: Fact(Status.PASS, ("Host-7.Provider.Example.",), 60)}
    assert asked(envelope(), facts) == [
        REVERSE,
        DomainListing("names.example", "spam.example"),
        DomainListing("names.example", "greets.example"),
        DomainListing("names.example", "provider.example"),
    ]


def test_a_domain_that_several_names_show_is_asked_about_once() -> None:
    facts: Facts = {REVERSE: Fact(Status.PASS, ("out.spam.example",), 60)}
    shown = envelope(helo="mx.spam.example")
    assert asked(shown, facts)[1:] == [DomainListing("names.example", "spam.example")]


@pytest.mark.parametrize("status", [Status.FAIL, Status.NONE, Status.TEMPERROR])
def test_a_reverse_name_that_is_not_confirmed_is_nobodys(status: Status) -> None:
    facts: Facts = {REVERSE: Fact(status, ("out.provider.example",), 60)}
    assert DomainListing("names.example", "provider.example") not in asked(envelope(), facts)


def test_a_list_is_asked_only_what_its_terms_allow() -> None:
    assert asked(envelope(), None, SENDERS) == [DomainListing("senders.example", "spam.example")]
    assert asked(envelope(b"<>"), None, SENDERS) == []


def test_the_null_sender_leaves_the_other_names() -> None:
    assert asked(envelope(b"<>", address="10.0.0.1")) == [DomainListing("names.example", "greets.example")]


@pytest.mark.parametrize("helo", ["mx.example.org", "pc.example.org", "example.org"])
def test_no_list_is_asked_about_our_own_names(helo: str) -> None:
    assert asked(envelope(b"<a@example.org>", helo, "10.0.0.1")) == []


def test_a_liar_who_greets_as_ourselves_is_still_asked_about_by_the_names_that_are_not_ours() -> None:
    assert asked(envelope(helo="mx.example.org"))[1:] == [DomainListing("names.example", "spam.example")]
    shown = envelope(b"<a@example.org>", "mx.greets.example")
    assert asked(shown)[1:] == [DomainListing("names.example", "greets.example")]


def test_a_domain_of_ours_below_another_registrable_one_is_not_asked_about() -> None:
    shown = envelope(b"<a@dept.university.example>")
    shown.site = SITE._replace(domains=frozenset({"dept.university.example"}))
    assert asked(shown)[1:] == [DomainListing("names.example", "greets.example")]


def test_international_names_are_asked_about_as_a_labels() -> None:
    shown = envelope("<a@post.bücher.example>".encode(), "mx.BÜCHER.example", "10.0.0.1")
    assert asked(shown) == [DomainListing("names.example", "xn--bcher-kva.example")]


NO_DOMAINS = [
    "192.0.2.7", "192.0.2.7.", "[192.0.2.7]", "[IPv6:2001:db8::7]", "2001:db8::7", "::ffff:192.0.2.7", "3221225991",
    "0xc0000207", "0xc0.0.2.7", "192.0.519", "192.0.2.0x7", "0300.0.02.07", "7.2.0.192.in-addr.arpa", "1.e164.arpa",
    "7.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "192.0.2.7.1", "localhost", "com", "", ".", "a..example",
    "-a.example", "a b.example", "a.example\0", "a_.example-", "a.e", "x" * 64 + ".example", "a." * 127 + "example",
    "*.example",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_DOMAINS)
def test_what_is_an_address_or_no_domain_is_never_asked_about(name: str) -> None:
    assert asked_domain(name.rstrip(".") if name != "." else name, last_two_labels) == ""
    shown = envelope(b"<a@" + name.encode() + b">", name, "10.0.0.1")
    assert asked(shown) == []


def test_a_public_suffix_is_nobodys_domain() -> None:
    assert asked_domain("co.example", lambda _: "") == ""


def test_a_listing_says_which_name_it_is_about() -> None:
    (one,) = found(envelope(helo="mx.spam.example"), listed(NAMES, "spam.example"))
    assert (one.name, one.origin, one.score, one.knob) == ("NAMES_SPAM", Origin.ENVELOPE, 400, "zones.NAMES_SPAM")
    assert one.why == "spam.example (sender, HELO name) is listed by names.example (names_spam)"
    assert one.question == DomainListing("names.example", "spam.example")


@pytest.mark.parametrize(("heavy", "light"), [("spam.example", "greets.example"), ("greets.example", "spam.example")])
def test_one_owner_counts_once_over_all_lists_and_names_with_its_heaviest_code(heavy: str, light: str) -> None:
    facts = {
        **listed(NAMES, heavy),
        **listed(SENDERS, "spam.example"),
        **listed(NAMES, light, "127.0.1.102"),
    }
    assert [(one.name, one.score) for one in found(envelope(), facts)] == [("NAMES_SPAM", 400)]


def test_the_heaviest_of_several_codes_counts() -> None:
    (one,) = found(envelope(), listed(NAMES, "spam.example", "127.0.1.102", "127.0.1.2"))
    assert one.name == "NAMES_SPAM"


def test_a_policy_may_weigh_a_code_otherwise() -> None:
    knobs = DomainListingsKnobs(NAME_ZONES, {"NAMES_SPAM": Points(100)})
    (one,) = found(envelope(), listed(NAMES, "spam.example"), knobs)
    assert (one.score, one.knob) == (100, "domain_listings.weights.NAMES_SPAM")


def test_an_answer_about_a_name_that_this_list_may_not_be_asked_about_counts_nothing() -> None:
    assert found(envelope(), listed(SENDERS, "greets.example")) == []


@pytest.mark.parametrize("fact", [Fact(Status.TEMPERROR), Fact(Status.NONE), Fact(Status.FAIL, ("127.0.1.9",))])
def test_what_is_no_listing_counts_nothing(fact: Fact) -> None:
    assert found(envelope(), {DomainListing("names.example", "spam.example"): fact}) == []


def test_an_allow_list_of_names_speaks_for_the_sender_and_its_silence_is_credited() -> None:
    (one,) = found(envelope(), listed(TRUSTED_NAMES, "spam.example"))
    assert (one.name, one.score) == ("NAME_TRUSTED", -300)
    assert DOMAIN_LISTINGS.relief(DomainListing("trusted-names.example", "spam.example"), envelope(), {}, KNOBS) == -300
    assert DOMAIN_LISTINGS.relief(DomainListing("names.example", "spam.example"), envelope(), {}, KNOBS) == 0


def test_a_reverse_name_that_is_not_known_is_credited_with_what_an_allow_list_could_say_of_it() -> None:
    assert DOMAIN_LISTINGS.relief(REVERSE, envelope(), {}, KNOBS) == -300
    others = DomainListingsKnobs((NAMES, TRUSTED_NAMES._replace(reverse=False)))
    assert DOMAIN_LISTINGS.relief(REVERSE, envelope(), {}, others) == 0
