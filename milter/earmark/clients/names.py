"""Host names as a client: reverse names, host addresses, mail hosts; each a chain of look-ups that gives one Fact."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from earmark.clients.dns import Cache, Lookups
from earmark.core.evidence import Fact, HostAddress, MailHosts, Question, ReverseName, Status
from earmark.core.mail import parse_address_text
from earmark.core.zones import is_public, reversed_name

Deliver = Callable[[Question, Fact], None]

_NAMES_AT_MOST = 10
"""Reverse names that are followed back (as RFC 7208 section 5.5 limits them)."""
_HOSTS_AT_MOST = 5
"""Mail hosts whose addresses are asked for, the best first."""
_FAMILIES = ("A", "AAAA")


class Names:
    """Answers what takes more than one look-up. A question asked twice at once is worked on once."""

    def __init__(self, resolver: Lookups, *, cache_size: int = 20_000) -> None:
        self._resolver = resolver
        self._cache = Cache(cache_size)
        self._open: dict[Question, list[Deliver]] = {}
        self._tasks: dict[Question, asyncio.Task[None]] = {}

    def ask(self, question: ReverseName | HostAddress | MailHosts, deliver: Deliver) -> None:
        """Begin to answer; `deliver` is called once, perhaps at once."""
        known = self._cache.get(question, time.monotonic())
        if known is not None:
            deliver(question, known)
        elif question in self._open:
            self._open[question].append(deliver)
        else:
            self._open[question] = [deliver]
            self._tasks[question] = asyncio.get_running_loop().create_task(self._work_on(question))

    def close(self) -> None:
        """Stop working. Who still waits is told TEMPERROR."""
        for task in self._tasks.values():
            task.cancel()
        for question in list(self._open):
            self._finish(question, _unknown("closed"))

    async def _work_on(self, question: ReverseName | HostAddress | MailHosts) -> None:
        fact = _unknown("broken off")
        try:
            fact = await self._answer(question)
            if fact.status is not Status.TEMPERROR:
                self._cache.put(question, fact, time.monotonic() + fact.at + fact.ttl - time.time())
        finally:
            self._finish(question, fact)

    def _answer(self, question: ReverseName | HostAddress | MailHosts) -> Coroutine[Any, Any, Fact]:
        match question:
            case ReverseName():
                return reverse_name(self._resolver, question.address)
            case HostAddress():
                return host_address(self._resolver, question.name)
            case MailHosts():
                return mail_hosts(self._resolver, question.domain)

    def _finish(self, question: Question, fact: Fact) -> None:
        self._tasks.pop(question, None)
        for deliver in self._open.pop(question, ()):
            try:
                deliver(question, fact)
            except Exception as error:  # noqa: BLE001 - our own bug, reported; the others get their answer
                context = {"message": "taking an answer about a name", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)


async def reverse_name(resolver: Lookups, address: str) -> Fact:
    """Find the reverse name, and whether it leads back; see `ReverseName`."""
    try:
        arpa = reversed_name(address) + (".ip6.arpa" if ":" in address else ".in-addr.arpa")
    except ValueError:
        return _unknown("not an address")
    pointer = await resolver.get(arpa, "PTR")
    if pointer.status is not Status.PASS:
        return pointer
    names = sorted(set(pointer.data))[:_NAMES_AT_MOST]
    family = "AAAA" if ":" in address else "A"
    forward = await _ask_all(resolver, [(name, family) for name in names], lambda fact: address in fact.data)
    for name, fact in zip(names, forward, strict=True):
        if fact is not None and address in fact.data:
            return _sum_up(Status.PASS, (name,), [pointer, fact])
    answers = [pointer, *(fact for fact in forward if fact is not None)]
    return _failed(answers) or _sum_up(Status.FAIL, tuple(names), answers)


async def host_address(resolver: Lookups, name: str) -> Fact:
    """Find the addresses of a host. With one family unknown all is: half a list would contradict those on the other."""
    answers = [fact for fact in await _ask_all(resolver, [(name, family) for family in _FAMILIES]) if fact is not None]
    return _failed(answers) or _gathered(answers)


async def mail_hosts(resolver: Lookups, domain: str) -> Fact:
    """Find where a domain's mail goes; see `MailHosts`. One public address is enough to know that it goes somewhere."""
    if domain.startswith("["):
        return _literal(domain)
    exchange = await resolver.get(domain, "MX")
    if exchange.status is Status.TEMPERROR or exchange.why in {"NXDOMAIN", "not a domain name"}:
        return exchange
    if exchange.data == ("0 .",):
        return _sum_up(Status.POLICY, (), [exchange], "null MX")
    hosts = _best_hosts(exchange.data) if exchange.data else [domain]
    asked = [(host, family) for host in hosts for family in _FAMILIES]
    found = [fact for fact in await _ask_all(resolver, asked, _has_public) if fact is not None]
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


async def _ask_all(
    resolver: Lookups, asked: Sequence[tuple[str, str]], enough: Callable[[Fact], bool] = lambda _: False
) -> list[Fact | None]:
    """Ask side by side; return when all have answered or one answer is enough; what was not waited for is None."""
    answers: list[Fact | None] = [None] * len(asked)
    over = asyncio.get_running_loop().create_future()
    left = len(asked)

    def take(position: int, fact: Fact) -> None:
        nonlocal left
        if over.done():
            return
        answers[position] = fact
        left -= 1
        if not left or enough(fact):
            over.set_result(None)

    for position, (name, rtype) in enumerate(asked):
        resolver.lookup(name, rtype, lambda fact, position=position: take(position, fact))  # type: ignore[misc] # a default binds it
    if asked:
        await over
    return answers


def _failed(answers: Sequence[Fact]) -> Fact | None:
    """Return the first answer that says nothing."""
    return next((fact for fact in answers if fact.status is Status.TEMPERROR), None)


def _gathered(found: Sequence[Fact], answers: Sequence[Fact] = (), missing: str = "no address") -> Fact:
    """Return all addresses found, or NONE: NXDOMAIN where that is the whole answer."""
    addresses = tuple(dict.fromkeys(address for fact in found for address in fact.data))
    if addresses:
        return _sum_up(Status.PASS, addresses, answers or found)
    return _sum_up(Status.NONE, (), answers or found, missing)


def _sum_up(status: Status, data: tuple[str, ...], answers: Sequence[Fact], why: str = "") -> Fact:
    """Return one Fact for several: good until the first of them ends, as old as the oldest."""
    at = min(fact.at for fact in answers)
    until = min(fact.at + fact.ttl for fact in answers)
    return Fact(status, data, max(int(until - at), 0), at, answers[-1].source, why)


def _unknown(why: str) -> Fact:
    return Fact(Status.TEMPERROR, (), 0, time.time(), "earmark", why)
