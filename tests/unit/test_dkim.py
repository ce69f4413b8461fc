"""Signatures and chains, from a message to its facts, through the real child."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from earmark.clients.dkim import Dkim
from earmark.content import Content
from earmark.core.authentication.signature import Signature, read_signature
from earmark.core.evidence import ArcChain, Fact, Signatures, Status
from earmark.core.mail import Header
from fakes.signing import MESSAGE, answer, chain_of, sealed, sealed_again, signed, stored, verdict_on, zone

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASS, FAIL, NONE = Status.PASS, Status.FAIL, Status.NONE
POLICY, NEUTRAL, PERMERROR, TEMPERROR = Status.POLICY, Status.NEUTRAL, Status.PERMERROR, Status.TEMPERROR


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def dkim() -> AsyncIterator[Dkim]:
    """One for all tests of this file: a child is started once."""
    client = Dkim(zone(), at_most=4_000_000, deadline=60)
    yield client
    client.close()


def first(fact: Fact) -> Signature:
    return read_signature(fact.data[0])


def retagged(message: bytes, tag: str, value: str) -> bytes:
    """The message with a tag of its first signature replaced, or added in front."""
    field, rest = re.split(rb"(?<=\r\n)(?![ \t])", message, maxsplit=1)
    new, count = re.subn(rb"(?<=[ ;])%b=[^;]*?(?=;|\r\n$)" % tag.encode(), f"{tag}={value}".encode(), field, count=1)
    if not count:
        new = field.replace(b"DKIM-Signature:", f"DKIM-Signature: {tag}={value};".encode())
    return new + rest


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("rfc6376", ["pass example.com joe@football.example.com brisbane rsa-sha256 1024 "]),
        (
            "rfc8463",
            [
                "pass football.example.com @football.example.com brisbane ed25519-sha256 256 ",
                "pass football.example.com @football.example.com test rsa-sha256 1024 ",
            ],
        ),
        (
            "dkimpy-two-algorithms",
            [
                "pass football.example.com @football.example.com brisbane ed25519-sha256 256 ",
                "pass football.example.com @football.example.com test rsa-sha256 1024 ",
            ],
        ),
        ("dkimpy-rsa", ["pass football.example.com @football.example.com test rsa-sha256 1024 "]),
        ("dkimpy-exim-ed25519", ["pass test.ex @test.ex sed ed25519-sha256 256 "]),
    ],
)
async def test_the_examples_of_the_rfcs_and_of_dkimpy_pass(dkim: Dkim, name: str, lines: list[str]) -> None:
    fact = await verdict_on(dkim, stored(name))
    assert (fact.status, list(fact.data)) == (PASS, lines)
    changed = await verdict_on(dkim, stored(name).replace(b"\r\n\r\n", b"\r\n\r\nBuy. ", 1))
    assert {read_signature(line).status for line in changed.data} == {FAIL}
    assert changed.why == "the body does not match: it was changed"


async def test_the_sealed_message_of_dkimpy_passes(dkim: Dkim) -> None:
    fact = await chain_of(dkim, stored("dkimpy-arc"))
    assert (fact.status, fact.data, fact.why) == (PASS, ("example.com",), "")


@pytest.mark.parametrize("form", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"])
@pytest.mark.parametrize(
    "key",
    [("s1024", "rsa-sha256", 1024), ("s2048", "rsa-sha256", 2048), ("ed", "ed25519-sha256", 256)],
    ids=lambda key: key[0],
)
@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n", b" \t\r\n \r\n", b"a  b\t\r\n c\r\n\r\n\r\n"], ids=repr)
async def test_what_dkimpy_signs_is_verified(dkim: Dkim, form: str, key: tuple[str, str, int], body: bytes) -> None:
    selector, algorithm, bits = key
    message = MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body
    found = first(await verdict_on(dkim, signed(message, selector, algorithm=algorithm, form=form)))
    assert found == Signature(PASS, "example.org", "@example.org", selector, algorithm, bits)


async def test_a_message_without_signature_has_none_and_starts_no_child() -> None:
    idle = Dkim(zone())
    fact = await verdict_on(idle, MESSAGE)
    assert (fact.status, fact.data) == (NONE, ())
    assert (await chain_of(idle, MESSAGE)).status is NONE
    assert idle._verifier.started == 0


CHANGED = "the signature does not match: a signed field was changed"


@pytest.mark.parametrize(
    ("message", "status", "why"),
    [
        (signed(selector="slow"), TEMPERROR, "no answer for the key at slow._domainkey.example.org: timeout"),
        (signed(selector="sick"), TEMPERROR, "no answer for the key at sick._domainkey.example.org: SERVFAIL"),
        (signed(selector="absent"), PERMERROR, "no key at absent._domainkey.example.org (NXDOMAIN)"),
        (signed(selector="note"), PERMERROR, "no key at note._domainkey.example.org"),
        (signed(selector="two"), PERMERROR, "2 keys at two._domainkey.example.org"),
        (signed(selector="beside"), PASS, ""),
        (signed(selector="listed"), PASS, ""),
        (signed(selector="revoked"), PERMERROR, "the key has been revoked"),
        (signed(selector="broken"), PERMERROR, "the key cannot be read"),
        (signed(selector="noise"), PERMERROR, "the key cannot be read"),
        (signed(selector="other"), PERMERROR, "the key is not for mail"),
        (signed(selector="sha1"), PERMERROR, "the key is not for SHA-256"),
        (signed(selector="version"), PERMERROR, "the key is of an unknown version"),
        (signed(selector="kind"), PERMERROR, "the key is for ed25519"),
        (signed(selector="s512"), POLICY, "a key of 512 bits is too short"),
        (signed(selector="testing"), PASS, "the key is being tested (t=y)"),
        (signed(selector="strict"), PASS, ""),
        (
            signed(selector="strict", identity="ann@sub.example.org"),
            PERMERROR,
            "the key is not for names below its domain (t=s)",
        ),
        (signed(identity="ann@sub.example.org"), PASS, ""),
        (signed(algorithm="rsa-sha1"), PERMERROR, "rsa-sha1 is no longer a signature (RFC 8301)"),
        (signed(length=True) + b"Unsigned.\r\n", PASS, "only the first 28 of 41 bytes of the body are signed"),
        (signed(length=True), PASS, ""),
        (retagged(signed(), "l", "99999"), PERMERROR, "l= is larger than the body"),
        (retagged(signed(), "x", "1000000000"), POLICY, "expired"),
        (retagged(signed(), "h", "to:subject"), PERMERROR, "From is not signed"),
        (retagged(signed(), "h", ":".join(["from"] * 201)), NEUTRAL, "h= names more than 200 fields"),
        (retagged(signed(), "i", "@example.net"), PERMERROR, "i= is not of the domain d="),
        (retagged(signed(), "i", "@evilexample.org"), PERMERROR, "i= is not of the domain d="),
        (retagged(signed(), "d", ""), NEUTRAL, "the tag d= is missing"),
        (retagged(signed(), "d", "exa mple.org"), NEUTRAL, "d= is no domain name"),
        (retagged(signed(), "d", "example.org(a"), NEUTRAL, "d= is no domain name"),
        (retagged(signed(), "s", "a b"), NEUTRAL, "s= is no domain name"),
        (retagged(signed(), "s", "a" * 63 + (".b" * 100)), NEUTRAL, "the key's name is too long"),
        (retagged(signed(), "a", "rsa-md5"), NEUTRAL, "unknown algorithm rsa-md5"),
        (retagged(signed(), "a", "ed25519-sha256"), PERMERROR, "the key is for rsa"),
        (retagged(signed(), "b", "AAAA"), FAIL, CHANGED),
        (signed().replace(b"Subject: a  letter", b"Subject: a bill"), FAIL, CHANGED),
        (signed().replace(b"To: bob", b"From: eve@example.net\r\nTo: bob"), FAIL, CHANGED),
        (retagged(signed(), "b", "AA" + " \r\n" * 200 + " =="), NEUTRAL, "the field has more than 256 spaces in a row"),
        (retagged(signed(), "n", "x" * 9000), NEUTRAL, "the field has more than 8192 bytes"),
        (b"DKIM-Signature:\r\n" + MESSAGE, NEUTRAL, "the field is no list of tags"),
        (b"DKIM-Signature: a=b; a=c\r\n" + MESSAGE, NEUTRAL, "the tag a= stands there twice"),
    ],
    ids=lambda value: None if isinstance(value, bytes | Status) else value or "fine",
)  # fmt: skip
async def test_each_rule_has_its_status_and_its_words(dkim: Dkim, message: bytes, status: Status, why: str) -> None:
    fact = await verdict_on(dkim, message)
    assert (fact.status, fact.why) == (status, why)
    assert (first(fact).status, first(fact).why) == (status, why)


@pytest.mark.parametrize(
    ("tag", "value", "why"),
    [
        ("v", "2", "cannot be read: v= value is not 1 (b'2')"),
        ("q", "dns/other", "cannot be read: q= value is not dns/txt (b'dns/other')"),
        ("c", "odd/odd", "cannot be read: invalid c= value: b'odd'"),
        ("t", "99999999999", "cannot be read: t= value is in the future (b'99999999999')"),
        ("b", "!", "cannot be read: b= value is not valid base64 (b'!')"),
        ("l", "-1", "cannot be read: l= value is not a decimal integer (b'-1')"),
        ("l", "", "cannot be read (ValueError)"),
        ("i", "example.org", "cannot be read (IndexError)"),
    ],
)
async def test_what_dkimpy_cannot_read_is_neutral(dkim: Dkim, tag: str, value: str, why: str) -> None:
    found = first(await verdict_on(dkim, retagged(signed(), tag, value)))
    assert (found.status, found.why) == (NEUTRAL, why)


async def test_one_good_signature_of_five_is_enough_and_all_are_reported(dkim: Dkim) -> None:
    message = signed()
    for selector in ("absent", "slow", "revoked", "s512"):
        message = signed(message, selector)
    fact = await verdict_on(dkim, message)
    assert (fact.status, fact.why) == (PASS, "")
    assert [read_signature(line).status for line in fact.data] == [POLICY, PERMERROR, TEMPERROR, PERMERROR, PASS]
    assert read_signature(fact.data[4]).selector == "s2048"


async def test_an_unknown_signature_outweighs_those_that_fail(dkim: Dkim) -> None:
    fact = await verdict_on(dkim, signed(signed(selector="slow"), "absent"))
    assert fact.status is TEMPERROR
    assert fact.why == "no answer for the key at slow._domainkey.example.org: timeout"


async def test_the_first_decides_where_none_holds_and_none_is_unknown(dkim: Dkim) -> None:
    assert (await verdict_on(dkim, signed(signed(selector="absent"), "s512"))).status is POLICY
    assert (await verdict_on(dkim, signed(signed(selector="s512"), "absent"))).status is PERMERROR


async def test_of_5000_signatures_five_are_looked_at_and_the_rest_is_said(dkim: Dkim) -> None:
    fact = await verdict_on(dkim, b"DKIM-Signature: v=1; d=example.org; s=absent\r\n" * 5000 + signed())
    assert len(fact.data) == 5
    assert fact.status is NEUTRAL
    assert fact.why == "the tag a= is missing; 4996 more signatures were not looked at"


async def test_the_domain_of_a_result_is_an_a_label_in_lower_case(dkim: Dkim) -> None:
    assert first(await verdict_on(dkim, signed(domain="EXAMPLE.Org"))).domain == "example.org"
    found = first(await verdict_on(dkim, retagged(signed(selector="absent"), "d", "b\u00fccher.example")))
    assert found.domain == "xn--bcher-kva.example"


async def test_a_message_over_the_limit_is_unknown(dkim: Dkim) -> None:
    large = MESSAGE + b"0123456789" * 400_000
    assert (await verdict_on(dkim, signed(large))).why == "larger than 4000000 bytes"
    assert (await chain_of(dkim, sealed(large))).status is TEMPERROR
    assert (await verdict_on(dkim, large)).status is NONE


async def test_a_message_that_was_not_held_whole_is_unknown(dkim: Dkim) -> None:
    headers = [Header(b"DKIM-Signature", b" v=1")]
    dkim.hold("cut", Content(headers, truncated=True))
    small = Content(headers, at_most=10)
    small.add(b"more than that")
    dkim.hold("large", small)
    assert (await answer(dkim, Signatures("cut"))).why == "its header was cut"
    assert (await answer(dkim, Signatures("large"))).why == "larger than 10 bytes"
    assert (await answer(dkim, ArcChain("never held"))).why == "the message is not there"
    dkim.drop("cut")
    dkim.drop("large")


async def test_bytes_of_every_kind_in_fields_are_carried_to_the_verifier(dkim: Dkim) -> None:
    odd = MESSAGE.replace(b"Subject: a", b"Subject: \xff\xfe\x01\r\n\t\r x")
    assert (await verdict_on(dkim, signed(odd, form="simple/simple"))).status is PASS
    assert (await verdict_on(dkim, signed(odd))).status is PASS


async def test_a_body_with_bare_line_feeds_is_read_as_dkimpy_reads_it(dkim: Dkim) -> None:
    message = signed(form="simple/simple")
    header, _, body = message.partition(b"\r\n\r\n")
    assert (await verdict_on(dkim, header + b"\r\n\r\n" + body.replace(b"\r\n", b"\n"))).status is PASS


async def test_a_chain_of_two_names_its_sealers_first_instance_first(dkim: Dkim) -> None:
    message = sealed_again(sealed(), domain="example.net")
    fact = await chain_of(dkim, message)
    assert (fact.status, fact.data, fact.why) == (PASS, ("example.org", "example.net"), "")
    three = await chain_of(dkim, sealed_again(message, domain="example.org"))
    assert three.data == ("example.org", "example.net", "example.org")


async def test_a_body_that_was_changed_before_the_newest_seal_leaves_the_chain_whole(dkim: Dkim) -> None:
    changed = sealed().replace(b"how are you?", b"how are we?")
    assert (await chain_of(dkim, changed)).status is FAIL
    assert (await chain_of(dkim, sealed_again(changed, domain="example.net"))).status is PASS


TWO = sealed_again(sealed(), domain="example.net")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (TWO.replace(b"how are you?", b"buy this"), "Most recent ARC-Message-Signature did not validate"),
        (TWO.replace(b"i=1; cv=none", b"i=1; cv=pass"), "ARC-Seal[2] did not validate"),
        (TWO.replace(b"i=2; cv=pass", b"i=2; cv=fail"), "ARC-Seal[2] reported failure, the chain is terminated"),
        (TWO.replace(b"ARC-Seal: i=2", b"X-Seal: i=2"), "its sets are not whole, or too many"),
        (TWO.replace(b"ARC-Seal: i=2", b"ARC-Seal: i=3"), "its instances do not follow each other"),
        (TWO.replace(b"ARC-Seal: i=2", b"ARC-Seal: i=1"), "its instances do not follow each other"),
        (TWO.replace(b"ARC-Seal: i=2", b"ARC-Seal: i=0"), "an instance is no number from 1 to 50"),
        (TWO.replace(b"ARC-Seal: i=2", b"ARC-Seal: i=2; h=from"), "h= tag not permitted in ARC-Seal header field"),
        (TWO.replace(b"ARC-Seal: i=2", b"ARC-Seal: i=2; bh=AAAA"), "ARC-Seal[2] did not validate"),
        (TWO.replace(b"s=s2048", b"s=absent", 1), "no key at absent._domainkey.example.net (NXDOMAIN)"),
        (sealed(selector="s512"), "a key of 512 bits is too short"),
        (sealed(selector="revoked"), "the key has been revoked"),
        (sealed().replace(b"a=rsa-sha256", b"a=rsa-sha1"), "it is not signed with rsa-sha256"),
        (b"ARC-Authentication-Results: i=1; x\r\n" + MESSAGE, "its sets are not whole, or too many"),
        (
            b"ARC-Seal: i=1\r\nARC-Message-Signature: i=1\r\nARC-Authentication-Results: i=1\r\n" * 51 + MESSAGE,
            "its sets are not whole, or too many",
        ),
        (
            b"ARC-Seal: i\r\nARC-Message-Signature: i\r\nARC-Authentication-Results: i\r\n" + MESSAGE,
            "the field is no list of tags",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_chain_that_is_broken_fails_and_says_where(dkim: Dkim, message: bytes, why: str) -> None:
    fact = await chain_of(dkim, message)
    assert (fact.status, fact.why) == (FAIL, why)


async def test_a_chain_whose_keys_are_not_known_is_unknown(dkim: Dkim) -> None:
    fact = await chain_of(dkim, sealed(selector="slow"))
    assert (fact.status, fact.data) == (TEMPERROR, ("example.org",))
    assert fact.why == "no answer for the key at slow._domainkey.example.org: timeout"


async def test_a_signature_under_a_seal_is_still_verified(dkim: Dkim) -> None:
    message = sealed(signed())
    assert (await chain_of(dkim, message)).status is PASS
    assert (await verdict_on(dkim, message)).status is PASS


@pytest.mark.parametrize("form", ["relaxed/relaxed", "simple/simple"])
async def test_megabytes_of_spaces_take_no_quadratic_time(dkim: Dkim, form: str) -> None:
    spaces = b" " * 1_000_000 + b"x\r\n" + b"\t " * 500_000 + b"\r\n"
    assert (await verdict_on(dkim, signed(form=form) + spaces)).status is FAIL
    assert (await chain_of(dkim, sealed() + spaces)).status is FAIL


SLOW = [
    b"a=" + b"x" * 1_000_000,
    b"a=b" + b"\n " * 400_000,
    b";".join(b"a%d=b" % number for number in range(1200)),
    b"v=1; a=rsa-sha256; d=example.org; s=s2048; c=relaxed/relaxed; bh=AA==; b" + b" \n" * 128 + b"=AA==; h=from",
    b"v=1; a=rsa-sha256; d=example.org; s=s2048; bh=AA==; b=" + b" A" * 2000 + b"!; h=from",
    b"v=1; a=rsa-sha256; d=example.org; s=s2048; bh=AA==; b=AA==; h="
    + b":".join(b"x%d" % n for n in range(199))
    + b":from",
]


@pytest.mark.parametrize("value", SLOW, ids=lambda value: f"{len(value)} bytes")
async def test_fields_made_to_be_slow_are_answered(dkim: Dkim, value: bytes) -> None:
    padding = b"".join(b"X-%d: x\r\n" % number for number in range(1000))
    message = b"DKIM-Signature: " + value.replace(b"\n", b"\r\n") + b"\r\n" + padding + MESSAGE
    assert (await verdict_on(dkim, message)).status in {FAIL, NEUTRAL}
