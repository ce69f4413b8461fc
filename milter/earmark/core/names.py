"""Rules for host names that look generic: given by an operator to a pool of addresses, not by an owner to a mail server.

There are no regular expressions here: a rule is a set of words, compared with the words of a name, so that a rule file can
make no match slow (docs/adr/0005-name-rules-are-words.md).
"""

import re
from ipaddress import ip_address
from typing import NamedTuple

_WORD = re.compile(r"[a-z]+|[0-9]+")


class NameRule(NamedTuple):
    """One rule of rules/names.toml. A name matches when it has what the rule asks for and none of the `unless` words."""

    name: str
    words: frozenset[str] = frozenset()
    """Any of these stands in the host name, as a whole run of letters."""
    address: bool = False
    """The client's own address stands in the host name: its four octets, in order or reversed, in decimal or hexadecimal."""
    unless: frozenset[str] = frozenset()
    """Words by which an owner says that this is a mail server."""

    def matches(self, host: str, address: str) -> bool:
        """Return whether this rule takes `host`, the reverse name of `address`, for generic. Linear in the name's length."""
        host = host[:255].lower()
        found = set(_WORD.findall(host))
        if self.unless & found:
            return False
        return bool(self.words & found) or (self.address and holds_address(host, address))


def holds_address(host: str, address: str) -> bool:
    """Return whether all four octets of an IPv4 address stand in the host name. False for IPv6."""
    try:
        octets = ip_address(address).packed
    except ValueError:
        return False
    if len(octets) != 4:
        return False
    decimal = [str(octet) for octet in octets]
    digits = [word.lstrip("0") or "0" for word in re.findall(r"[0-9]+", host)]
    padded = "".join(f"{octet:03d}" for octet in octets)
    flat = "".join(character for character in host if character.isalnum())
    return _runs(digits, decimal) or _runs(digits, decimal[::-1]) or octets.hex() in flat or padded in flat


def _runs(digits: list[str], wanted: list[str]) -> bool:
    return any(digits[start : start + 4] == wanted for start in range(len(digits) - 3))
