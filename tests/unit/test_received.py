"""Who is believed in a Received chain, and why."""

from ipaddress import ip_network
from typing import NamedTuple

import pytest

from earmark.core.mail import Header, Hop, Site
from earmark.core.received import MAX_HOPS, read_chain

STRANGER = "192.0.2.7"
RELAY = "198.51.100.5"
OTHER_RELAY = "198.51.100.6"
OURSELVES = "198.51.100.25"
SITE = Site(
    names=frozenset({"mx.example.org", "backup.example.org"}),
    addresses=frozenset({OURSELVES}),
    networks=(ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("10.1.0.0/16")),
    relays=(ip_network("198.51.100.5/32"), ip_network("198.51.100.6/32"), ip_network("2001:db8:5::/48")),
)


def line(client: str, by: str = "relay.example.net", more: str = "") -> str:
    return f"from helo.example (name.example [{client}]) {more} by {by} (Postfix) with ESMTP id 1; Thu, 1 Jan 2026"


def local(by: str = "relay.example.net") -> str:
    return f"by {by} (Postfix, from userid 33) id 1; Thu, 1 Jan 2026"


UNREADABLE = "from helo.example (unknown) by relay.example.net with ESMTP"


def chain(client: str, *lines: str, site: Site = SITE) -> tuple[Hop, ...]:
    return read_chain([Header(b"Received", f" {one}".encode()) for one in lines], site, client)


class Case(NamedTuple):
    name: str
    client: str
    lines: tuple[str, ...]
    hops: str
    """A letter a hop: T trusted, H trusted and naming the client that handed over, c a claim."""


CASES = [
    Case("a stranger's lines are all claims", STRANGER, (line("192.0.2.8"), line("192.0.2.9")), "cc"),
    Case("a stranger who names our relay is not believed", STRANGER, (line(RELAY), line("192.0.2.9")), "cc"),
    Case("a stranger who writes our name is not believed", STRANGER, (line("192.0.2.8", "mx.example.org"),), "c"),
    Case("our relay's line is believed", RELAY, (line(STRANGER), line("192.0.2.8")), "Hc"),
    Case("a chain of our relays is followed", RELAY, (line(OTHER_RELAY), line(STRANGER), line("192.0.2.8")), "THc"),
    Case("a relay by IPv6", "2001:db8:5::1", (line("IPv6:2001:db8:5::2"), line("IPv6:2001:db8::9")), "TH"),
    Case("a host of our own networks is believed", "10.1.2.3", (line(STRANGER),), "H"),
    Case("our own content filter is passed through", RELAY, (line("127.0.0.1"), line(STRANGER)), "TH"),
    Case("our own address is passed through", RELAY, (line(OURSELVES), line(STRANGER)), "TH"),
    Case("a private address that is not ours hands over", RELAY, (line("10.9.0.1"), line(STRANGER)), "Hc"),
    Case("mail made on the relay itself", RELAY, (local(),), "T"),
    Case("what the relay took from its own program", RELAY, (local(), line(STRANGER), line("192.0.2.8")), "THc"),
    Case("qmail writes two lines", RELAY, ("(qmail 7 invoked from network)", line(STRANGER)), "TH"),
    Case("belief ends at a line that cannot be read", RELAY, (UNREADABLE, line(STRANGER)), "Tc"),
    Case("belief ends at a fetched mailbox", RELAY,
         ("from pop.example [192.0.2.9] by relay.example.net with POP3 (fetchmail-6)", line(STRANGER)), "Tc"),
    Case("belief ends at a line that says nothing", RELAY, ("", line(STRANGER)), "Tc"),
    Case("belief ends at a web form", RELAY, ("by relay.example.net with HTTP; Thu, 1 Jan", line(STRANGER)), "Tc"),
    Case("belief does not come back", RELAY, (line(STRANGER), line(RELAY), line("192.0.2.8")), "Hcc"),
    Case("a claim is not followed to our own filter", STRANGER, (line("127.0.0.1"), line(RELAY)), "cc"),
    Case("in a file our own line is believed", "", (line(STRANGER, "mx.example.org"), line("192.0.2.8")), "Hc"),
    Case("in a file our own name is compared as a name", "", (line(STRANGER, "MX.Example.ORG."),), "H"),
    Case("in a file a relay behind us is followed", "", (line(RELAY, "mx.example.org"), line(STRANGER)), "TH"),
    Case("in a file a delivery on the same host is passed through", "",
         ("from a by mx.example.org with LMTP", line(STRANGER, "mx.example.org"), line("192.0.2.8")), "THc"),
    Case("in a file our name below a stranger's line is a claim", "",
         (line("192.0.2.8", "elsewhere.example"), line(STRANGER, "mx.example.org")), "cc"),
    Case("in a file our name below the handing over is a claim", "",
         (line(STRANGER, "mx.example.org"), line("192.0.2.8", "mx.example.org")), "Hc"),
    Case("without relays or networks nobody is believed", RELAY, (line(STRANGER),), "c"),
]  # fmt: skip


