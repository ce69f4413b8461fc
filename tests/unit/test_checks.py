"""What each check asks and finds, with literal facts."""

import pytest

from earmark.core.checks import CHECKS, EnvelopeCheck
from earmark.core.checks import client as client_check
from earmark.core.checks import helo as helo_check
from earmark.core.checks import listings as listings_check
from earmark.core.checks import received as received_check
from earmark.core.checks import sender as sender_check
from earmark.core.evidence import Fact, Facts, Finding, HostAddress, Listing, MailHosts, Origin, ReverseName, Status
from earmark.core.mail import Client, Envelope, Hop, Message, Transaction, parse_path
from fakes.policies import COP, SISTER, SITE, ZEN, knobs

IP = "192.0.2.7"
KNOBS = knobs()


def envelope(address: str = IP, helo: str | None = "mail.example.net", sender: bytes = b"<a@example.net>") -> Envelope:
    return Envelope(Client(address), SITE, helo=helo, sender=parse_path(sender))


def names(findings: object) -> list[str]:
    return [finding.name for finding in findings]  # type: ignore[attr-defined]


def listed(*answers: str) -> Fact:
    return Fact(Status.FAIL, answers, 60)


def test_the_checks_stand_in_the_order_of_their_stages_and_those_of_one_name_share_a_section() -> None:
    assert [check.stage for check in CHECKS] == sorted(check.stage for check in CHECKS)
    assert len({check.name for check in CHECKS}) == len({(check.name, check.knobs) for check in CHECKS})


def test_only_envelope_checks_have_an_origin_that_refuses() -> None:
    for check in CHECKS:
        assert isinstance(check, EnvelopeCheck) == (check.origin in {Origin.CONNECTION, Origin.ENVELOPE})


class TestListings:
    def test_every_zone_is_asked_about_a_public_client(self) -> None:
        asked = list(listings_check.wants(envelope(), {}, KNOBS["listings"]))
        assert asked == [
            Listing(name, IP) for name in ("zen.example", "sister.example", "cop.example", "trust.example")
        ]

    def test_only_zones_for_its_family_are_asked_about_an_ipv6_client(self) -> None:
        asked = list(listings_check.wants(envelope("2001:db8::7"), {}, KNOBS["listings"]))
        assert asked == [Listing("zen.example", "2001:db8::7")]

    @pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "100.64.0.1", "169.254.1.1", "::1", "fe80::1", ""])
    def test_nothing_is_asked_about_an_address_that_is_not_public(self, address: str) -> None:
        assert list(listings_check.wants(envelope(address), {}, KNOBS["listings"])) == []

    def find(self, facts: Facts) -> list[Finding]:
        return list(listings_check.examine(envelope(), facts, KNOBS["listings"]))

    def test_the_heaviest_code_of_a_zone_counts_once(self) -> None:
        found = self.find({Listing("zen.example", IP): listed("127.0.0.10", "127.0.0.4")})
        assert [(one.name, one.score, one.origin) for one in found] == [("ZEN_XBL", 800, Origin.CONNECTION)]
        assert found[0].why == "192.0.2.7 is listed by zen.example (zen_xbl)"

    def test_lists_of_one_owner_count_once(self) -> None:
        facts: Facts = {
            Listing("zen.example", IP): listed("127.0.0.4"),
            Listing("sister.example", IP): listed("127.0.0.2"),
        }
        assert names(self.find(facts)) == ["ZEN_XBL"]

    def test_lists_of_two_owners_add_up(self) -> None:
        facts: Facts = {
            Listing("cop.example", IP): listed("127.0.0.2"),
            Listing("sister.example", IP): listed("127.0.0.2"),
        }
        assert sum(one.score for one in self.find(facts)) == 800

    def test_an_allow_list_speaks_for_the_client(self) -> None:
        found = self.find({Listing("trust.example", IP): Fact(Status.PASS, ("127.0.5.3",), 60)})
        assert [(one.name, one.score) for one in found] == [("TRUST_HIGH", -400)]
        assert listings_check.relief(Listing("trust.example", IP), envelope(), {}, KNOBS["listings"]) == -400

    def test_an_unknown_finds_nothing(self) -> None:
        assert self.find({Listing("zen.example", IP): Fact(Status.TEMPERROR, why="timeout")}) == []

    def test_a_domains_own_weight_replaces_the_code_books(self) -> None:
        lighter = listings_check.ListingsKnobs((ZEN,), {"ZEN_XBL": 300})  # type: ignore[dict-item]
        found = list(listings_check.examine(envelope(), {Listing("zen.example", IP): listed("127.0.0.4")}, lighter))
        assert [(one.score, one.knob) for one in found] == [(300, "listings.weights.ZEN_XBL")]


