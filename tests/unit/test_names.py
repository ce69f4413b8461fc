"""Rules for generic-looking host names: sets of words, and the client's own address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.core.names import NameRule, holds_address

IP = "192.0.2.7"
WORDS = NameRule("WORDS", frozenset({"dyn", "pool"}), unless=frozenset({"mail"}))
ADDRESS = NameRule("ADDRESS", address=True, unless=frozenset({"mail"}))


@pytest.mark.parametrize(
    "host",
    ["192.0.2.7.example.net", "7-2-0-192.example.net", "host192x0y2z7.example.net", "192-000-002-007.example.net",
     "192000002007.example.net", "192.000.002.007.example.net",
     "007002000192.example.net", "c0000207.example.net", "c0-00-02-07.example.net",
     "ip-070200c0.example.net", "a.192.0.b.2.7.example.net"],
)  # fmt: skip
def test_the_address_is_found_in_order_and_reversed_in_decimal_and_hexadecimal(host: str) -> None:
    assert holds_address(host, IP)
    assert ADDRESS.matches(host, IP)


@pytest.mark.parametrize(
    "host",
    ["", ".", "mail.example.net", "192.0.2.example.net", "192.0.2.8.example.net", "0.192.2.7.example.net", "1920.0.2.7",
     "c00002.07.example.net", "19200000200.7.example.net"],
)  # fmt: skip
def test_another_address_or_a_part_of_it_is_not_found(host: str) -> None:
    assert not holds_address(host, IP)


@pytest.mark.parametrize("address", ["", "2001:db8::7", "192.0.2", "host"])
def test_only_ipv4_addresses_are_looked_for(address: str) -> None:
    assert not holds_address("192.0.2.7.2001.db8.0.0.example.net", address)


def test_a_word_is_a_whole_run_of_letters_in_any_case() -> None:
    assert WORDS.matches("a12.DYN.example.net", IP)
    assert WORDS.matches("dyn12.example.net", IP)
    assert not WORDS.matches("dynamics.liverpool.example.net", IP)


def test_a_word_of_an_owner_outweighs_all_else() -> None:
    assert not WORDS.matches("mail7.dyn.example.net", IP)
    assert not ADDRESS.matches("mail.192.0.2.7.example.net", IP)


def test_a_rule_without_words_and_address_matches_nothing() -> None:
    assert not NameRule("EMPTY").matches("192.0.2.7.dyn.example.net", IP)


def test_what_stands_beyond_the_longest_name_is_not_read() -> None:
    assert not WORDS.matches("a" * 255 + ".dyn", IP)


@given(st.text(max_size=400), st.text(max_size=40) | st.ip_addresses().map(str))
def test_any_name_and_any_address_are_read(host: str, address: str) -> None:
    for rule in (WORDS, ADDRESS):
        assert rule.matches(host, address) in (True, False)


@given(st.ip_addresses(v=4).map(str), st.sampled_from(["-", ".", "x", "_"]), st.sampled_from([1, -1]))
def test_every_address_is_found_in_a_name_made_of_it(address: str, between: str, step: int) -> None:
    octets = address.split(".")[::step]
    assert holds_address(f"host-{between.join(octets)}.example.net", address)
