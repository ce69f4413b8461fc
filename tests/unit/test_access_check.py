"""The check of the allow and deny lists: which proof an entry needs, and what the message adds."""

import pytest

from earmark.core.access import Entry, Kind, entry_text
from earmark.core.checks.access import ACCESS, AccessKnobs
from earmark.core.checks.allowed import ALLOWED
from earmark.core.evidence import (
    CheckHost,
    DmarcRecords,
    Entries,
    Fact,
    Facts,
    Finding,
    HostAddress,
    Points,
    Question,
    ReverseName,
    Signatures,
    Status,
)
from earmark.core.mail import NULL_SENDER, Address, Client, Envelope, Header, Message, Transaction, parse_path
from fakes.entries import allow, deny
from fakes.policies import SITE

IP, HELO = "192.0.2.7", "mail.example.net"
KNOBS = AccessKnobs(Points(-1000), Points(900))
BLIND = Entries(IP, "", HELO, "a@example.net", "bob@example.org")
SPF = CheckHost(IP, "example.net", "a@example.net", HELO)
TEMPERROR = Fact(Status.TEMPERROR)


def envelope(sender: bytes = b"<a@example.net>", recipient: Address | None = None) -> Envelope:
    bob = parse_path(b"<bob@example.org>")
    return Envelope(Client(IP), SITE, HELO, parse_path(sender), at=1000.0, recipient=recipient or bob)


def held(*entries: Entry) -> Fact:
    return Fact(Status.PASS, tuple(map(entry_text, entries)))


def found(facts: Facts, knobs: AccessKnobs = KNOBS) -> list[tuple[str, int, str]]:
    return [(one.name, one.score, one.origin) for one in ACCESS.examine(envelope(), facts, knobs)]


def asked(facts: Facts, knobs: AccessKnobs = KNOBS) -> set[Question]:
    return set(ACCESS.wants(envelope(), facts, knobs)) - facts.keys()


ALLOWED_BY_CONNECTION = [("ACCESS_ALLOWED", -1000, "connection")]
ALLOWED_BY_ENVELOPE = [("ACCESS_ALLOWED", -1000, "envelope")]


def test_a_client_needs_no_proof() -> None:
    assert found({BLIND: held(allow(Kind.CLIENT, "192.0.2.0/24"))}) == ALLOWED_BY_CONNECTION
    assert found({BLIND: held(deny(Kind.CLIENT, "192.0.2.0/24"))}) == [("ACCESS_DENIED", 900, "connection")]


@pytest.mark.parametrize("entry", [allow(Kind.SENDER, "a@example.net"), allow(Kind.DOMAIN, "example.net")])
def test_a_sender_is_allowed_only_where_spf_passes(entry: Entry) -> None:
    facts: dict[Question, Fact] = {BLIND: held(entry)}
    assert asked(facts) == {SPF}
    for status in Status:
        expected = ALLOWED_BY_ENVELOPE if status is Status.PASS else []
        assert found({**facts, SPF: Fact(status)}) == expected
    assert found({BLIND: held(entry._replace(unauthenticated=True))}) == ALLOWED_BY_ENVELOPE


def test_a_greeting_is_allowed_only_where_its_address_is_the_clients() -> None:
    facts: dict[Question, Fact] = {BLIND: held(allow(Kind.HELO, HELO))}
    assert asked(facts) == {HostAddress(HELO)}
    assert found({**facts, HostAddress(HELO): Fact(Status.PASS, (IP, "192.0.2.9"))}) == ALLOWED_BY_ENVELOPE
    assert found({**facts, HostAddress(HELO): Fact(Status.PASS, ("192.0.2.9",))}) == []
    assert found({**facts, HostAddress(HELO): TEMPERROR}) == []


@pytest.mark.parametrize("kind", [Kind.HELO, Kind.SENDER, Kind.DOMAIN])
def test_what_denies_needs_no_proof(kind: Kind) -> None:
    facts: dict[Question, Fact] = {BLIND: held(deny(kind, "whatever"))}
    assert asked(facts) == set()
    assert found(facts) == [("ACCESS_DENIED", 900, "envelope")]


