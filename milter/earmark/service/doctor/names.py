"""The resolvers and the DNS lists: who answers, and what do the lists' test entries say (RFC 5782 section 5)?"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from earmark.clients.dns import Resolver
from earmark.clients.dns.server import system_resolvers
from earmark.core.canaries import Condition, Judged, Outcome, is_public_resolver
from earmark.core.evidence import Fact, Status
from earmark.core.zones import Zone
from earmark.service.canary_asking import ask_round
from earmark.service.doctor.diagnosis import Diagnosis, fails, passes, unknown, warns

_LOOPBACK = "1.0.0.127.in-addr.arpa"
"""A name that every resolver answers by itself (RFC 6303)."""
_PATIENCE = 3.0
"""Seconds that a resolver may take."""
_OWN = "name a resolver of your own, such as unbound, in [dns] resolvers"
_MEND = {
    Condition.REFUSES: "read the list's terms: it may want a key ([[zone]] key_file) or a resolver of your own",
    Condition.PUBLIC_RESOLVER: _OWN,
    Condition.REWRITTEN: _OWN,
    Condition.STRIPPED: "switch off the resolver's rebinding protection for the lists (unbound: private-address)",
    Condition.OUTSIDE: "take it out of the policies: its domain was lost",
    Condition.LISTS_WORLD: "take it out of the policies; it may have closed",
    Condition.TRUSTS_WORLD: "use a resolver or a key of your own: you are probably over its limit",
    Condition.WRONG_ENTRY: "wait, or take it out of the policies",
    Condition.NO_ENTRY: "look at its name: it may be misspelt, closed, or known to a private resolver alone",
}


async def ask_resolvers(resolvers: Sequence[str]) -> dict[str, Fact]:
    """Ask each resolver by itself, all at once; none means those of /etc/resolv.conf."""
    names = [*dict.fromkeys(resolvers or system_resolvers())]
    return dict(zip(names, await asyncio.gather(*map(_ask, names)), strict=True))


async def _ask(resolver: str) -> Fact:
    asking = Resolver([resolver], cache_size=2)
    try:
        return await asking.get(_LOOPBACK, "PTR", give_up=_PATIENCE)
    finally:
        asking.close()


def diagnose_resolver(resolver: str, fact: Fact) -> Diagnosis:
    """Say whether a resolver answers us, and is one that lists serve. `fact` is about a name that all know."""
    check = f"resolver {resolver}"
    public = is_public_resolver(fact.source)
    if fact.status is Status.TEMPERROR:
        asked = f"{fact.source}: {fact.why}"
        return fails(check, f"{asked}; it is a public one besides" if public else asked, f"start it, or {_OWN}")
    if public:
        return warns(check, f"{fact.source} is a large public one: most lists refuse to answer it", _OWN)
    return passes(check, f"{fact.source} answers")


def diagnose_lists(zones: Mapping[str, Zone], resolvers: Sequence[str], keys: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Ask the canaries of every list whose key can be read, as `earmark lists test` does."""
    asked = [zone for name, zone in sorted(zones.items()) if name in keys or not zone.key_file]
    found = asyncio.run(ask_round(zones, asked, resolvers, keys))
    for zone in asked:
        yield diagnose_list(zone.name, found.judged[zone.name])


def diagnose_list(zone: str, judged: Judged) -> Diagnosis:
    """Say what one round of canaries means for a list."""
    check = f"list {zone}"
    match judged.what:
        case Outcome.GOOD:
            return passes(check, "its test entries are answered as they must be")
        case Outcome.SILENT:
            return fails(
                check,
                f"no answer: {judged.why}",
                "look at its name; it may be dead, or known to a private resolver alone",
            )
        case Outcome.UNDECIDED:
            return unknown(check, f"some answers are missing: {judged.why}", "run earmark lists test in a while")
        case Condition() as condition:
            return fails(check, f"{condition}: {judged.why}", _MEND[condition])
