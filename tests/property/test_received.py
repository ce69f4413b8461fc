"""Laws of the Received chain: it never raises, stays linear, and believes nobody it should not."""

import re
import sys
from collections.abc import Callable
from ipaddress import ip_network
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from earmark.core import received_clauses
from earmark.core.mail import Header, Site, parse_address_text, within
from earmark.core.received import read_chain
from earmark.core.received_forms import read_line

OURS = ip_network("198.51.100.0/24")
SITE = Site(names=frozenset({"mx.example.org"}), networks=(ip_network("127.0.0.0/8"),), relays=(OURS,))
PIECES = (
    rb"from by with for id via ( ) [ ] ; \\ [192.0.2.7] 192.0.2.7 [IPv6:2001:db8::7] [198.51.100.5] 198.51.100.5"
    b" 127.0.0.1 HELO helo= mx.example.org ESMTPA a.example x[192.0.2.7] \x00 \xff"
).split(b" ")
PIECES += [b"\t", b"\r\n ", b'"', b"Authenticated sender: x", b"(a.example [192.0.2.7])"]
VALUES = st.lists(st.sampled_from(PIECES), max_size=40).map(b" ".join) | st.binary(max_size=400)
NESTINGS: list[Callable[[int], bytes]] = [
    lambda size: b"from a " + b"(" * size,
    lambda size: b"from a " + b")" * size,
    lambda size: b"from a " + b"(a)" * (size // 3),
    lambda size: b"from a " + b"(HELO " * (size // 6),
    lambda size: b"from " + b"a " * (size // 2),
    lambda size: b"from a (" + b"[192.0.2.7] HELO " * (size // 17),
    lambda size: b"from a (" + b"x[" * (size // 2) + b")",
    lambda size: b"from a (" + b"x[] " * (size // 4) + b")",
    lambda size: b"from " * (size // 5),
    lambda size: b"by " * (size // 3),
    lambda size: b"\\" * size,
    lambda size: b"from a (helo=" + b"=" * size,
    lambda size: b"a" * size,
    lambda size: b"from a (" + b"1:" * (size // 2) + b")",
]


@given(VALUES)
@example(b"from a (" + b"(" * 10_000)
def test_any_bytes_are_read_into_printable_text_and_a_canonical_address(value: bytes) -> None:
    line = read_line(value)
    assert line.address == parse_address_text(line.address)
    for text in (line.helo, line.rdns, line.by, line.protocol):
        assert text.isascii()
        assert text.isprintable() or not text
        assert len(text) <= 255


def lines_run(value: bytes) -> int:
    """Return how many lines of Python ran to read the value: its work, but for what single built-in calls do."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read_line(value)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("make", NESTINGS)
def test_twice_the_length_is_at_most_about_twice_the_work(make: Callable[[int], bytes]) -> None:
    small, large = lines_run(make(3000)), lines_run(make(6000))
    assert large <= 2.2 * small + 50


def test_the_expression_that_cuts_a_value_has_nothing_to_go_back_to() -> None:
    pattern = received_clauses._PIECES
    assert pattern.pattern == r"[()]|\\.?|[^()\\]+"
    firsts = [re.compile(alternative, re.DOTALL) for alternative in (r"[()]", r"\\", r"[^()\\]")]
    for character in map(chr, range(256)):
        assert sum(bool(first.match(character)) for first in firsts) == 1


@settings(max_examples=200)
@given(
    st.sampled_from(["192.0.2.7", "203.0.113.9", "2001:db8::9"]),
    st.lists(VALUES, max_size=8),
)
def test_a_stranger_can_write_nothing_that_is_believed(client: str, values: list[bytes]) -> None:
    hops = read_chain([Header(b"Received", value) for value in values], SITE, client)
    assert len(hops) == len(values)
    assert not any(hop.trusted or hop.handed_over for hop in hops)


@given(st.lists(VALUES, max_size=8))
def test_at_most_one_client_hands_over_and_nothing_below_it_is_believed(values: list[bytes]) -> None:
    hops = read_chain([Header(b"Received", value) for value in values], SITE, "198.51.100.5")
    believed = [hop.trusted for hop in hops]
    assert believed == sorted(believed, reverse=True)
    handing = [place for place, hop in enumerate(hops) if hop.handed_over]
    assert len(handing) <= 1
    for place in handing:
        assert not any(believed[place + 1 :])
        assert not within(hops[place].address, SITE.relays + SITE.networks)


@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_what_stands_below_never_changes_what_is_said_above(above: list[bytes], below: list[bytes]) -> None:
    headers = [Header(b"Received", value) for value in above + below]
    assert read_chain(headers, SITE, "198.51.100.5")[: len(above)] == read_chain(
        headers[: len(above)], SITE, "198.51.100.5"
    )
