"""Which identity SPF is asked about (RFC 7208 sections 2.3, 2.4, 4.3)."""

import pytest

from earmark.core.authentication.spf_identity import helo_identity, identity, is_qualified
from earmark.core.evidence import CheckHost
from earmark.core.mail import Client, Envelope, Site, parse_path


def envelope(sender: bytes, helo: str | None = "Mail.Example.NET.", address: str = "192.0.2.7") -> Envelope:
    return Envelope(Client(address), Site(), helo, parse_path(sender))


def test_the_senders_domain_is_asked() -> None:
    asked = CheckHost("192.0.2.7", "example.org", "Bob@example.org", "mail.example.net")
    assert identity(envelope(b"<Bob@Example.Org>")) == asked


def test_the_null_sender_is_postmaster_at_the_helo_name() -> None:
    asked = CheckHost("192.0.2.7", "mail.example.net", "postmaster@mail.example.net", "mail.example.net")
    assert identity(envelope(b"<>")) == asked
    assert helo_identity(envelope(b"<bob@example.org>")) == asked


def test_a_sender_without_local_part_is_postmaster() -> None:
    asked = identity(envelope(b"<@example.org>"))
    assert asked is not None
    assert asked.sender == "postmaster@example.org"


@pytest.mark.parametrize(
    "helo", [None, "", "localhost", "[192.0.2.7]", "192.0.2.7", "a..example", "a" * 64 + ".example"]
)
def test_a_helo_that_is_no_qualified_name_is_not_asked(helo: str | None) -> None:
    assert helo_identity(envelope(b"<bob@example.org>", helo)) is None
    assert identity(envelope(b"<>", helo)) is None
    assert identity(envelope(b"<bob@example.org>", helo)) is not None


@pytest.mark.parametrize("address", ["", "127.0.0.1", "10.1.2.3", "fe80::1"])
def test_nothing_is_asked_for_an_address_that_is_not_public(address: str) -> None:
    assert identity(envelope(b"<bob@example.org>", address=address)) is None
    assert helo_identity(envelope(b"<bob@example.org>", address=address)) is None


@pytest.mark.parametrize("sender", [b"<bob>", b"<bob@localhost>", b"<bob@[192.0.2.1]>", b"<bob@a..b.example>"])
def test_a_sender_without_a_qualified_domain_is_not_asked(sender: bytes) -> None:
    assert identity(envelope(sender)) is None


def test_a_name_has_a_length() -> None:
    longest = ".".join(["a" * 61] * 4) + ".ab.cd"
    assert len(longest) == 253
    assert is_qualified(longest)
    assert is_qualified(longest + ".")
    assert not is_qualified("a" + longest + ".")
