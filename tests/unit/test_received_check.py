"""Listings of Received hops, from the field to the mark: asked once, marked once, never refused."""

from ipaddress import ip_network

import pytest

from earmark.core.checks import received as check
from earmark.core.checks.received import ReceivedKnobs
from earmark.core.evidence import Fact, Facts, Finding, Listing, Origin, Points, Stage, Status
from earmark.core.judge import decide, examine
from earmark.core.mail import Client, Envelope, Header, Message, Transaction
from earmark.core.received import read_chain
from earmark.core.verdict import Action
from earmark.core.zones import Zone, ZoneKind
from fakes.policies import COP, SISTER, SITE, ZEN, code, policy

CLIENT = "192.0.2.1"
LISTED = "192.0.2.66"
RELAY = "198.51.100.5"
OURS = SITE._replace(relays=(ip_network("198.51.100.5/32"),))
KNOBS = ReceivedKnobs((ZEN, SISTER, COP))
POLICY_ONLY = Zone(
    "pbl.example", "Pbl", ZoneKind.BLOCK, (code("PBL", "127.0.0.10", 800, deep=False, scope="policy"),), received=True
)


def line(address: str, more: str = "") -> Header:
    return Header(b"Received", f" from x (y [{address}]) {more} by z.example with ESMTP id 1".encode())


def message(*headers: Header, client: str = CLIENT) -> Transaction:
    envelope = Envelope(Client(client), OURS, relay="198.51.100.5" if client == RELAY else "")
    return Transaction(envelope, Message(headers, read_chain(headers, OURS, client)))


def listed(*places: tuple[Zone, str, str]) -> Facts:
    return {Listing(zone.name, address): Fact(Status.FAIL, (answer,)) for zone, address, answer in places}


def found(txn: Transaction, facts: Facts, knobs: ReceivedKnobs = KNOBS) -> list[Finding]:
    return list(check.examine(txn, facts, knobs))


def test_an_address_in_ten_fields_is_asked_once_and_marks_once() -> None:
    txn = message(*[line(LISTED)] * 10)
    assert list(check.wants(txn, {}, KNOBS)) == [Listing(zone.name, LISTED) for zone in (ZEN, SISTER, COP)]
    assert [finding.name for finding in found(txn, listed((ZEN, LISTED, "127.0.0.4")))] == ["RECEIVED_ZEN_XBL"]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.1.1", "0.0.0.0", "::1", "IPv6:fe80::1", "2002:c000:207::1"],
)
def test_addresses_that_are_nobodys_are_not_asked(address: str) -> None:
    assert list(check.wants(message(line(address)), {}, KNOBS)) == []


def test_what_the_connection_paid_for_is_not_asked_again() -> None:
    assert list(check.wants(message(line(CLIENT), line(f"::ffff:{CLIENT}")), {}, KNOBS)) == []


def test_a_listing_of_the_connecting_client_does_not_count_a_second_time() -> None:
    assert found(message(line(CLIENT)), listed((ZEN, CLIENT, "127.0.0.4"))) == []


def test_a_deep_hop_and_all_of_them_have_a_cap_of_their_own() -> None:
    knobs = ReceivedKnobs((ZEN, COP), each_at_most=Points(350), all_at_most=Points(500))
    facts = listed((ZEN, LISTED, "127.0.0.4"), (COP, LISTED, "127.0.0.2"), (ZEN, "192.0.2.67", "127.0.0.4"))
    deep = found(message(line(LISTED), line("192.0.2.67")), facts, knobs)
    assert [(finding.question, finding.score) for finding in deep] == [
        (Listing("zen.example", LISTED), 350),
        (Listing("zen.example", "192.0.2.67"), 150),
    ]


def test_a_code_whose_weight_is_set_to_nothing_finds_nothing() -> None:
    knobs = ReceivedKnobs((ZEN,), weights={"ZEN_XBL": Points(0)})
    assert found(message(line(LISTED)), listed((ZEN, LISTED, "127.0.0.4")), knobs) == []
    assert found(message(line(LISTED), client=RELAY), listed((ZEN, LISTED, "127.0.0.4")), knobs) == []


def test_a_forged_field_with_a_victims_address_marks_and_never_refuses() -> None:
    txn = message(line(LISTED), line("192.0.2.67"))
    facts = listed((ZEN, LISTED, "127.0.0.2"), (COP, LISTED, "127.0.0.2"), (ZEN, "192.0.2.67", "127.0.0.4"))
    early = decide(Stage.RCPT, txn, facts, examine(Stage.RCPT, txn, facts, policy()), policy())
    assert early.action is Action.ACCEPT
    final = decide(Stage.EOM, txn, facts, examine(Stage.EOM, txn, facts, policy()), policy(), early=early)
    assert final.action is Action.MARK
    assert final.refuse_score == early.refuse_score < 200
    assert sum(one.score for one in final.findings if one.origin is Origin.HEADER) == 500


def test_listings_by_different_owners_add_up_and_those_of_one_count_once() -> None:
    txn = message(line(LISTED), client=RELAY)
    facts = listed((ZEN, LISTED, "127.0.0.4"), (SISTER, LISTED, "127.0.0.2"), (COP, LISTED, "127.0.0.2"))
    assert [(finding.name, finding.score) for finding in found(txn, facts)] == [
        ("RECEIVED_ZEN_XBL", 800),
        ("RECEIVED_COP", 400),
    ]
    deep = found(message(line(LISTED)), facts)
    assert [(finding.name, finding.score) for finding in deep] == [("RECEIVED_ZEN_XBL", 500)]


def test_what_a_policy_list_says_is_asked_of_the_handing_over_client_alone() -> None:
    knobs = ReceivedKnobs((POLICY_ONLY,))
    facts = listed((POLICY_ONLY, LISTED, "127.0.0.10"))
    assert list(check.wants(message(line(LISTED)), {}, knobs)) == []
    handed_over = message(line(LISTED), client=RELAY)
    assert list(check.wants(handed_over, {}, knobs)) == [Listing("pbl.example", LISTED)]
    assert [finding.score for finding in found(handed_over, facts, knobs)] == [800]


def test_whoever_authenticated_at_our_relay_may_be_at_home() -> None:
    txn = message(line(LISTED, "(Authenticated sender: bob)"), client=RELAY)
    assert list(check.wants(txn, {}, ReceivedKnobs((POLICY_ONLY,)))) == []
    assert found(txn, listed((ZEN, LISTED, "127.0.0.10"))) == []
    assert [finding.score for finding in found(txn, listed((ZEN, LISTED, "127.0.0.4")))] == [400]


def test_a_list_that_fails_or_trusts_says_nothing_about_a_hop() -> None:
    txn = message(line(LISTED))
    for status in (Status.TEMPERROR, Status.NONE, Status.PASS):
        assert found(txn, {Listing("zen.example", LISTED): Fact(status, ("127.0.0.4",))}) == []
