"""A list of domain names is never asked about an address, whatever a client says."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import example, given
from hypothesis import strategies as st

from earmark.clients.dns import Done
from earmark.clients.offline import ZoneFile
from earmark.clients.zones import Zones
from earmark.config.suffixes import registrable
from earmark.core.checks.domain_listings import DomainListingsKnobs, wants
from earmark.core.evidence import DomainListing, Fact, Facts, ReverseName, Status
from earmark.core.mail import Client, Envelope, domain_key, last_two_labels, parse_path
from earmark.wire import dnsxl
from fakes.policies import NAME_ZONES, SITE

CLIENT = "192.0.2.7"
Suffixes = Callable[[str], str]
KNOBS = DomainListingsKnobs(NAME_ZONES)


def notations(address: IPv4Address | IPv6Address) -> list[str]:
    """The ways in which an address is written, rightly and wrongly."""
    text = str(address)
    plain = [text, f"[{text}]", f"{text}.", f"[IPv6:{text}]", f"{text}%eth0", address.reverse_pointer, address.exploded]
    if isinstance(address, IPv6Address):
        return [*plain, ".".join(address.exploded.replace(":", ""))]
    octets = address.packed
    octal, hexadecimal = ".".join(f"0{octet:o}" for octet in octets), ".".join(f"0x{octet:x}" for octet in octets)
    short = f"{octets[0]}.{int.from_bytes(octets[1:], 'big')}"
    return [*plain, octal, hexadecimal, str(int(address)), hex(int(address)), short, f"::ffff:{text}", f"{text}.0x1"]


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).flatmap(lambda ip: st.sampled_from(notations(ip)))
noise = st.text(st.sampled_from("0123456789abcdefx.:[]-_%@ \0é"), max_size=30)
hostile = st.one_of(addresses, noise, st.text(max_size=300), st.builds("{}.{}".format, noise, addresses))


def is_address(domain: str) -> bool:
    """Whether any resolver or library could take this for an address: its last label is a number (WHATWG URL 3.5)."""
    try:
        ip_address(domain)
    except ValueError:
        return bool(re.fullmatch(r"\d+|0x[0-9a-f]*", domain.rpartition(".")[2])) or domain.endswith(".arpa")
    return True


@given(hostile, hostile, hostile, st.sampled_from([registrable, last_two_labels]))
@example("192.0.2.7", "a@[192.0.2.7]", "7.2.0.192.in-addr.arpa", registrable)
@example("192.0.2.0x7", "a@192.0.2.7", "192.0.2.7", last_two_labels)
def test_no_list_of_names_is_ever_asked_about_an_address(
    helo: str, sender: str, reverse: str, suffixes: Suffixes
) -> None:
    site = SITE._replace(registrable=suffixes)
    path = parse_path(f"<a@{sender}>".encode("utf-8", "replace"))
    facts: Facts = {ReverseName(CLIENT): Fact(Status.PASS, (reverse,), 60)}
    for question in wants(Envelope(Client(CLIENT), site, helo, path), facts, KNOBS):
        if isinstance(question, DomainListing):
            assert not is_address(question.domain), question
            assert dnsxl.labels(f"{question.domain}.{question.zone}")


class Overheard(ZoneFile):
    """Knows nothing, and notes which names it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def lookup_question(self, asked: bytes, done: Done, *, give_up: float = 5.0) -> None:
        self.asked.append(dnsxl.read_question(asked)[0])
        super().lookup_question(asked, done, give_up=give_up)


@given(addresses.map(domain_key).filter(is_address).filter(lambda name: not name.endswith(".arpa")))
def test_even_when_asked_the_client_sends_no_query_for_an_address(name: str) -> None:
    overheard = Overheard()
    answers: list[Fact] = []
    Zones(overheard, NAME_ZONES).ask(DomainListing("names.example", name), lambda _, fact: answers.append(fact))
    assert [fact.status for fact in answers] == [Status.TEMPERROR]
    assert overheard.asked == []


@given(hostile.map(domain_key))
def test_the_registrable_domain_is_the_end_of_the_name_or_nothing(name: str) -> None:
    domain = registrable(name)
    assert not domain or name == domain or name.endswith(f".{domain}")
