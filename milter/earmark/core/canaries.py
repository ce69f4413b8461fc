"""Canaries (RFC 5782 section 5): names whose answer is known beforehand, and what a list's other answers to them mean.

Of each list three are asked in a round: the entry that it must list, the one that it must not list, and one that nobody
could have put on a list, drawn anew each time. From what one round saw and the state before follows the state after.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum, auto
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from earmark.core.evidence import Fact, Status
from earmark.core.zones import Zone, ZoneKind, refusal, reversed_name

MORE_STRANGERS = (3, 12)
"""How many strangers more are asked, step by step, while all before them were listed. With the first that makes 16: a
list that has two addresses in five on it, as those of dynamic ranges do, passes but for once in two million rounds."""
_STRANGERS_LISTED = 12
"""Listed strangers that convict, where none was found unlisted; some answers may be lost."""
FEWEST, MOST = 3, 48
"""Good rounds before a list is believed again: at first, and at most after relapses, each of which doubles it."""
CALM = 160
"""Good rounds after which relapses are forgotten: about an hour."""
LIMIT = 255
"""The highest number of rounds that is counted."""
SECONDS_A_ROUND = 18
"""The least time from one round to the next (`service.canary_rounds`)."""

# Where the strangers come from: blocks of IPv4 without a special range in them, and of IPv6 one that is in use.
_FIRST_OCTETS = [octet for octet in range(1, 224) if octet not in (10, 100, 127, 169, 172, 192, 198, 203)]
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


class Condition(StrEnum):
    """Whether a list is believed, and if not, why. All but ARMED count nothing."""

    ARMED = "armed"
    UNCHECKED = "not yet checked"
    REFUSES = "refuses us"
    PUBLIC_RESOLVER = "resolver is a public one"
    REWRITTEN = "resolver rewrites NXDOMAIN"
    STRIPPED = "resolver strips 127/8"
    OUTSIDE = "answers outside 127/8"
    LISTS_WORLD = "lists the world"
    TRUSTS_WORLD = "trusts the world"
    WRONG_ENTRY = "wrong test entry"
    NO_ENTRY = "no test entry"
    NO_KEY = "its key cannot be read"


CONDITIONS = tuple(Condition)
"""A condition's place here is its number in shared memory; ARMED is 0."""


class Outcome(Enum):
    """What a round says of a list that is not plainly bad."""

    GOOD = auto()
    SILENT = auto()
    """No answer, or an error of the resolver's: nothing about the list, but nothing to be had from it either."""
    UNDECIDED = auto()
    """Some answers are missing."""


class State(NamedTuple):
    """What is believed of one list."""

    condition: Condition = Condition.UNCHECKED
    good: int = 0
    """Good rounds in a row, up to LIMIT; counted anew when the list is armed."""
    needed: int = 1
    """Good rounds in a row that it takes to be armed."""


class Seen(NamedTuple):
    """What the canaries of one list answered in one round, as A look-ups. None: it has none, or it was not asked."""

    listed: Fact | None
    unlisted: Fact | None
    strangers: tuple[Fact, ...]

    def facts(self) -> tuple[Fact, ...]:
        """Return all answers, those to strangers first."""
        return (*self.strangers, *(fact for fact in (self.listed, self.unlisted) if fact is not None))


class Judged(NamedTuple):
    """What a round says of one list: what is wrong, or an Outcome."""

    what: Condition | Outcome
    why: str = ""
    lasts: int = 0
    """Seconds for which wrong listings may be remembered in caches."""


def fixed_entries(zone: Zone) -> tuple[str, str]:
    """Return the labels of the two fixed entries, the listed one first; "" for one that the zone says it lacks."""
    if zone.names:
        listed, unlisted = "test", "invalid"
    elif zone.ipv4:
        listed, unlisted = "2.0.0.127", "1.0.0.127"
    else:
        listed, unlisted = (".".join(reversed(f"{0xFFFF7F000000 + last:032x}")) for last in (2, 1))
    return listed if zone.listed_canary else "", unlisted if zone.unlisted_canary else ""


