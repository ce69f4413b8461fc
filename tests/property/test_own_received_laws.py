"""Laws of the Received field that we write for SpamAssassin, whatever a client says."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from earmark.core.mail import Client, Envelope, Site, parse_address_text, parse_path
from earmark.core.own_received import own_received
from fakes.spamassassin_received import read

TOKENS = [
    *(
        "Exim",
        "SMTPSVC",
        "[XMail ",
        "(ecelerity",
        " by ",
        " with ESMTPA",
        " (Postfix) with",
        " SMTPSVC",
        "Authenticated",
    ),
    *("[198.51.100.9]", "[IPv6:2001:db8::9]", "198.51.100.9", "helo=", "HELO ", "envelope-from", "envelope-sender="),
    *(
        "return-path",
        "return-path: ",
        "\r\n",
        "\nReceived: ",
        "(",
        ")",
        "[",
        "]",
        "<",
        ">",
        ";",
        "@",
        "IDENT:",
        "IPv6:",
    ),
    *("with local for", "id ", "unknown", "with HTTP", "(qmail-", ".", "?", "!", "\0", "\t", " ", "\u2028", "\u00e9"),
    *("; Sun, 22 Nov 2026 17:53:20 +0000", "(authenticated)", " (via HTTP)", "GMail", "(fetchmail", "with POP3"),
]
hostile = st.lists(st.sampled_from(TOKENS) | st.text(max_size=12), max_size=8).map("".join)
addresses = st.ip_addresses().map(str).map(parse_address_text).filter(bool)


@given(addresses, st.tuples(*[hostile] * 6), st.floats(0, 4e9))
@example("192.0.2.7", ("[198.51.100.9]", "Exim.example", "Exim", "", "", ""), 0.0)
@example("2001:db8::25", ("envelope-from", "return-path", "x", "mx.Exim", "Exim", ""), 0.0)
def test_no_word_of_a_client_changes_what_spamassassin_takes_for_its_address(
    address: str, said: tuple[str, ...], at: float
) -> None:
    helo, reverse, queue_id, name, user, sender = said
    told = Envelope(
        Client(address),
        Site(),
        helo=helo,
        sender=parse_path(sender.encode("utf-8", "replace")),
        at=at,
        user=user,
        authserv_id=name,
    )
    written = own_received(told, reverse, queue_id)
    lines = written.split(b"\r\n")
    assert written.isascii()
    assert not re.search(rb"[^\t\x20-\x7e]", b"".join(lines))
    assert len(lines) == (6 if user else 5)
    assert [line[:1] for line in lines] == [b"X", b"R", *[b"\t"] * (len(lines) - 3), b""]
    assert all(len(line) < 998 for line in lines)
    relay = read(written.partition(b"\r\n")[2])
    assert relay is not None
    assert parse_address_text(relay.address) == address
    assert (relay.authenticated, relay.sender) == (bool(user), None)