def test_the_reverse_name_is_asked_for_where_an_entry_is_about_one_and_must_be_confirmed() -> None:
    entry = allow(Kind.REVERSE, "*.example.net")
    facts: dict[Question, Fact] = {BLIND: held(entry)}
    assert asked(facts) == {ReverseName(IP)}
    assert found({**facts, ReverseName(IP): Fact(Status.FAIL, ("mail.example.net",))}) == []
    facts[ReverseName(IP)] = Fact(Status.PASS, ("Mail.example.net",))
    named = BLIND._replace(name="mail.example.net")
    assert asked(facts) == {named}
    assert found(facts) == []
    assert found({**facts, named: held(entry)}) == ALLOWED_BY_CONNECTION
    assert found({**facts, named: Fact(Status.NONE)}) == []


def test_an_entry_that_has_expired_is_none() -> None:
    assert found({BLIND: held(deny(Kind.CLIENT, IP, expires=1000))}) == []
    assert found({BLIND: held(deny(Kind.CLIENT, IP, expires=1001))}) != []


def test_a_weight_of_nothing_leaves_such_entries_out_of_account() -> None:
    both: Facts = {BLIND: held(allow(Kind.CLIENT, IP), deny(Kind.CLIENT, IP))}
    assert found(both, AccessKnobs(Points(-1000), Points(0))) == ALLOWED_BY_CONNECTION
    assert found(both, AccessKnobs(Points(0), Points(900))) == [("ACCESS_DENIED", 900, "connection")]
    assert asked({}, AccessKnobs()) == set()


def test_what_denies_does_not_count_while_what_allows_may() -> None:
    facts: dict[Question, Fact] = {
        BLIND: held(allow(Kind.DOMAIN, "example.net"), deny(Kind.CLIENT, IP)),
        SPF: TEMPERROR,
    }
    assert found(facts) == []
    assert ACCESS.relief(SPF, envelope(), facts, KNOBS) == -1000
    assert found({**facts, SPF: Fact(Status.FAIL)}) == [("ACCESS_DENIED", 900, "connection")]
    assert found({**facts, SPF: Fact(Status.PASS)}) == ALLOWED_BY_ENVELOPE


def test_an_unknown_is_credited_only_where_it_could_allow() -> None:
    nothing: Facts = {BLIND: Fact(Status.NONE), SPF: TEMPERROR, ReverseName(IP): TEMPERROR}
    for question in (BLIND, SPF, ReverseName(IP)):
        assert ACCESS.relief(question, envelope(), nothing, KNOBS) == 0
    reverse = {**nothing, BLIND: held(deny(Kind.REVERSE, "*.example.net"))}
    assert ACCESS.relief(ReverseName(IP), envelope(), reverse, KNOBS) == 0
    reverse = {**nothing, BLIND: held(allow(Kind.REVERSE, "*.example.net"))}
    assert ACCESS.relief(ReverseName(IP), envelope(), reverse, KNOBS) == -1000
    assert ACCESS.relief(BLIND, envelope(), {BLIND: TEMPERROR}, KNOBS) == -1000
    assert ACCESS.relief(SPF, envelope(), {BLIND: TEMPERROR, SPF: TEMPERROR}, KNOBS) == 0


def test_nothing_is_asked_before_the_recipient_is_known() -> None:
    early = envelope(recipient=NULL_SENDER)
    assert list(ACCESS.wants(early, {}, KNOBS)) == []
    assert list(ACCESS.examine(early, {}, KNOBS)) == []


def test_what_is_too_long_for_an_address_is_not_looked_up() -> None:
    long = b"<" + 400 * b"x" + b"@example.net>"
    (question,) = ACCESS.wants(envelope(long), {}, KNOBS)
    assert question == BLIND._replace(sender="")


