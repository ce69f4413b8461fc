"""DNS answers: our own reader of the common ones, and dnspython behind it, which must agree. Nothing raises."""

from contextlib import suppress

from earmark.clients.dns.codec import read_query, read_reply
from earmark.wire import dnsxl
from fuzz.checking import assert_bounded
from fuzz.running import Target

NAME = "7.2.0.192.bl.example"
ASKED = {rtype: dnsxl.question(NAME, rtype) for rtype in dnsxl.RTYPES}
TOKENS = (
    b"\xc0\x0c", b"\xc0\x00", b"\xc0\xff", b"\0", b"\0\0\x29\x04\xd0\0\0\0\0\0\0", b"\0\1\0\1", b"\0\6\0\1", b"?" * 63,
    b"\0\1\0\1\0\0\x0e\x10\0\4\x7f\0\0\2", b"\x7f\0\0\2", b"\xff\xff\xff\xff", b"\x80", b"\x81\x83", b"\0\4", b"\3com",
)  # fmt: skip

_ESCAPED = frozenset('"();@$')
"""What dnspython writes with a backslash, as in zone files."""


def check(raw: bytes) -> str:
    _names_are_labels(raw)
    assert_bounded(read_query(raw), raw)
    full = read_reply(raw)
    rtype = next((rtype for rtype, asked in ASKED.items() if dnsxl.is_reply(raw, asked)), None)
    if rtype is None:
        return "ignored"
    common = dnsxl.read_common(raw, ASKED[rtype])
    assert 0 <= dnsxl.rcode(raw) <= 15
    if common is None:
        return f"rare: {rtype} {full and full.rcode} {dnsxl.is_truncated(raw)}"
    assert not dnsxl.is_truncated(raw)
    assert 0 <= common.ttl < 2**31
    assert len(common.addresses) * 16 <= len(raw)
    if full is not None and int.from_bytes(raw[8:10], "big") <= 1:
        assert full.rcode == ("NXDOMAIN" if common.rcode else "NOERROR")
        assert set(full.data) == set(common.addresses)
    return "listed" if common.addresses else f"not listed: {rtype} {common.rcode}"


def _names_are_labels(raw: bytes) -> None:
    """What is taken for a name is asked for as it was meant; what is none is a ValueError."""
    name = raw[:400].decode("latin-1")
    with suppress(ValueError):
        question = dnsxl.question(name, "A")
        assert dnsxl.read_question(question) == (name.removesuffix("."), "A")
        assert len(question) <= dnsxl.QUESTION_AT_MOST
        if not _ESCAPED.intersection(name):
            assert read_query(dnsxl.query(1, question)) == (name.removesuffix("."), "A")


TARGET = Target("dnsxl", check, frozenset({"ignored", "rare", "listed", "not listed"}), TOKENS)