def stranger(zone: Zone, noise: bytes) -> str:
    """Return the labels of an address or name that a list would not have, made of 16 random bytes."""
    if zone.names:
        return f"{random_label(noise)}.com"
    if zone.ipv4:
        first = _FIRST_OCTETS[noise[0] % len(_FIRST_OCTETS)]
        return reversed_name(str(IPv4Address(bytes((first, *noise[1:4])))))
    return reversed_name(str(IPv6Address(bytes((0x2A, noise[1] & 0x0F, *noise[2:16])))))


def random_label(noise: bytes) -> str:
    """Return a label of 16 letters and digits, made of 16 random bytes; it begins with a letter."""
    return "x" + "".join(_LETTERS[byte & 31] for byte in noise[1:16])


class _Says(Enum):
    LISTED = auto()
    NXDOMAIN = auto()
    NODATA = auto()
    ERROR = auto()
    OUTSIDE = auto()
    FAILED = auto()


def _says(zone: Zone, fact: Fact) -> _Says:
    if fact.status is Status.NONE:
        return _Says.NODATA if fact.why == "NODATA" else _Says.NXDOMAIN
    if fact.status is not Status.PASS:
        return _Says.FAILED
    if any(refusal(zone, answer) for answer in fact.data):
        return _Says.ERROR
    return _Says.LISTED if any(answer.startswith("127.") for answer in fact.data) else _Says.OUTSIDE


def is_suspicious(zone: Zone, strangers: Sequence[Fact]) -> bool:
    """Return whether every stranger so far is listed, so that more of them should be asked."""
    return all(_says(zone, fact) is _Says.LISTED for fact in strangers)


def is_outside(zone: Zone, seen: Seen) -> bool:
    """Return whether something was answered that no list answers: by the resolver, or because the list is gone."""
    return any(_says(zone, fact) is _Says.OUTSIDE for fact in seen.facts())


def is_public_resolver(source: str) -> bool:
    """Return whether a Fact's source, "address:port", is one of the well-known resolvers that serve everybody."""
    host = source.rpartition(":")[0].strip("[]")
    try:
        return str(ip_address(host)) in _PUBLIC_RESOLVERS
    except ValueError:
        return False


# Google, Cloudflare, Quad9, OpenDNS, Level 3, Verisign, AdGuard, Yandex, AliDNS, as their operators publish them.
_PUBLIC_RESOLVERS = frozenset({
    "8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844",
    "1.1.1.1", "1.0.0.1", "2606:4700:4700::1111", "2606:4700:4700::1001",
    "9.9.9.9", "149.112.112.112", "2620:fe::fe", "2620:fe::9",
    "208.67.222.222", "208.67.220.220", "2620:119:35::35", "2620:119:53::53",
    "4.2.2.1", "4.2.2.2", "64.6.64.6", "64.6.65.6", "94.140.14.14", "94.140.15.15",
    "77.88.8.8", "77.88.8.1", "223.5.5.5", "223.6.6.6",
})  # fmt: skip


def judge_round(zones: Mapping[str, Zone], seen: Mapping[str, Seen], *, rewritten: bool) -> dict[str, Judged]:
    """Return what one round says of each list that it asked, of all lists in `zones`.

    `rewritten`: a name outside all lists that cannot exist was given an address. What all lists that answer have in
    common is the resolver's doing: none of them returns an address for its listed entry, though the name is there.
    """
    answers = [_says(zones[name], one.listed) for name, one in seen.items() if one.listed is not None]
    heard = {answer for answer in answers if answer is not _Says.FAILED}
    all_asked = len(answers) == sum(zone.listed_canary for zone in zones.values())
    stripped = all_asked and heard == {_Says.NODATA}
    return {name: _judge(zones[name], one, rewritten=rewritten, stripped=stripped) for name, one in seen.items()}