def after_data(facts: Facts, *headers: tuple[str, str]) -> list[Finding]:
    fields = [Header(name.encode(), value.encode()) for name, value in headers]
    message = Transaction(envelope(), Message(fields, content="ID"))
    return list(ALLOWED.examine(message, facts, KNOBS))


DKIM = ("DKIM-Signature", " v=1")
SIGNED = Signatures("ID")
OF_SENDER = held(allow(Kind.DOMAIN, "example.net"))


@pytest.mark.parametrize("domain", ["example.net", "news.example.net"])
def test_a_signature_of_the_senders_organization_proves_the_sender(domain: str) -> None:
    facts: Facts = {
        BLIND: OF_SENDER,
        SPF: Fact(Status.FAIL),
        SIGNED: Fact(Status.PASS, (f"pass {domain} - s rsa-sha256 2048 ",)),
    }
    assert [(one.name, one.score, one.origin) for one in after_data(facts, DKIM)] == [
        ("ACCESS_ALLOWED", -1000, "content")
    ]


@pytest.mark.parametrize(
    "signature",
    ["pass example.com - s rsa-sha256 2048 ", "fail example.net - s rsa-sha256 2048 ", "pass net - s x 2048 "],
)
def test_a_strangers_signature_or_one_that_does_not_hold_proves_nothing(signature: str) -> None:
    facts: Facts = {BLIND: OF_SENDER, SPF: Fact(Status.FAIL), SIGNED: Fact(Status.PASS, (signature,))}
    assert after_data(facts, DKIM) == []


def test_what_counted_at_rcpt_is_not_counted_twice() -> None:
    facts: Facts = {
        BLIND: OF_SENDER,
        SPF: Fact(Status.PASS),
        SIGNED: Fact(Status.PASS, ("pass example.net - s x 2048 ",)),
    }
    assert len(found(facts)) == 1
    assert after_data(facts, DKIM) == []


FORGED = ("From", " service@bank.example")
REJECT = Fact(Status.PASS, ("bank.example v=DMARC1; p=reject",))


def test_an_entry_for_the_sender_is_no_help_to_a_forged_author() -> None:
    facts: dict[Question, Fact] = {BLIND: OF_SENDER, SPF: Fact(Status.PASS), DmarcRecords("bank.example"): REJECT}
    assert [(one.name, one.score) for one in after_data(facts, FORGED)] == [("ACCESS_WITHHELD", 1000)]
    facts[DmarcRecords("bank.example")] = Fact(Status.PASS, ("bank.example v=DMARC1; p=none",))
    assert after_data(facts, FORGED) == []
    facts[DmarcRecords("bank.example")] = TEMPERROR
    assert after_data(facts, FORGED) == []


def test_an_entry_for_the_host_stands_whatever_the_author() -> None:
    facts: Facts = {
        BLIND: held(allow(Kind.CLIENT, IP), allow(Kind.DOMAIN, "example.net")),
        SPF: Fact(Status.PASS),
        DmarcRecords("bank.example"): REJECT,
    }
    assert after_data(facts, FORGED) == []


def test_a_mailing_list_that_is_allowed_may_carry_what_fails_dmarc_on_its_way() -> None:
    facts: Facts = {
        BLIND: OF_SENDER,
        SPF: Fact(Status.PASS),
        DmarcRecords("bank.example"): REJECT,
        SIGNED: Fact(Status.PASS, ("pass example.net - s rsa-sha256 2048 ",)),
    }
    assert after_data(facts, FORGED, DKIM, ("List-Id", " Talk <talk.example.net>")) == []


def test_the_message_is_looked_into_only_where_an_entry_is_about_a_sender() -> None:
    message = Transaction(envelope(), Message([Header(*(part.encode() for part in DKIM))], content="ID"))
    assert list(ALLOWED.wants(message, {BLIND: held(allow(Kind.CLIENT, IP))}, KNOBS)) == []
    assert SIGNED in ALLOWED.wants(message, {BLIND: OF_SENDER}, KNOBS)
