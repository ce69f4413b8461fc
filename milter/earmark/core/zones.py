"""DNS lists (RFC 5782) as values: a Zone, its code book, and the reading of its answers."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from earmark.core.evidence import Points, Status

# Addresses that no list is asked about. The documentation ranges (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24,
# 2001:db8::/32, 3fff::/20) count as public here, since tests and examples use them. Source: the IANA registries of
# special-purpose addresses.
_NOT_ASKED_4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
# Of IPv6, only 2000::/3 is given out (NAT64, unique local, link-local and multicast lie outside), and in it not these:
# IETF protocol assignments, Teredo among them, and 6to4.
_NOT_ASKED_6 = ("2001::/23", "2002::/16")


def _bounds(ranges: Iterable[IPv4Network | IPv6Network]) -> list[int]:
    """Return where each range begins and where it has ended, ascending: an odd place in this list is inside one."""
    return [int(edge) + beyond for part in ranges for edge, beyond in ((part[0], 0), (part[-1], 1))]


_BOUNDS_4 = _bounds(IPv4Network(text) for text in _NOT_ASKED_4)
_BOUNDS_6 = _bounds(IPv6Network(text) for text in _NOT_ASKED_6)


@lru_cache(maxsize=4096)
def is_public(address: str) -> bool:
    """Return whether a list may be asked about this address (canonical text). False for what is no address."""
    octets = _octets(address)
    if octets:
        return not bisect_right(_BOUNDS_4, int.from_bytes(octets, "big")) & 1
    if ":" not in address:
        return False
    try:
        number = int(IPv6Address(address))
    except ValueError:
        return False
    return number >> 125 == 1 and not bisect_right(_BOUNDS_6, number) & 1


def _octets(address: str) -> bytes:
    """Return the octets of an IPv4 address in canonical text, or b"". Runs for each address of each message."""
    try:
        first, second, third, fourth = octets = bytes(map(int, address.split(".")))
    except ValueError:
        return b""
    return octets if f"{first}.{second}.{third}.{fourth}" == address else b""


def reversed_name(address: str) -> str:
    """Return the labels under which a list has this address (RFC 5782 sections 2.1 and 2.4). Raises ValueError.

    Any text form will do; IPv4 inside IPv6 (`::ffff:192.0.2.1`) is looked up as the IPv4 address that it means.
    """
    octets = _octets(address)
    if not octets and ":" in address:
        parsed = IPv6Address(address.partition("%")[0])
        if parsed.ipv4_mapped is None:
            return ".".join(reversed(f"{int(parsed):032x}"))
        octets = parsed.ipv4_mapped.packed
    if not octets:
        raise ValueError(f"not an IP address: {address!r}")
    return f"{octets[3]}.{octets[2]}.{octets[1]}.{octets[0]}"


class ZoneKind(StrEnum):
    """What a listing means."""

    BLOCK = "block"
    ALLOW = "allow"


class Code(NamedTuple):
    """One entry of a code book: which answers it stands for and what they mean.

    An answer matches when it lies in 127.0.0.0/8 and `(answer & mask)` between `low` and `high`; an exact code has mask
    0xffffffff and low equal to high.
    """

    symbol: str
    """The finding's name, such as "ZEN_SBL"."""
    low: int
    high: int
    mask: int
    score: Points
    """Weight on the connection; positive in a block list, negative in an allow list."""
    meaning: str
    scope: str
    """What is listed: "address", "network", "policy" (PBL-like: addresses that should not send directly), "domain"."""
    deep: bool
    """Whether it counts for a hop deeper than the handing-over client."""

    def matches(self, answer: int) -> bool:
        """Return whether the answer, as a 32-bit number, is one that this entry stands for."""
        return answer >> 24 == 127 and self.low <= (answer & self.mask) <= self.high


class ErrorCode(NamedTuple):
    """An answer by which the list says that it will not answer, not that something is listed."""

    low: int
    high: int
    meaning: str


