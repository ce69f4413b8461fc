"""DNS lists as values: which addresses are asked about, under which name, and what an answer means."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.core.evidence import Points, Status
from earmark.core.mail import parse_address_text
from earmark.core.zones import Code, is_public, read_answer, reversed_name
from fakes.policies import TRUST, ZEN, number

# Where `is_public` does not say what ipaddress' `is_global` says of this Python, and why it is right.
DOCUMENTATION = [
    ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
]
NOT_UNICAST = [
    ip_network(text)
    for text in (
        "224.0.0.0/4",  # multicast
        "192.88.99.0/24",  # 6to4 relays
        "192.0.0.0/24",  # IETF protocol assignments, of which two are global: no host sends mail from there
        "2001::/23",  # likewise, Teredo among them
        "2002::/16",  # 6to4
    )
]
GIVEN_OUT_6 = ip_network("2000::/3")


def oracle(address: IPv4Address | IPv6Address) -> bool:
    if any(address in network for network in DOCUMENTATION):
        return True
    if any(address in network for network in NOT_UNICAST):
        return False
    return address.is_global and (address.version == 4 or address in GIVEN_OUT_6)


EDGES = [
    network[place]
    for text in [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "::/128",
        "::1/128",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    ]
    for network in [ip_network(text)]
    for place in (0, -1)
]
AROUND = [type(edge)(int(edge) + step) for edge in EDGES for step in (-1, 0, 1) if 0 <= int(edge) + step < 1 << 128]


@pytest.mark.parametrize(
    "address", [str(address) for address in AROUND if address.version == 6 or int(address) < 1 << 32]
)
def test_the_edges_of_every_special_range_are_right(address: str) -> None:
    assert is_public(address) is oracle(ip_address(address))


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_public_as_ipaddress_says_but_for_the_exceptions(address: IPv4Address) -> None:
    assert is_public(str(address)) is oracle(address)


@given(st.ip_addresses(v=6) | st.integers(0x2 << 124, (0x4 << 124) - 1).map(IPv6Address))
def test_every_ipv6_address_is_public_as_ipaddress_says_but_for_the_exceptions(address: IPv6Address) -> None:
    assert is_public(str(address)) is oracle(address)


NOBODYS = [
    "127.0.0.1",
    "10.1.2.3",
    "192.168.0.1",
    "172.31.255.255",
    "100.64.0.1",
    "169.254.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "240.0.0.1",
    "224.0.0.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "64:ff9b::c000:207",
    "2002:c000:207::1",
    "2001:0:1::1",
    "ff02::1",
    "::ffff:203.0.113.77",
]


@pytest.mark.parametrize("address", NOBODYS)
def test_no_list_is_asked_about_addresses_that_are_nobodys(address: str) -> None:
    assert not is_public(address)


NO_ADDRESSES = [
    "a",
    "1",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "+1.2.3.4",
    "1_0.2.3.4",
    "-1.2.3.4",
    "1.2.3.-4",
    "\u0661.2.3.4",
    ":",
    ":::",
    "2001:db8::g",
    "1.2.3.4:25",
    "1..3.4",
]


@pytest.mark.parametrize("text", ["", " 1.2.3.4", "1.2.3.4 ", *NO_ADDRESSES])
def test_what_is_no_address_is_not_public_and_has_no_name(text: str) -> None:
    assert not is_public(text)
    with pytest.raises(ValueError, match=r"."):
        reversed_name(text)


def test_the_name_of_an_ipv4_address_is_its_octets_reversed() -> None:
    assert reversed_name("192.0.2.7") == "7.2.0.192"


FORMS = [
    "2001:db8::c000:207", "2001:DB8::C000:207", "2001:0db8:0000:0000:0000:0000:c000:0207", "2001:db8:0:0:0:0:c000:207",
    "2001:db8::192.0.2.7", "2001:db8:0::0:c000:207", "2001:db8::c000:207%eth0", "2001:db8:0:0:0:0:192.0.2.7",
]  # fmt: skip


def test_all_text_forms_of_an_ipv6_address_have_one_name() -> None:
    name = "7.0.2.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    assert {reversed_name(form) for form in FORMS} == {name}
    assert {parse_address_text(form) for form in FORMS} == {"2001:db8::c000:207"}


@given(st.ip_addresses(v=6), st.sampled_from([str.lower, str.upper]))
def test_the_name_of_an_ipv6_address_is_that_of_its_pointer(address: IPv6Address, case: Callable[[str], str]) -> None:
    expected = ip_address(address.ipv4_mapped or address).reverse_pointer
    for text in (address.exploded, str(address)):
        name = reversed_name(case(text))
        assert name == expected.removesuffix(".ip6.arpa").removesuffix(".in-addr.arpa")


def test_ipv4_inside_ipv6_is_looked_up_as_ipv4() -> None:
    assert reversed_name("::ffff:203.0.113.77") == "77.113.0.203"
    assert parse_address_text("::ffff:203.0.113.77") == "203.0.113.77"


@pytest.mark.parametrize(
    ("answers", "status", "data"),
    [
        ([], Status.NONE, ()),
        (["127.0.0.4"], Status.FAIL, ("127.0.0.4",)),
        (["127.0.0.4", "127.0.0.2"], Status.FAIL, ("127.0.0.2", "127.0.0.4")),
        (["127.0.0.4", "127.0.0.99"], Status.FAIL, ("127.0.0.4",)),
        (["128.0.0.0", "127.0.0.4", "0.0.0.0", "126.255.255.255", "255.255.255.255"], Status.FAIL, ("127.0.0.4",)),
        (["127.0.0.99"], Status.TEMPERROR, ()),
        (["192.0.2.80"], Status.TEMPERROR, ()),
        (["0.0.0.0"], Status.TEMPERROR, ()),
        (["127.255.255.252"], Status.TEMPERROR, ()),
        (["127.255.255.254"], Status.TEMPERROR, ()),
        (["127.255.255.255", "127.0.0.4"], Status.TEMPERROR, ()),
        (["127.0.0.1"], Status.TEMPERROR, ()),
        ([f"127.0.0.{number}" for number in range(2, 80)], Status.FAIL, ("127.0.0.10", "127.0.0.2", "127.0.0.4")),
    ],
)
def test_answers_of_a_block_list(answers: list[str], status: Status, data: tuple[str, ...]) -> None:
    found, codes, why = read_answer(ZEN, answers)
    assert (found, codes) == (status, data)
    assert bool(why) is (status is Status.TEMPERROR)


def test_an_answer_that_is_no_listing_says_what_it_is() -> None:
    assert read_answer(ZEN, ["127.255.255.254"])[2] == (
        "error code 127.255.255.254: the list refuses to answer this resolver"
    )
    assert read_answer(ZEN, ["127.0.0.1"])[2] == "error code 127.0.0.1: query refused"
    assert read_answer(ZEN, ["127.0.0.99"])[2] == "code 127.0.0.99 is not in the code book"
    assert read_answer(ZEN, ["192.0.2.80"])[2].startswith("answer 192.0.2.80 is outside 127.0.0.0/8")


def test_an_allow_list_passes_and_never_fails() -> None:
    assert read_answer(TRUST, ["127.0.5.3"]) == (Status.PASS, ("127.0.5.3",), "")
    assert read_answer(TRUST, ["127.255.255.255"])[0] is Status.TEMPERROR


def test_of_several_codes_each_entry_of_the_book_counts_once() -> None:
    assert [code.symbol for code in ZEN.entries(["127.0.0.4", "127.0.0.2", "127.0.0.4"])] == ["ZEN_SBL", "ZEN_XBL"]
    assert ZEN.entries(["127.0.0.99"]) == ()


@pytest.mark.parametrize("answer", ["93.184.0.4", "126.0.0.4", "0.0.0.4", "128.0.0.4"])
def test_a_masked_code_never_matches_outside_of_127(answer: str) -> None:
    code = Code("LAST_OCTET", 4, 4, 0xFF, Points(100), "last octet", "address", deep=True)
    assert code.matches(number("127.9.9.4"))
    assert not code.matches(number(answer))