class TestClient:
    def find(self, fact: Fact) -> list[str]:
        return names(client_check.examine(envelope(), {ReverseName(IP): fact}, KNOBS["client"]))

    def test_a_confirmed_ordinary_name_finds_nothing(self) -> None:
        assert self.find(Fact(Status.PASS, ("mail.example.net",))) == []

    def test_a_missing_name_an_unconfirmed_and_a_generic_one_are_found(self) -> None:
        assert self.find(Fact(Status.NONE)) == ["NO_PTR"]
        assert self.find(Fact(Status.FAIL, ("host.example.net",))) == ["PTR_UNCONFIRMED"]
        assert self.find(Fact(Status.PASS, ("7.pool.example.net",))) == ["PTR_GENERIC"]
        assert self.find(Fact(Status.FAIL, ("7.pool.example.net",))) == ["PTR_UNCONFIRMED", "PTR_GENERIC"]

    def test_a_failed_look_up_is_no_evidence(self) -> None:
        assert self.find(Fact(Status.TEMPERROR, why="SERVFAIL")) == []


class TestHelo:
    def find(self, helo: str | None, facts: Facts = {}, address: str = IP) -> list[str]:  # noqa: B006 - never changed
        return names(helo_check.examine(envelope(address, helo), facts, KNOBS["helo"]))

    @pytest.mark.parametrize(
        ("helo", "found"),
        [
            (None, ["HELO_MISSING"]),
            ("", ["HELO_SYNTAX"]),
            ("mail.example.net", []),
            ("Mail.Example.NET.", []),
            ("b\u00fccher.example", []),
            ("[192.0.2.7]", ["HELO_LITERAL"]),
            ("[IPv6:2001:db8::7]", ["HELO_LITERAL", "HELO_CONTRADICTION"]),
            ("[198.51.100.9]", ["HELO_LITERAL", "HELO_CONTRADICTION"]),
            ("[mail]", ["HELO_SYNTAX"]),
            ("192.0.2.7", ["HELO_BARE_ADDRESS"]),
            ("198.51.100.9", ["HELO_BARE_ADDRESS", "HELO_CONTRADICTION"]),
            ("localhost", ["HELO_UNQUALIFIED"]),
            ("mx.example.org", ["HELO_OURS"]),
            ("[198.51.100.25]", ["HELO_OURS"]),
            ("198.51.100.25", ["HELO_OURS"]),
            ("-bad.example", ["HELO_SYNTAX"]),
            ("bad name.example", ["HELO_SYNTAX"]),
            ("a" * 600, ["HELO_SYNTAX"]),
            ("bell\x07.example", ["HELO_SYNTAX"]),
        ],
    )
    def test_its_form_is_judged(self, helo: str | None, found: list[str]) -> None:
        assert self.find(helo) == found

    def test_a_name_without_address_is_found(self) -> None:
        assert self.find("mail.example.net", {HostAddress("mail.example.net"): Fact(Status.NONE)}) == [
            "HELO_UNRESOLVABLE"
        ]

    def test_a_look_up_that_failed_finds_nothing(self) -> None:
        assert self.find("mail.example.net", {HostAddress("mail.example.net"): Fact(Status.TEMPERROR)}) == []

    def test_a_name_of_another_organisation_contradicts_the_confirmed_one(self) -> None:
        helo = HostAddress("mail.example.net")
        reverse = ReverseName(IP)
        elsewhere = Fact(Status.PASS, ("198.51.100.9",))
        assert self.find("mail.example.net", {helo: elsewhere, reverse: Fact(Status.PASS, ("host.example.com",))}) == [
            "HELO_CONTRADICTION"
        ]
        assert self.find("mail.example.net", {helo: elsewhere, reverse: Fact(Status.PASS, ("out.example.net",))}) == []
        assert self.find("mail.example.net", {helo: Fact(Status.PASS, (IP,))}) == []

    def test_only_a_well_formed_qualified_name_is_asked_for(self) -> None:
        def asked(helo: str | None) -> list[object]:
            return list(helo_check.wants(envelope(helo=helo), {}, KNOBS["helo"]))

        assert asked("Mail.example.net") == [HostAddress("mail.example.net"), ReverseName(IP)]
        assert asked("localhost") == asked("[192.0.2.7]") == asked("192.0.2.7") == asked(None) == []


