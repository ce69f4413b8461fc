"""The fields of our own MTA that spamd gets to see on top of a message."""

import pytest

from earmark.core.mail import NULL_SENDER, Client, Envelope, Site, parse_path
from earmark.core.own_received import own_received
from fakes.spamassassin_received import Relay, read

AT = 1795370000.75
DATE = b"\tSun, 22 Nov 2026 17:53:20 +0000\r\n"


def envelope(
    address: str = "192.0.2.7",
    *,
    helo: str | None = "mail.example.net",
    sender: bytes = b"<alice@example.net>",
    user: str = "",
    authserv_id: str = "mx.example.org",
) -> Envelope:
    return Envelope(
        Client(address), Site(), helo=helo, sender=parse_path(sender), at=AT, user=user, authserv_id=authserv_id
    )


def received(told: Envelope, reverse: str = "", queue_id: str = "4dZk2T0p1Fz7") -> bytes:
    first, _, rest = own_received(told, reverse, queue_id).partition(b"\r\n")
    assert first.startswith(b"X-Envelope-From: <")
    return rest


def test_it_has_the_form_of_postfix() -> None:
    assert own_received(envelope(), "mail.example.net", "4dZk2T0p1Fz7") == (
        b"X-Envelope-From: <alice@example.net>\r\n"
        b"Received: from mail.example.net (mail.example.net [192.0.2.7])\r\n"
        b"\tby mx.example.org (Postfix) with ESMTP id 4dZk2T0p1Fz7;\r\n" + DATE
    )


def test_it_says_who_authenticated() -> None:
    assert received(envelope(user="bob@example.org")) == (
        b"Received: from mail.example.net (unknown [192.0.2.7])\r\n"
        b"\t(Authenticated sender: bob@example.org)\r\n"
        b"\tby mx.example.org (Postfix) with ESMTPA id 4dZk2T0p1Fz7;\r\n" + DATE
    )


def test_what_is_not_known_is_left_out_or_unknown() -> None:
    assert received(envelope(helo=None, authserv_id=""), "", "") == (
        b"Received: from unknown (unknown [192.0.2.7])\r\n\tby localhost (Postfix) with ESMTP;\r\n" + DATE
    )


def test_an_ipv6_address_is_tagged() -> None:
    assert b" (unknown [IPv6:2001:db8::25])\r\n" in received(envelope("2001:db8::25"))


def test_a_message_of_this_very_host_comes_from_localhost() -> None:
    assert received(envelope("", helo="odd")).startswith(b"Received: from localhost (localhost [127.0.0.1])\r\n")


@pytest.mark.parametrize(
    ("helo", "written"),
    [
        ("[192.0.2.9]", "[192.0.2.9]"),
        ("[IPv6:2001:DB8::9]", "[IPv6:2001:db8::9]"),
        ("192.0.2.9", "192.0.2.9"),
        ("[192.0.2.9] (x [198.51.100.1])", "?192.0.2.9???x??198.51.100.1??"),
        ("a) by b (Postfix) with ESMTPA; x", "a??by?b??Postfix??with?ESMTPA??x"),
        ("a\r\nReceived: from b", "a??Received??from?b"),
        ("m\u00fcnchen.example", "m?nchen.example"),
        ("helo=evil", "helo?evil"),
        ("Exim.example", "exim.example"),
        ("envelope-from", "envelope_from"),
        ("Return-Path", "return_path"),
        ("", "unknown"),
        ("x" * 1000, "x" * 255),
    ],
)
def test_a_greeting_is_a_word_that_means_nothing_else(helo: str, written: str) -> None:
    line = received(envelope(helo=helo), "mail.example.net")
    assert line.startswith(f"Received: from {written} (mail.example.net [192.0.2.7])\r\n".encode())
    assert read(line) == Relay("192.0.2.7", written, "mail.example.net", "mx.example.org", False, None)


@pytest.mark.parametrize("name", ["Exim.example.net", "ecelerity.example.net", "envelope-from", "a@[198.51.100.1]"])
def test_a_reverse_name_is_a_word_too(name: str) -> None:
    relay = read(received(envelope(helo="[198.51.100.9]"), name))
    assert relay
    assert (relay.address, relay.sender, relay.authenticated) == ("192.0.2.7", None, False)


@pytest.mark.parametrize("user", ["bob", "Exim", "x) (via HTTP", "a\r\nReceived: b", "bob@[198.51.100.1]", "b" * 999])
def test_a_login_is_a_word_too(user: str) -> None:
    line = received(envelope(helo="[198.51.100.9]", user=user))
    relay = read(line)
    assert relay
    assert (relay.address, relay.sender, relay.authenticated) == ("192.0.2.7", None, True)
    assert line.count(b"\r\n") == 4


@pytest.mark.parametrize(
    ("sender", "written"),
    [
        (b"<>", b"<>"),
        (b"<alice@example.net>", b"<alice@example.net>"),
        (b"<b=42+x/y@example.net>", b"<b=42+x/y@example.net>"),
        (b'<"a> b"@example.net>', b"<?a??b?@example.net>"),
        (b"<a\r\nX-Spam: x@example.net>", b"<a??X-Spam??x@example.net>"),
        (b"<j\xc3\xbcrg@example.net>", b"<j?rg@example.net>"),
        (b"<alice@b\xc3\xbccher.example>", b"<alice@xn--bcher-kva.example>"),
        (b"<postmaster>", b"<postmaster>"),
    ],
)
def test_the_sender_of_the_envelope_stands_above(sender: bytes, written: bytes) -> None:
    assert own_received(envelope(sender=sender), "", "1").startswith(b"X-Envelope-From: " + written + b"\r\nReceived: ")


def test_the_null_sender_is_the_empty_path() -> None:
    told = envelope()
    told.sender = NULL_SENDER
    assert own_received(told, "", "1").startswith(b"X-Envelope-From: <>\r\n")


def test_the_reader_of_these_tests_falls_for_what_they_try() -> None:
    """What would happen if nothing were replaced: the tests above can fail."""
    line = b"Received: from %b (%b [192.0.2.7]) by mx (Postfix) with ESMTP id 1; Sun, 22 Nov 2026 17:53:20 +0000\r\n"
    assert read(line % (b"[198.51.100.9]", b"Exim.example")) == Relay("198.51.100.9", "", "", "mx", False, None)
    forged = b"a (b [198.51.100.9]) by c (Postfix) with ESMTPA (d"
    assert read(line % (forged, b"e")) == Relay("198.51.100.9", "a", "b", "c", True, None)
    sender = read(line % (b"envelope-from=x@example.com", b"e"))
    assert sender
    assert sender.sender == "x@example.com"
