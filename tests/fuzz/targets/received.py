"""Received fields as a stranger's message may have them. An input is a header. Nothing is believed, nothing raises."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from earmark.core.mail import Header, Site, parse_address_text
from earmark.core.received import read_chain
from earmark.wire.message import split_header
from fuzz.running import Target

FORMS = Path(__file__).parents[2] / "unit" / "received_forms.toml"
STRANGER = "192.0.2.99"
TOKENS = (
    b"(", b")", b"[", b"]", b";", b"\\", b'"', b" by ", b" from ", b" with ESMTPA ", b"\r\n", b"\0", b"\xff", b"HELO ",
    b"\nReceived: ", b"[IPv6:2001:db8::7]", b"192.0.2.7", b"for <b@example.org>", b"helo=",
)  # fmt: skip


def check(raw: bytes) -> str:
    headers = [Header(*field) for field in split_header(raw)[0]]
    whole = Header(b"Received", raw)  # with line ends that no header has
    hops = [*read_chain(headers, Site(), STRANGER), *read_chain([whole], Site(), STRANGER)]
    for hop in hops:
        assert not hop.trusted
        assert hop.address == parse_address_text(hop.address)
        for text in (hop.helo, hop.rdns, hop.by, hop.protocol, hop.why):
            assert text.isascii()
            assert text.isprintable()
            assert len(text) <= 400
    told = sorted({(bool(hop.address), bool(hop.helo), bool(hop.rdns)) for hop in hops})
    return f"{'path' if any(hop.address for hop in hops) else 'no path'}: {told}"


def _forms() -> Iterator[bytes]:
    for form in tomllib.loads(FORMS.read_text())["form"]:
        yield b"Received: " + form["value"].encode() + b"\r\n"


TARGET = Target("received", check, frozenset({"path", "no path"}), TOKENS, more=_forms)
