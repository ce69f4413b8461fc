"""SPF records as values (RFC 7208 sections 4.5, 4.6, 5, 6 and 12): read once, evaluated many times."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from earmark.core.authentication.spf_macros import MacroString, parse_domain_spec, parse_macro_string
from earmark.core.evidence import Status
from earmark.core.text import printable

RECORD_AT_MOST = 4096
"""Octets of a record that are read; a longer one is an error. Records should fit into 512 (section 3.4)."""
_REMEMBERED_AT_MOST = 1024
"""Octets of a record that is remembered: it bounds what the remembered ones take."""

_RESULTS = {"": Status.PASS, "+": Status.PASS, "-": Status.FAIL, "~": Status.SOFTFAIL, "?": Status.NEUTRAL}
_TERM = re.compile(r"([+?~-]?)([a-z][a-z0-9_.-]*)(.*)", re.IGNORECASE | re.ASCII | re.DOTALL)
_PREFIX = r"0|[1-9][0-9]{0,2}"
_DUAL_PREFIX = re.compile(rf"(.*?)(?:/({_PREFIX}))?(?://({_PREFIX}))?", re.DOTALL)
_SINGLE_PREFIX = re.compile(rf"(.*?)(?:/({_PREFIX}))?", re.DOTALL)


class Network(NamedTuple):
    """The addresses of an `ip4` or `ip6` mechanism."""

    version: int
    first: int
    host_bits: int


class Directive(NamedTuple):
    """A mechanism with the result that it gives where it matches."""

    result: Status
    mechanism: str
    """Lower case: all, include, a, mx, ptr, ip4, ip6, exists."""
    text: str
    """As the record has it."""
    domain: MacroString = ()
    """Empty where the record leaves it out: then it is the domain that is being checked."""
    prefix4: int = 32
    prefix6: int = 128
    network: Network | None = None


class Record(NamedTuple):
    """An SPF record. Modifiers that change no result are checked and left out."""

    directives: tuple[Directive, ...]
    redirect: MacroString = ()
    """Empty where there is none, or where `all` stands before it in effect (section 6.1)."""


def select_record(texts: Iterable[str]) -> str | None:
    """Return the one TXT record that is an SPF record (section 4.5), or None. Raises ValueError for two."""
    found = [text for text in texts if text[:6].lower() == "v=spf1" and text[6:7] in {"", " "}]
    if len(found) > 1:
        raise ValueError("more than one SPF record")
    return found[0] if found else None


def read_record(text: str) -> Record:
    """Read a record that `select_record` gave. Raises ValueError with what is wrong, as PERMERROR wants it.

    A syntax error anywhere is an error of the whole record (section 4.6).
    """
    return _remembered(text) if len(text) <= _REMEMBERED_AT_MOST else _read(text)


def _read(text: str) -> Record:
    if len(text) > RECORD_AT_MOST:
        raise ValueError(f"a record of over {RECORD_AT_MOST} octets")
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    for term in text[6:].split(" "):
        if not term:
            continue
        try:
            _read_term(term, directives, modifiers)
        except ValueError as error:
            raise ValueError(f"{printable(term, 80)}: {error}") from error
    ends = any(directive.mechanism == "all" for directive in directives)
    return Record(tuple(directives), () if ends else modifiers.get("redirect", ()))


_remembered = lru_cache(maxsize=512)(_read)


def _read_term(term: str, directives: list[Directive], modifiers: dict[str, MacroString]) -> None:
    found = _TERM.fullmatch(term)
    if found is None:
        raise ValueError("neither a mechanism nor a modifier")
    qualifier, name, rest = found.groups()
    name = name.lower()
    if not rest.startswith("="):
        directives.append(_directive(_RESULTS[qualifier], name, rest, term))
    elif qualifier:
        raise ValueError("a modifier has no qualifier")
    elif name not in {"redirect", "exp"}:
        parse_macro_string(rest[1:])
    elif name in modifiers:
        raise ValueError("it stands there twice")
    else:
        modifiers[name] = parse_domain_spec(rest[1:])


def _directive(result: Status, name: str, rest: str, text: str) -> Directive:
    match name:
        case "all":
            if rest:
                raise ValueError("it takes no argument")
            return Directive(result, name, text)
        case "ip4" | "ip6":
            return Directive(result, name, text, network=_network(name, _argument(rest)))
        case "include" | "exists":
            return Directive(result, name, text, parse_domain_spec(_argument(rest)))
        case "ptr":
            return Directive(result, name, text, parse_domain_spec(_argument(rest)) if rest else ())
        case "a" | "mx":
            target, prefix4, prefix6 = _matched(_DUAL_PREFIX, rest)
            domain = parse_domain_spec(_argument(target)) if target else ()
            return Directive(result, name, text, domain, _prefix(prefix4, 32), _prefix(prefix6, 128))
        case _:
            raise ValueError("an unknown mechanism")


def _argument(rest: str) -> str:
    if not rest.startswith(":"):
        raise ValueError("a colon is missing")
    return rest[1:]


def _network(name: str, argument: str) -> Network:
    address, prefix = _matched(_SINGLE_PREFIX, argument)
    try:
        made = IPv4Address(address) if name == "ip4" else IPv6Address(address)
    except ValueError:
        raise ValueError("not an address of that kind") from None
    if "%" in address:
        raise ValueError("an address with a zone id")
    host_bits = made.max_prefixlen - _prefix(prefix, made.max_prefixlen)
    return Network(made.version, int(made), host_bits)


def _matched(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    found = pattern.fullmatch(text)
    return found.groups(default="") if found else (text,)


def _prefix(digits: str, longest: int) -> int:
    if not digits:
        return longest
    if int(digits) > longest:
        raise ValueError(f"a prefix longer than {longest}")
    return int(digits)
