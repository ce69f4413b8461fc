"""Authentication-Results (RFC 8601): what ours says, and which from outside claim to be ours."""

from ipaddress import ip_network

import authres
import pytest

from earmark.core.authentication.authres import authentication_results, is_our_results
from earmark.core.authentication.signature import Signature
from earmark.core.authentication.spf_identity import identity
from earmark.core.evidence import ArcChain, DmarcRecords, Fact, Question, ReverseName, Signatures, Status
from earmark.core.mail import Client, Envelope, Header, Message, Site, Transaction, parse_path
from fakes.strategies import signed

PASS, FAIL, NONE, TEMPERROR = Status.PASS, Status.FAIL, Status.NONE, Status.TEMPERROR
SITE = Site(networks=(ip_network("127.0.0.0/8"),))
US = "mx.example.org"


def mail(
    *headers: tuple[bytes, bytes],
    sender: bytes = b"<a@example.net>",
    client: str = "192.0.2.7",
) -> Transaction:
    envelope = Envelope(Client(client), SITE, "h.example", parse_path(sender))
    return Transaction(envelope, Message([Header(*field) for field in headers], content="ID"))


def spf(txn: Transaction) -> Question:
    question = identity(txn.envelope)
    assert question is not None
    return question


def parsed(value: str) -> list[tuple[str, str, dict[str, str]]]:
    """Return method, result and properties, as another's parser reads them."""
    field = authres.AuthenticationResultsHeader.parse_value(value.replace("\n\t", " "))
    assert field.authserv_id == US
    return [
        (one.method, one.result, {f"{item.type}.{item.name}": str(item.value) for item in one.properties})
        for one in field.results
    ]


FIELDS = ((b"From", b" Bob <bob@example.net>"), (b"DKIM-Signature", b" v=1"), (b"ARC-Seal", b" i=1"))


def test_all_methods_stand_in_the_field_each_on_a_line() -> None:
    txn = mail(*FIELDS)
    facts: dict[Question, Fact] = {
        ReverseName("192.0.2.7"): Fact(PASS, ("h.example",)),
        spf(txn): Fact(PASS),
        Signatures("ID"): signed([
            Signature(PASS, "example.net", "@example.net", "s1", "rsa-sha256", 2048),
            Signature(FAIL, "lists.example.com", "", "k", "ed25519-sha256", 256, "body hash did not verify"),
        ]),
        ArcChain("ID"): Fact(PASS, ("example.com", "lists.example.com")),
        DmarcRecords("example.net"): Fact(PASS, ("example.net v=DMARC1; p=reject",)),
    }  # fmt: skip
    assert authentication_results(txn, facts, US).split("\n\t") == [
        "mx.example.org;",
        "iprev=pass policy.iprev=192.0.2.7;",
        "spf=pass smtp.mailfrom=example.net;",
        "dkim=pass (2048-bit key) header.d=example.net header.s=s1",
        "header.a=rsa-sha256;",
        'dkim=fail (256-bit key) reason="body hash did not verify"',
        "header.d=lists.example.com header.s=k header.a=ed25519-sha256;",
        "arc=pass (sealed by lists.example.com);",
        "dmarc=pass header.from=example.net",
    ]


def test_a_failure_of_dmarc_says_what_was_asked() -> None:
    txn = mail(FIELDS[0])
    facts: dict[Question, Fact] = {
        spf(txn): Fact(FAIL),
        DmarcRecords("example.net"): Fact(PASS, ("example.net v=DMARC1; p=quarantine",)),
    }
    assert parsed(authentication_results(txn, facts, US)) == [
        ("spf", "fail", {"smtp.mailfrom": "example.net"}),
        ("dmarc", "fail", {"policy.dmarc": "quarantine", "header.from": "example.net"}),
    ]


def test_the_null_sender_is_told_by_its_helo() -> None:
    txn = mail(sender=b"<>")
    assert parsed(authentication_results(txn, {spf(txn): Fact(Status.SOFTFAIL)}, US)) == [
        ("spf", "softfail", {"smtp.helo": "h.example"})
    ]


def test_what_was_not_asked_is_not_told() -> None:
    assert authentication_results(mail(*FIELDS), {}, US) == "mx.example.org;\n\tnone"
    assert authentication_results(mail(), {}, US) == "mx.example.org;\n\tnone"


