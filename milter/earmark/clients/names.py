"""Host names as a client: reverse names, host addresses, mail hosts; each a chain of look-ups that gives one Fact."""

import time
from collections.abc import Sequence

from earmark.clients.dns import Lookups
from earmark.clients.dns.chains import Chains, ask_all, sum_up, unknown
from earmark.core.evidence import Fact, HostAddress, MailHosts, ReverseName, Status
from earmark.core.mail import parse_address_text
from earmark.core.zones import is_public, reversed_name

_NAMES_AT_MOST = 10
"""Reverse names that are followed back (as RFC 7208 section 5.5 limits them)."""
_HOSTS_AT_MOST = 5
"""Mail hosts whose addresses are asked for, the best first."""
_FAMILIES = ("A", "AAAA")


class Names(Chains[ReverseName | HostAddress | MailHosts]):
    """Answers what is asked about names of hosts and domains of mail."""

    async def answer(self, question: ReverseName | HostAddress | MailHosts) -> Fact:
        """Find the answer."""
        match question:
            case ReverseName():
                return await reverse_name(self._resolver, question.address)
            case HostAddress():
                return await host_address(self._resolver, question.name)
            case MailHosts():
                return await mail_hosts(self._resolver, question.domain)


async def reverse_name(resolver: Lookups, address: str) -> Fact:
    """Find the reverse name, and whether it leads back; see `ReverseName`."""
    try:
        arpa = reversed_name(address) + (".ip6.arpa" if ":" in address else ".in-addr.arpa")
    except ValueError:
        return unknown("not an address")
    pointer = await resolver.get(arpa, "PTR")
    if pointer.status is not Status.PASS:
        return pointer
    names = sorted(set(pointer.data))[:_NAMES_AT_MOST]
    family = "AAAA" if ":" in address else "A"
    forward = await ask_all(resolver, [(name, family) for name in names], lambda fact: address in fact.data)
    for name, fact in zip(names, forward, strict=True):
        if fact is not None and address in fact.data:
            return sum_up(Status.PASS, (name,), [pointer, fact])
    answers = [pointer, *(fact for fact in forward if fact is not None)]
    return _failed(answers) or sum_up(Status.FAIL, tuple(names), answers)


async def host_address(resolver: Lookups, name: str) -> Fact:
    """Find the addresses of a host. With one family unknown all is: half a list would contradict those on the other."""
    answers = [fact for fact in await ask_all(resolver, [(name, family) for family in _FAMILIES]) if fact is not None]
    return _failed(answers) or _gathered(answers)


async def mail_hosts(resolver: Lookups, domain: str) -> Fact:
    """Find where a domain's mail goes; see `MailHosts`. One public address is enough to know that it goes somewhere."""
    if domain.startswith("["):
        return _literal(domain)
    exchange = await resolver.get(domain, "MX")
    if exchange.status is Status.TEMPERROR or exchange.why in {"NXDOMAIN", "not a domain name"}:
        return exchange
    if exchange.data == ("0 .",):
        return sum_up(Status.POLICY, (), [exchange], "null MX")
    hosts = _best_hosts(exchange.data) if exchange.data else [domain]
    asked = [(host, family) for host in hosts for family in _FAMILIES]
    found = [fact for fact in await ask_all(resolver, asked, _has_public) if fact is not None]
    answers = [exchange, *found]
    if not any(_has_public(fact) for fact in found) and (failed := _failed(answers)):
        return failed
    missing = "its mail hosts have no address" if exchange.data else "neither MX nor address"
    return _gathered(found, answers, missing)


def _best_hosts(records: Sequence[str]) -> list[str]:
    pairs = sorted((int(preference), host) for preference, _, host in (record.partition(" ") for record in records))
    return list(dict.fromkeys(host for _, host in pairs if host != "."))[:_HOSTS_AT_MOST]


def _literal(domain: str) -> Fact:
    """Answer for an address literal (RFC 5321 section 4.1.3), which needs no look-up."""
    inner = domain[1:].removesuffix("]")
    address = parse_address_text(inner[5:] if inner[:5].lower() == "ipv6:" else inner)
    if address:
        return Fact(Status.PASS, (address,), 3600, time.time(), "earmark")
    return Fact(Status.NONE, (), 3600, time.time(), "earmark", "not an address literal")


def _has_public(fact: Fact) -> bool:
    return any(is_public(address) for address in fact.data)


def _failed(answers: Sequence[Fact]) -> Fact | None:
    """Return the first answer that says nothing."""
    return next((fact for fact in answers if fact.status is Status.TEMPERROR), None)


def _gathered(found: Sequence[Fact], answers: Sequence[Fact] = (), missing: str = "no address") -> Fact:
    """Return all addresses found, or NONE: NXDOMAIN where that is the whole answer."""
    addresses = tuple(dict.fromkeys(address for fact in found for address in fact.data))
    if addresses:
        return sum_up(Status.PASS, addresses, answers or found)
    return sum_up(Status.NONE, (), answers or found, missing)
