"""FAULTS of envelopes: every form in which an MTA hands on an address."""

from ipaddress import ip_network

import pytest

from earmark.core.mail import Address, domain_key, parse_address_text, parse_path, within


@pytest.mark.parametrize(
    ("raw", "local", "domain"),
    [
        (b"<bob@example.org>", "bob", "example.org"),
        (b"bob@example.org", "bob", "example.org"),
        (b"<Bob@EXAMPLE.Org.>", "Bob", "example.org"),
        (b'<"a b@c"@example.org>', '"a b@c"', "example.org"),
        (b"<@relay.example:bob@example.org>", "bob", "example.org"),
        (b"<@a.example,@b.example:bob@example.org>", "bob", "example.org"),
        (b"<bob+tag@example.org>", "bob+tag", "example.org"),
        ("<bob@b\u00fccher.example>".encode(), "bob", "xn--bcher-kva.example"),
        (b"<bob@XN--BCHER-KVA.example>", "bob", "xn--bcher-kva.example"),
        (b"<postmaster>", "postmaster", ""),
        (b"<bob@>", "bob", ""),
        (b"<@>", "", ""),
        (b"<\xff@\xff.example>", r"\xff", r"\xff.example"),
        (b"<" + b"a" * 2000 + b"@example.org>", "a" * 1000, "example.org"),
        (b"<bob@[192.0.2.1]>", "bob", "[192.0.2.1]"),
    ],
)
def test_every_form_of_a_path_is_read(raw: bytes, local: str, domain: str) -> None:
    assert parse_path(raw)[1:] == (local, domain)


@pytest.mark.parametrize("raw", [b"<>", b"", b" <> "])
def test_the_null_sender_is_null(raw: bytes) -> None:
    assert parse_path(raw) == Address("", "", "")
    assert parse_path(raw).is_null


def test_a_domain_that_cannot_be_an_a_label_is_compared_as_it_stands() -> None:
    assert domain_key("\u00fc" * 300 + ".example") == "\u00fc" * 300 + ".example"
    assert domain_key(" Example.ORG. ") == "example.org"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:203.0.113.77", "203.0.113.77"),
        ("::FFFF:CB00:714D", "203.0.113.77"),
        ("2001:DB8:0:0:0:0:0:5", "2001:db8::5"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2", ""),
        ("192.0.2.07", ""),
        ("IPv6:zz", ""),
        ("", ""),
    ],
)
def test_an_address_has_one_text_form(text: str, canonical: str) -> None:
    assert parse_address_text(text) == canonical


def test_an_address_within_networks_is_found_in_its_own_family_only() -> None:
    networks = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    assert within("192.0.2.9", networks)
    assert within("2001:db8::9", networks)
    assert not within("198.51.100.1", networks)
    assert not within("not an address", networks)
    assert not within("", networks)