def _judge(zone: Zone, seen: Seen, *, rewritten: bool, stripped: bool) -> Judged:
    says = [(_says(zone, fact), fact) for fact in seen.facts()]
    for answer, fact in says:
        if answer is _Says.ERROR:
            return _refused(zone, fact)
    for answer, fact in says:
        if answer is _Says.OUTSIDE:
            what = Condition.REWRITTEN if rewritten else Condition.OUTSIDE
            return Judged(what, f"it answers {fact.data[0]}")
    return _world(zone, seen) or _entries(zone, seen, stripped=stripped) or _rest(seen)


def _refused(zone: Zone, fact: Fact) -> Judged:
    code, meaning = next((answer, why) for answer in fact.data for why in [refusal(zone, answer)] if why)
    public = code == "127.255.255.254" or is_public_resolver(fact.source)
    what = Condition.PUBLIC_RESOLVER if public else Condition.REFUSES
    return Judged(what, f"error code {code} from {fact.source}: {meaning}")


def _world(zone: Zone, seen: Seen) -> Judged | None:
    """Convict a list that has every stranger on it, answers that were lost aside."""
    says = [_says(zone, fact) for fact in seen.strangers]
    listed = [fact for fact, answer in zip(seen.strangers, says, strict=True) if answer is _Says.LISTED]
    if len(listed) < _STRANGERS_LISTED or any(answer in (_Says.NXDOMAIN, _Says.NODATA) for answer in says):
        return None
    what = Condition.TRUSTS_WORLD if zone.kind is ZoneKind.ALLOW else Condition.LISTS_WORLD
    drawn = "names" if zone.names else "addresses"
    why = f"{listed[0].data[0]} for all of {len(listed)} {drawn} drawn at random"
    return Judged(what, why, max(fact.ttl for fact in listed))


def _entries(zone: Zone, seen: Seen, *, stripped: bool) -> Judged | None:
    listed, unlisted = ("TEST", "INVALID") if zone.names else ("127.0.0.2", "127.0.0.1")
    if seen.unlisted is not None and _says(zone, seen.unlisted) is _Says.LISTED:
        return Judged(Condition.WRONG_ENTRY, f"it lists {unlisted}: {seen.unlisted.data[0]}", seen.unlisted.ttl)
    says = _says(zone, seen.listed) if seen.listed is not None else _Says.LISTED
    if says is _Says.NODATA and stripped:
        return Judged(Condition.STRIPPED, f"{listed} is there but has no address, in every list")
    if says in (_Says.NODATA, _Says.NXDOMAIN):
        return Judged(Condition.NO_ENTRY, f"{listed} is not listed: {seen.listed.why if seen.listed else ''}")
    return None


def _rest(seen: Seen) -> Judged:
    """Say what remains where no answer is wrong."""
    first = seen.strangers[0]
    if first.status is Status.TEMPERROR:
        return Judged(Outcome.SILENT, first.why)
    lost = next((fact for fact in seen.facts() if fact.status is Status.TEMPERROR), None)
    return Judged(Outcome.GOOD) if lost is None else Judged(Outcome.UNDECIDED, lost.why)


def next_state(state: State, judged: Judged) -> State:
    """Return the state after a round: disarmed at once, armed again only after good rounds in a row."""
    match judged.what:
        case Outcome.GOOD:
            return _after_good(state)
        case Outcome.SILENT:
            return state if state.condition is Condition.ARMED else state._replace(good=0)
        case Outcome.UNDECIDED:
            return state
        case Condition() as condition:
            return _after_bad(state, condition, judged.lasts)


def _after_good(state: State) -> State:
    good = min(state.good + 1, LIMIT)
    if state.condition is Condition.ARMED:
        return State(Condition.ARMED, good, 1 if good >= CALM else state.needed)
    if good < state.needed:
        return state._replace(good=good)
    return State(Condition.ARMED, 0, state.needed)


def _after_bad(state: State, condition: Condition, lasts: int) -> State:
    """Disarm. What caches may still hold of a wrong answer must be gone before the list is believed again."""
    needed = state.needed
    if state.condition is Condition.ARMED and needed >= FEWEST:
        needed = min(needed * 2, MOST)
    forgotten = -(-lasts // SECONDS_A_ROUND)
    return State(condition, 0, min(max(FEWEST, needed, forgotten), LIMIT))