class Zone(NamedTuple):
    """A DNS list: who runs it, what it may be asked, and what its answers mean. Data from rules/zones.toml."""

    name: str
    owner: str
    """Lists of one owner, or with one data source, count once: the heaviest."""
    kind: ZoneKind
    codes: tuple[Code, ...]
    errors: tuple[ErrorCode, ...] = ()
    connection: bool = True
    """May be asked about the connecting client."""
    received: bool = False
    """May be asked about hops of the Received chain."""
    ipv4: bool = True
    ipv6: bool = False
    timeout: float = 5.0
    """Seconds after which a look-up is given up."""
    terms: str = ""
    review: str = ""
    """The date, as YYYY-MM-DD, by which somebody should look at this entry again."""
    names: bool = False
    """It lists domain names (RFC 5782 section 2.2), and is never asked about an address."""
    sender: bool = False
    """Of a list of names: may be asked about the domain of the reverse-path."""
    helo: bool = False
    """Likewise, about the name in HELO or EHLO."""
    reverse: bool = False
    """Likewise, about the client's confirmed reverse name."""
    listed_canary: bool = True
    """It lists the test entry of RFC 5782 section 5: 127.0.0.2 and ::FFFF:7F00:2, of names TEST."""
    unlisted_canary: bool = True
    """It does not list the other one: 127.0.0.1 and ::FFFF:7F00:1, of names INVALID."""
    budget: int = 0
    """Queries a day that its terms allow; 0 where they name no number."""
    key_file: str = ""
    """The file with the customer's key, which is one label in front of the zone's name; "" for a list without keys."""

    def takes(self, address: str) -> bool:
        """Return whether the zone has a list for this family of addresses; a list of names has none."""
        return not self.names and self.ipv6 if ":" in address else self.ipv4

    def entries(self, answers: Iterable[str]) -> tuple[Code, ...]:
        """Return the code book's entries for these answers, each once, in the book's order."""
        numbers = [int(IPv4Address(answer)) for answer in answers]
        return tuple(code for code in self.codes if any(code.matches(number) for number in numbers))


_GENERIC_ERRORS = 0x7FFFFF00  # 127.255.255.0/24


def read_answer(zone: Zone, answers: Sequence[str]) -> tuple[Status, tuple[str, ...], str]:
    """Return what a zone's A records mean: status, the codes that count, and why where nothing can be said.

    An error code (127.255.255.0/24 in every zone, others as the code book says) spoils the whole answer: a list that
    refuses us says nothing else of worth. An answer outside 127.0.0.0/8 (the resolver rewrites, or the list's domain
    was lost) and a code that the book does not know are passed over where a known code stands beside them. None of
    these is a listing.
    """
    listed, odd = [], []
    for answer in answers:
        why = refusal(zone, answer)
        if why:
            return Status.TEMPERROR, (), f"error code {answer}: {why}"
        number = int(IPv4Address(answer))
        if any(code.matches(number) for code in zone.codes):
            listed.append(answer)
        else:
            odd.append(answer)
    if listed:
        return (Status.PASS if zone.kind is ZoneKind.ALLOW else Status.FAIL), tuple(sorted(listed)), ""
    if odd:
        return Status.TEMPERROR, (), _odd_answer(odd[0])
    return Status.NONE, (), ""


def refusal(zone: Zone, answer: str) -> str:
    """Return what the list means by an answer that is one of its error codes; "" for any other address."""
    number = int(IPv4Address(answer))
    for error in zone.errors:
        if error.low <= number <= error.high:
            return error.meaning
    return "the list refuses to answer this resolver" if number & 0xFFFFFF00 == _GENERIC_ERRORS else ""


def _odd_answer(answer: str) -> str:
    if answer.startswith("127."):
        return f"code {answer} is not in the code book"
    return f"answer {answer} is outside 127.0.0.0/8: rewritten by the resolver, or the list is gone"