def test_what_could_not_be_answered_is_told_as_that() -> None:
    txn = mail(*FIELDS, client="2001:db8::7")
    facts = dict.fromkeys(
        [ReverseName("2001:db8::7"), spf(txn), Signatures("ID"), ArcChain("ID"), DmarcRecords("example.net")],
        Fact(TEMPERROR),
    )
    assert parsed(authentication_results(txn, facts, US)) == [
        ("iprev", "temperror", {"policy.iprev": "2001:db8::7"}),
        ("spf", "temperror", {"smtp.mailfrom": "example.net"}),
        ("dkim", "temperror", {}),
        ("arc", "temperror", {}),
        ("dmarc", "temperror", {"header.from": "example.net"}),
    ]


def test_no_reverse_name_is_a_permanent_error() -> None:
    value = authentication_results(mail(), {ReverseName("192.0.2.7"): Fact(NONE)}, US)
    assert parsed(value) == [("iprev", "permerror", {"policy.iprev": "192.0.2.7"})]


def test_an_author_who_cannot_be_told_is_a_permanent_error() -> None:
    value = authentication_results(mail((b"From", b"a@b.example, c@d.example")), {}, US)
    assert parsed(value) == [("dmarc", "permerror", {})]


@pytest.mark.parametrize(
    "domain",
    [
        "legitimate.example(.attack.example",
        "legitimate.example'.attack.example",
        'legitimate.example"; dkim=pass header.d="x.example',
        "a.example; dkim=pass header.d=legitimate.example",
        "a.example\r\n\tdkim=pass.example",
        "a.example\x00.b.example",
        "a.example\\",
    ],
)
def test_a_senders_domain_adds_no_result(domain: str) -> None:
    txn = mail(sender=f"<any@{domain}>".encode())
    results = parsed(authentication_results(txn, {spf(txn): Fact(FAIL)}, US))
    assert [(method, result) for method, result, _ in results] == [("spf", "fail")]


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(ValueError, match="authserv-id"):
        authentication_results(mail(), {}, "")


OURS = [
    b" mx.example.org; dkim=pass header.d=bank.example",
    b"mx.example.org;none",
    b" MX.Example.ORG; none",
    b" mx.example.org.; none",
    b" mx.example.org 1; none",
    b" mx.example.org/1; none",
    b" mx.example.org",
    b" mx.example.org dkim=pass",
    b' "mx.example.org"; none',
    b' "mx.\\example.org"; none',
    b" m\\x.example.org; none",
    b" (a comment; (nested)) mx.example.org (another); none",
    b' (") mx.example.org; (") none',
    b" (\\)) mx.example.org; none",
    b"\n\t(folded)\n\tmx.example.org\n\t; none",
    b" mx . example . org; none",
    b" mx(.).example.org; none",
    b" mx (c) .example.org 1; none",
    b" mx.exam\x00ple.org; none",
    " mx.exam\u00adple.org; none".encode(),
    " \uff4dx.example.org; none".encode(),
    b" =?utf-8?q?mx.example.org?=; none",
    b" " + b"(x)" * 10_000 + b"mx.example.org; none",
]  # fmt: skip


@pytest.mark.parametrize("value", OURS, ids=lambda value: value[:40])
def test_a_field_that_claims_to_be_ours_is_known_in_every_form(value: bytes) -> None:
    for name in (b"Authentication-Results", b"AUTHENTICATION-RESULTS ", b" authentication-results"):
        assert is_our_results(Header(name, value), US)
    assert is_our_results(Header(b"Authentication-Results", value), "Mx.Example.Org.")


@pytest.mark.parametrize(
    "value",
    [
        b" mx.example.net; dkim=pass header.d=mx.example.org",
        b" mx.example.net (mx.example.org); none",
        b" example.org; none",
        b" a.mx.example.org; none",
        b" mx.example.org.example.net; none",
        b" ; mx.example.org",
        b" (mx.example.org; none",
        b"",
        b" .",
        b" dkim=pass",
        b" \xff\xfe; none",
        b'"' * 10_000,
        b"(" * 10_000,
        b"\\" * 10_001,
    ],
    ids=lambda value: value[:40],
)
def test_fields_of_others_are_left(value: bytes) -> None:
    assert not is_our_results(Header(b"Authentication-Results", value), US)


def test_fields_of_other_names_are_left() -> None:
    for name in (b"ARC-Authentication-Results", b"X-Authentication-Results", b"a" * 70_000, b""):
        assert not is_our_results(Header(name, b" mx.example.org; none"), US)
    assert not is_our_results(Header(b"Authentication-Results", b" ; none"), "")
