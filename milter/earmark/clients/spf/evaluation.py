"""check_host() (RFC 7208 section 4): the records of a domain, and of those that it includes, against one client.

`exp=` is checked for its syntax and not followed: its text is the domain owner's, and no reply of ours quotes it.
"""

from ipaddress import ip_address

from earmark.clients.dns import Lookups
from earmark.clients.spf.asking import HOSTS_AT_MOST, Asking, SpfError
from earmark.core.authentication.spf_identity import is_qualified
from earmark.core.authentication.spf_macros import MacroString, expand_name, letters
from earmark.core.authentication.spf_record import Directive, Network, Record, read_record, select_record
from earmark.core.evidence import CheckHost, Fact, Status
from earmark.core.text import printable

_STEPS_FIRST, _STEPS_LAST = 14, 5
"""Steps that are told: with one line that says how many were left out, 20."""
_STEP_AT_MOST = 120


class Evaluation:
    """One check, of a question whose address is canonical. `run` may be called once."""

    def __init__(self, resolver: Lookups, question: CheckHost) -> None:
        self._asking = Asking(resolver, question.address)
        self._question = question
        client = ip_address(question.address)
        self._client = Network(client.version, int(client), 0)
        self._steps: list[str] = []

    async def run(self) -> Fact:
        """Return the result. Never raises but when it is cancelled."""
        try:
            status, why = await self._check(self._question.domain)
        except SpfError as problem:
            status, why = problem.status, problem.why
        return self._asking.sum_up(status, self._told(), printable(why, 200))

    def _tell(self, domain: str, step: str) -> None:
        self._steps.append(printable(f"{domain}: {step}", _STEP_AT_MOST))

    def _told(self) -> tuple[str, ...]:
        left_out = len(self._steps) - _STEPS_FIRST - _STEPS_LAST
        if left_out <= 1:
            return tuple(self._steps)
        return (*self._steps[:_STEPS_FIRST], f"({left_out} steps left out)", *self._steps[-_STEPS_LAST:])

    async def _check(self, domain: str) -> tuple[Status, str]:
        """Return the result for a domain, and the directive that gave it."""
        record = await self._record(domain)
        if record is None:
            return Status.NONE, f"{domain} has no SPF record"
        for directive in record.directives:
            network = directive.network
            if network is None:
                matches = directive.mechanism == "all" or await self._matches(directive, domain)
            else:
                matches = self._within(network.version, network.first, network.host_bits)
            if matches:
                self._tell(domain, f"{directive.text}: {directive.result}")
                return directive.result, self._whose(directive.text, domain)
        if record.redirect:
            return await self._redirected(record.redirect, domain)
        self._tell(domain, f"no mechanism matches: {Status.NEUTRAL}")
        return Status.NEUTRAL, self._whose("default", domain)

    def _whose(self, text: str, domain: str) -> str:
        return text if domain == self._question.domain else f"{text} of {domain}"

    async def _record(self, domain: str) -> Record | None:
        """Return the domain's record. An included domain without any is the including record's error (section 5.2)."""
        if not is_qualified(domain):
            self._tell(domain, "not a domain that is asked")
            return None
        fact = await self._asking.get(domain, "TXT")
        try:
            text = select_record(fact.data)
            self._tell(domain, text or f"no SPF record {fact.why}".rstrip())
            return None if text is None else read_record(text)
        except ValueError as error:
            raise SpfError(Status.PERMERROR, f"{domain}: {error}") from error

    async def _redirected(self, target: MacroString, domain: str) -> tuple[Status, str]:
        self._asking.count_term()
        name = await self._name(target, domain)
        self._tell(domain, f"redirect to {name}")
        status, why = await self._check(name)
        if status is Status.NONE:
            raise SpfError(Status.PERMERROR, f"redirect of {domain}: {why}")
        return status, why

    async def _matches(self, directive: Directive, domain: str) -> bool:
        """Return whether a mechanism that asks the DNS matches."""
        self._asking.count_term()
        name = await self._name(directive.domain, domain) if directive.domain else domain
        match directive.mechanism:
            case "include":
                return await self._included(name, domain)
            case "a":
                fact = await self._asking.get(name, self._asking.family)
                matches = self._among(fact, directive)
            case "mx":
                matches = await self._mail_hosts(name, directive)
            case "ptr":
                matches = any(_ends_in(host, name) for host in await self._asking.client_names())
            case _:
                fact = await self._asking.get(name, "A")
                matches = bool(fact.data)
        if not matches:
            self._tell(domain, f"{directive.text}: no match{f' ({name})' if directive.domain else ''}")
        return matches

    async def _included(self, name: str, domain: str) -> bool:
        self._tell(domain, f"include {name}")
        status, why = await self._check(name)
        if status is Status.NONE:
            raise SpfError(Status.PERMERROR, f"include of {domain}: {why}")
        return status is Status.PASS

    async def _mail_hosts(self, name: str, directive: Directive) -> bool:
        """Match `mx` (section 5.4). One host that matches is enough, whatever is not known of the others."""
        exchange = await self._asking.get(name, "MX")
        if len(exchange.data) > HOSTS_AT_MOST:
            raise SpfError(Status.PERMERROR, f"{name} has more than {HOSTS_AT_MOST} mail hosts")
        hosts = [record.partition(" ")[2] for record in exchange.data]
        answers = await self._asking.addresses(hosts, lambda fact: self._among(fact, directive))
        if any(self._among(fact, directive) for fact in answers):
            return True
        for fact in answers:
            if fact.status is Status.TEMPERROR:
                raise SpfError(Status.TEMPERROR, f"mail hosts of {name}: {fact.why}")
        return False

    def _among(self, fact: Fact, directive: Directive) -> bool:
        """Return whether the client is one of the addresses, or in their networks."""
        if self._question.address in fact.data:
            return True
        host_bits = 32 - directive.prefix4 if self._client.version == 4 else 128 - directive.prefix6
        return host_bits > 0 and any(
            self._within(self._client.version, int(ip_address(address)), host_bits) for address in fact.data
        )

    def _within(self, version: int, first: int, host_bits: int) -> bool:
        return version == self._client.version and not (first ^ self._client.first) >> host_bits

    async def _name(self, parts: MacroString, domain: str) -> str:
        """Return the name that a domain-spec means."""
        used = letters(parts)
        if not used:
            return expand_name(parts, {}).lower()
        question = self._question
        local, _, sender_domain = question.sender.rpartition("@")
        values = {
            "s": question.sender,
            "l": local,
            "o": sender_domain,
            "d": domain,
            "h": question.helo,
            "v": "in-addr" if self._client.version == 4 else "ip6",
            "i": question.address if self._client.version == 4 else ".".join(f"{self._client.first:032x}"),
        }
        if "p" in used:
            values["p"] = _best_name(await self._asking.client_names(), domain)
        return expand_name(parts, values).lower()


def _ends_in(host: str, name: str) -> bool:
    return host == name or host.endswith("." + name)


def _best_name(names: tuple[str, ...], domain: str) -> str:
    """Return what the macro p stands for (section 7.3): the domain, else a name below it, else any, else "unknown"."""
    below = [name for name in names if _ends_in(name, domain)]
    return domain if domain in names else next(iter([*below, *names]), "unknown")