def letters(hops: tuple[Hop, ...]) -> str:
    return "".join("H" if hop.handed_over else "T" if hop.trusted else "c" for hop in hops)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_belief_goes_down_to_the_first_stranger(case: Case) -> None:
    site = SITE if "without relays" not in case.name else Site()
    assert letters(chain(case.client, *case.lines, site=site)) == case.hops


def test_there_are_enough_trust_paths() -> None:
    assert len(CASES) >= 20


def test_each_hop_says_why_it_is_believed_or_not() -> None:
    hops = chain(RELAY, line("127.0.0.1"), local(), line(STRANGER), line("192.0.2.8"))
    assert [hop.why for hop in hops] == [
        "written by 198.51.100.5, one of our relays, which handed us the message",
        "written by 127.0.0.1, in our own networks",
        "written by relay.example.net, like the line above; 192.0.2.7 handed it over",
        "a claim: written before 192.0.2.7 handed the message over",
    ]
    assert chain(STRANGER, line("192.0.2.8"))[0].why == (
        "a claim: 192.0.2.7, which handed us the message, is none of our relays"
    )
    assert chain("", line(STRANGER, "mx.example.org"))[0].why == (
        "written by our own host mx.example.org; 192.0.2.7 handed it over"
    )
    assert chain("", line(STRANGER))[0].why == "a claim: it does not bear one of our host names"
    assert chain(RELAY, UNREADABLE, line(STRANGER))[1].why == (
        "a claim: the line above names no client that can be read"
    )


def test_a_hop_that_our_relay_authenticated_says_so() -> None:
    (hop,) = chain(RELAY, line(STRANGER, more="(Authenticated sender: bob)"))
    assert hop.authenticated
    assert hop.handed_over


def test_only_received_fields_count_whatever_their_case() -> None:
    headers = [
        Header(b"X-Received", line("192.0.2.1").encode()),
        Header(b"RECEIVED", line("192.0.2.2").encode()),
        Header(b"Received-SPF", line("192.0.2.3").encode()),
        Header(b"received ", line("192.0.2.4").encode()),
        Header(b"X-Originating-IP", b" [192.0.2.5]"),
    ]
    assert [hop.address for hop in read_chain(headers, SITE, STRANGER)] == ["192.0.2.2", "192.0.2.4"]


@pytest.mark.parametrize("count", [1_000, 100_000])
def test_of_very_many_lines_only_the_newest_are_read(count: int) -> None:
    header = Header(b"Received", line(STRANGER).encode())
    newest = Header(b"Received", line("192.0.2.1").encode())
    hops = read_chain([newest, *([header] * count)], SITE, RELAY)
    assert len(hops) == MAX_HOPS
    assert hops[0].address == "192.0.2.1"


def test_a_message_without_received_has_no_hops() -> None:
    assert chain(RELAY) == ()
    assert read_chain([Header(b"Subject", b" Received: no")], SITE, RELAY) == ()


def test_broken_bytes_give_a_hop_that_says_nothing() -> None:
    headers = [Header(b"Received", value) for value in (b"", b"\x00", b"\xff\xfe", b"(" * 10_000, b"\r\n\r\n")]
    hops = read_chain(headers, SITE, STRANGER)
    assert [(hop.address, hop.trusted) for hop in hops] == [("", False)] * 5
