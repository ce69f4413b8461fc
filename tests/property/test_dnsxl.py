"""The reader in place against the full codec: where both read a packet, they read the same."""

from hypothesis import given
from hypothesis import strategies as st

from earmark.clients.dns.codec import Record, read_query, read_reply, record_from_text, write_reply
from earmark.wire import dnsxl

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
NAMES = st.lists(LABEL, min_size=1, max_size=8).map(".".join)
ADDRESSES = st.ip_addresses(v=4).map(str)
RCODES = st.sampled_from(["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"])


def owned(name: str, addresses: list[str]) -> list[tuple[str, Record]]:
    return [(name + ".", record_from_text("A", address)) for address in addresses]


@given(NAMES, st.sampled_from(sorted(dnsxl.RTYPES)), st.integers(0, 65535), st.booleans())
def test_a_packed_query_is_what_the_full_codec_reads(name: str, rtype: str, number: int, edns: bool) -> None:  # noqa: FBT001
    packet = dnsxl.query(number, dnsxl.question(name, rtype), edns=edns)
    assert read_query(packet) == (name, rtype)
    assert int.from_bytes(packet[:2], "big") == number


@given(NAMES, st.lists(ADDRESSES, max_size=5, unique=True), RCODES, st.integers(0, 0x7FFFFFFF))
def test_written_replies_are_read_alike_by_both(name: str, addresses: list[str], rcode: str, ttl: int) -> None:
    asked = dnsxl.question(name, "A")
    records = owned(name, addresses) if rcode == "NOERROR" else []
    packet = write_reply(dnsxl.query(1, asked), rcode, records, ttl=ttl)
    full, common = read_reply(packet), dnsxl.read_common(packet, asked)
    assert dnsxl.is_reply(packet, asked)
    assert full is not None
    if rcode in {"NOERROR", "NXDOMAIN"}:
        assert common == (dnsxl.NXDOMAIN if rcode == "NXDOMAIN" else 0, full.ttl, full.data)
    else:
        assert common is None
        assert full.rcode == rcode


@given(
    st.lists(ADDRESSES, max_size=3, unique=True),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 200),
)
def test_damaged_replies_are_never_read_differently(
    addresses: list[str], damage: list[tuple[int, int]], length: int
) -> None:
    asked = dnsxl.question("7.2.0.192.bl.example", "A")
    query = dnsxl.query(1, asked)
    packet = bytearray(write_reply(query, "NOERROR", owned("7.2.0.192.bl.example", addresses)))
    for position, value in damage:
        packet[position % len(packet)] = value
    hostile = bytes(packet[: length or None])
    if not dnsxl.is_reply(hostile, asked):
        return
    common, full = dnsxl.read_common(hostile, asked), read_reply(hostile)
    if common is not None and full is not None:
        assert ("NOERROR", "NXDOMAIN")[common.rcode == dnsxl.NXDOMAIN] == full.rcode
        assert set(common.addresses) == set(full.data)


@given(st.binary(max_size=300), NAMES)
def test_no_bytes_make_a_reader_raise(tail: bytes, name: str) -> None:
    asked = dnsxl.question(name, "A")
    for packet in (
        tail,
        b"\0\1\x81\x80\0\1\0\1\0\1\0\0" + asked + tail,
        b"\0\1\x81\x83\0\1\0\0\0\1\0\0" + asked + tail,
    ):
        if dnsxl.is_reply(packet, asked):
            dnsxl.read_common(packet, asked)
        read_reply(packet)
        read_query(packet)
