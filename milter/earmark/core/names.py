"""Rules for host names that look generic: an operator gave them to a pool, not an owner to a mail server.

There are no regular expressions in rules: a rule is a set of words, compared with the words of a name, so that a rule
file can make no match slow (docs/adr/0005-name-rules-are-words.md).
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address
from typing import NamedTuple

_WORDS = re.compile(r"[a-z]+|[0-9]+")
_NUMBERS = re.compile(r"[0-9]+")
_HEXADECIMAL = 8
"""Digits of an IPv4 address in hexadecimal: a shorter label cannot hold one."""


@lru_cache(maxsize=16)
def _words(host: str) -> frozenset[str]:
    """Return the runs of letters and of digits of a host name: several rules look at one name, one after the other."""
    return frozenset(_WORDS.findall(host[:255].lower()))


class NameRule(NamedTuple):
    """One rule of rules/names.toml. A name matches when it has what the rule asks for and no `unless` word."""

    name: str
    words: frozenset[str] = frozenset()
    """Any of these stands in the host name, as a whole run of letters."""
    address: bool = False
    """The client's own address stands in the host name; see `holds_address`."""
    unless: frozenset[str] = frozenset()
    """Words by which an owner says that this is a mail server."""

    def matches(self, host: str, address: str) -> bool:
        """Return whether this rule takes `host`, the reverse name of `address`, for generic. Linear in its length."""
        found = _words(host)
        if not self.unless.isdisjoint(found):
            return False
        return not self.words.isdisjoint(found) or (self.address and holds_address(host[:255].lower(), address))


def holds_address(host: str, address: str) -> bool:
    """Return whether all four octets of an IPv4 address stand in the host name (lower case). False for IPv6.

    In order or reversed: as four decimal numbers with something between them, as decimal numbers of three digits each
    without, or in hexadecimal.
    """
    digits = [word.lstrip("0") or "0" for word in _NUMBERS.findall(host)]
    labels = [label for label in host.replace("-", "").replace("_", "").split(".") if len(label) >= _HEXADECIMAL]
    if len(digits) < 4 and not labels:
        return False
    try:
        octets = IPv4Address(address).packed
    except ValueError:
        return False
    return any(_runs(digits, order) or _stands_in(labels, order) for order in (octets, octets[::-1]))


def _runs(digits: list[str], octets: bytes) -> bool:
    wanted = [str(octet) for octet in octets]
    return any(digits[start : start + 4] == wanted for start in range(len(digits) - 3))


def _stands_in(labels: list[str], octets: bytes) -> bool:
    padded = "".join(f"{octet:03d}" for octet in octets)
    return any(octets.hex() in label or padded in label for label in labels)