class TestSender:
    def find(self, sender: bytes, fact: Fact | None = None) -> list[str]:
        facts: Facts = {MailHosts("example.net"): fact} if fact else {}
        return names(sender_check.examine(envelope(sender=sender), facts, KNOBS["sender"]))

    def test_the_null_sender_is_never_held_against_anyone(self) -> None:
        assert self.find(b"<>") == []
        assert list(sender_check.wants(envelope(sender=b"<>"), {}, KNOBS["sender"])) == []

    def test_a_sender_nobody_can_answer_is_found(self) -> None:
        assert self.find(b"<a@example.net>", Fact(Status.NONE)) == ["SENDER_NO_MX"]
        assert self.find(b"<a@example.net>", Fact(Status.POLICY)) == ["SENDER_NULL_MX"]
        assert self.find(b"<a@example.net>", Fact(Status.PASS, ("10.0.0.1", "127.0.0.1"))) == ["SENDER_PRIVATE_MX"]
        assert self.find(b"<a@example.net>", Fact(Status.PASS, ("10.0.0.1", "192.0.2.1"))) == []
        assert self.find(b"<a@example.net>", Fact(Status.TEMPERROR)) == []
        assert self.find(b"<root>") == ["SENDER_NO_DOMAIN"]

    def test_a_domain_of_ours_is_found_and_not_looked_up(self) -> None:
        assert self.find(b"<a@Example.ORG>") == ["SENDER_OWN_DOMAIN"]
        assert list(sender_check.wants(envelope(sender=b"<a@example.org>"), {}, KNOBS["sender"])) == []


def hop(address: str, *, authenticated: bool = False, handed_over: bool = False) -> Hop:
    return Hop(address, "", "", "mx.example.net", "ESMTP", authenticated, handed_over, "", handed_over)


class TestReceived:
    def txn(self, *hops: Hop) -> Transaction:
        return Transaction(envelope(), Message((), hops))

    def find(self, facts: Facts, *hops: Hop) -> list[tuple[str, int]]:
        found = received_check.examine(self.txn(*hops), facts, KNOBS["received"])
        return [(one.name, one.score) for one in found if one.origin is Origin.HEADER]

    def test_each_address_is_asked_once_and_not_what_the_connection_paid_for(self) -> None:
        txn = self.txn(hop(IP), hop("192.0.2.9"), hop("192.0.2.9"), hop("10.0.0.1"), hop(""))
        asked = list(received_check.wants(txn, {}, KNOBS["received"]))
        assert asked == [Listing(zone.name, "192.0.2.9") for zone in (ZEN, SISTER, COP)]

    def test_only_the_newest_hops_are_asked(self) -> None:
        hops = [hop(f"198.51.100.{number}") for number in range(200)]
        asked = {question.address for question in received_check.wants(self.txn(*hops), {}, KNOBS["received"])}  # type: ignore[union-attr]
        assert asked == {f"198.51.100.{number}" for number in range(30)}

    def test_a_listed_deep_hop_counts_its_share_and_no_more_than_the_cap(self) -> None:
        facts: Facts = {
            Listing("zen.example", "192.0.2.9"): listed("127.0.0.4"),
            Listing("cop.example", "192.0.2.10"): listed("127.0.0.2"),
        }
        assert self.find(facts, hop("192.0.2.9")) == [("RECEIVED_ZEN_XBL", 500)]
        assert self.find(facts, hop("192.0.2.10")) == [("RECEIVED_COP", 300)]
        assert sum(score for _, score in self.find(facts, hop("192.0.2.9"), hop("192.0.2.10"))) == 500

    def test_an_authenticated_hop_counts_half(self) -> None:
        facts: Facts = {Listing("zen.example", "192.0.2.9"): listed("127.0.0.4")}
        assert self.find(facts, hop("192.0.2.9", authenticated=True)) == [("RECEIVED_ZEN_XBL", 300)]

    def test_a_pbl_like_code_never_counts_deep_but_does_for_the_handing_over_client(self) -> None:
        facts: Facts = {Listing("zen.example", "192.0.2.9"): listed("127.0.0.10")}
        assert self.find(facts, hop("192.0.2.9")) == []
        assert self.find(facts, hop("192.0.2.9", handed_over=True)) == [("RECEIVED_ZEN_PBL", 800)]

    def test_an_address_that_stands_twice_counts_by_its_weightier_hop(self) -> None:
        facts: Facts = {Listing("zen.example", "192.0.2.9"): listed("127.0.0.4")}
        hops = (hop("192.0.2.9", authenticated=True), hop("192.0.2.9", handed_over=True))
        assert self.find(facts, *hops) == [("RECEIVED_ZEN_XBL", 800)]
