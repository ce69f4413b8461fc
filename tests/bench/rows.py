"""What is measured, and the figure that each row has to hold."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from bench import servers
from bench.lists import DEAD_ZONE, ZONES, relay
from bench.load import Addresses, run_load
from bench.machine import resident
from bench.rounds import Contender, alternate, cpu_ratios
from bench.signing import signature
from earmark.core.checks import CHECKS

_LIST_DELAY = 50
_OPEN_LOOP_SECONDS = 4
_SESSIONS = 10_000
_CACHES_FULL = 40_000
"""Messages that bring 200,000 answers: the cache (100,000) has turned over once, and its table been built anew."""
_CHUNK = 10_000
_DEAD_SESSIONS = 1000
_DEAD_MESSAGES = 1000
_WARM_MESSAGES = 2000


SECTIONS = tuple(check.name for check in CHECKS)


class Row(NamedTuple):
    """A figure and its goal."""

    name: str
    ratio: float
    """In `unit`; the median over the rounds where there are rounds."""
    goal: float
    spread: tuple[float, float]
    """The smallest and the largest of the rounds."""
    unit: str
    at_most: bool
    """Whether the goal is a ceiling; else it is a floor."""
    what: str
    figures: dict[str, float]
    """What the ratio was made of."""

    @property
    def ok(self) -> bool:
        """Whether the goal holds."""
        return not self.figures.get("dropped") and (
            self.ratio <= self.goal if self.at_most else self.ratio >= self.goal
        )


class Conditions(NamedTuple):
    """How to measure."""

    dns: int
    """The lists' port."""
    rounds: int
    messages: int
    """How many for the row on memory."""
    addresses: Addresses


def median_row(
    name: str, ratios: Sequence[float], goal: float, what: str, figures: dict[str, float], *, unit: str = "x",
    at_most: bool = False,
) -> Row:  # fmt: skip
    """Return the row of a figure that each round has given."""
    spread = (min(ratios), max(ratios))
    return Row(name, statistics.median(ratios), goal, spread, unit, at_most, what, figures)


_OURS = {"rspamd": "earmark", "libmilter": "earmark", "libmilter-without-received": "earmark-without-received"}
_PEER = {"rspamd": "rspamd", "libmilter": "libmilter", "libmilter-without-received": "libmilter"}
_GOAL = {"rspamd": 3.0, "libmilter": 0.8, "libmilter-without-received": 1.0}
_WHAT = {
    "rspamd": "CPU a message of rspamd 3.4 (rbl module, same lists, log on; parses MIME too) / earmark's, whole path",
    "libmilter": "CPU a message of a C libmilter that does nothing (no-reply flags) / earmark's, whole path",
    "libmilter-without-received": "the same, without the Received marks",
}


def _open(name: str, dns: int) -> servers.Running:
    if name == "rspamd":
        return servers.rspamd(dns)
    if name == "libmilter":
        return servers.libmilter()
    if name == "earmark-without-received":
        return servers.earmark(dns, name=name, received=())
    return servers.earmark(dns, name=name)


def whole_path(conditions: Conditions, wanted: Sequence[str]) -> Iterator[Row]:
    """Compare CPU a message with the peers', all of them alternating."""
    names = dict.fromkeys([*(_OURS[row] for row in wanted), *(_PEER[row] for row in wanted)])
    with ExitStack() as stack:
        contenders = {
            name: Contender(stack.enter_context(_open(name, conditions.dns)), conditions.addresses) for name in names
        }
        alternate(list(contenders.values()), conditions.rounds)
    for row in wanted:
        ours, peer = contenders[_OURS[row]], contenders[_PEER[row]]
        figures = {
            "cpu_us": ours.cpu, "peer_cpu_us": peer.cpu, "messages_a_second": ours.rate,
            "peer_messages_a_second": peer.rate, "dropped": float(ours.dropped + peer.dropped),
        }  # fmt: skip
        yield median_row(row, cpu_ratios(peer, ours), _GOAL[row], _WHAT[row], figures)


def added_delay(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Take the time from when a message was due to the answer to RCPT, above that of a list."""
    added, medians, dropped = [], [], 0
    with relay(conditions.dns, milliseconds=_LIST_DELAY) as dns, servers.earmark(dns) as server:
        messages, take = 4000, conditions.addresses.take
        run_load(server.socket, take(messages), messages, connections=400)
        peak = run_load(server.socket, take(messages), messages, connections=400).rate
        rate = 0.3 * peak
        messages = int(rate * _OPEN_LOOP_SECONDS)
        for _ in range(conditions.rounds):
            load = run_load(server.socket, take(messages), messages, connections=2000, rate=rate)
            dropped += load.lost + load.deferred
            added.append(load.milliseconds["rcpt_answered"]["p99"] - _LIST_DELAY)
            medians.append(load.milliseconds["rcpt_answered"]["p50"] - _LIST_DELAY)
    figures = {
        "peak_messages_a_second": peak, "messages_a_second": rate, "p50_ms": statistics.median(medians),
        "dropped": float(dropped),
    }  # fmt: skip
    what = "from when a message is due to the answer to RCPT, 99th percentile, above the 50 ms that every list takes"
    yield median_row("added-delay", added, 5.0, what, figures, unit="ms", at_most=True)


def waiting_sessions(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Hold 10,000 sessions after MAIL in a worker whose caches are full, then let them all go on."""
    take = conditions.addresses.take
    with servers.earmark(conditions.dns) as server:
        run_load(server.socket, take(_CACHES_FULL), _CACHES_FULL)
        before, held = resident(server.pid), 0

        def look() -> None:
            nonlocal held
            held = resident(server.pid)

        load = run_load(server.socket, take(_SESSIONS), _SESSIONS, connections=_SESSIONS, while_held=look, patience=120)
    each = (held - before) / _SESSIONS / 1024
    dropped = _SESSIONS - load.messages + load.deferred
    figures = {"sessions": float(load.held), "dropped": float(dropped), "worker_mb": held / 1e6,
               "slowest_answer_ms": load.milliseconds["message"]["max"]}  # fmt: skip
    what = "resident memory of the worker for each of 10,000 sessions that wait after MAIL; none may be dropped"
    yield median_row("waiting-sessions", [each], 20.0, what, figures, unit="KiB", at_most=True)


def memory(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Compare the worker's memory after many messages with that when its caches were just full."""
    sizes: list[int] = []
    sent = 0
    started = time.monotonic()
    with servers.earmark(conditions.dns) as server:
        while sent < conditions.messages or len(sizes) < 2:
            count = _CHUNK if sizes else _CACHES_FULL
            run_load(server.socket, conditions.addresses.take(count), count)
            sent += count
            sizes.append(resident(server.pid))
    figures = {
        "messages": float(sent),
        "full_mb": sizes[0] / 1e6,
        "last_mb": sizes[-1] / 1e6,
        "messages_a_second": sent / (time.monotonic() - started),
    }
    what = f"resident memory of the worker at the end / after {_CACHES_FULL} messages, when all caches are full"
    grown = [size / sizes[0] for size in sizes]
    yield Row("memory", grown[-1], 1.05, (min(grown), max(grown)), "x", at_most=True, what=what, figures=figures)


def dead_list(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Compare CPU a message with one list of five dead, and without that list."""
    with relay(conditions.dns, dead=DEAD_ZONE) as dns, ExitStack() as stack:
        with_dead, without = (
            Contender(
                stack.enter_context(servers.earmark(dns, name=name, zones=zones)), conditions.addresses,
                connections=_DEAD_SESSIONS, messages=_DEAD_MESSAGES,
            )
            for name, zones in (("with a dead list", ZONES), ("without it", ZONES[:-1]))
        )  # fmt: skip
        alternate((with_dead, without), conditions.rounds)
    waited = statistics.median(sample.load.milliseconds["rcpt"]["p50"] for sample in with_dead.samples)
    figures = {
        "cpu_us": with_dead.cpu, "cpu_us_without": without.cpu, "messages_a_second": with_dead.rate,
        "messages_a_second_without": without.rate, "rcpt_wait_ms": waited,
        "dropped": float(with_dead.dropped + without.dropped),
    }  # fmt: skip
    what = "CPU a message with one of five lists dead / without that list"
    yield median_row("dead-list", cpu_ratios(with_dead, without), 1.05, what, figures, at_most=True)


def checks(conditions: Conditions, _wanted: Sequence[str]) -> Iterator[Row]:
    """Take what each check costs alone, and all together, above a policy that looks at nothing; all answers cached.

    But for SPF: with clients that came before, its results would be cached too, and not only the records.
    """
    looking: dict[str, frozenset[str] | None] = {
        "nothing": frozenset(),
        **{name: frozenset({name}) for name in SECTIONS},
        "most": frozenset(SECTIONS) - {"spf", "authentication"},
        "signed": frozenset({"authentication"}),
        "everything": None,
    }
    with ExitStack() as stack:
        contenders = {
            name: Contender(
                stack.enter_context(servers.earmark(conditions.dns, name=name, checks=which)),
                conditions.addresses,
                messages=_WARM_MESSAGES,
                warm=name != "spf",
                signature=signature() if name in {"signed", "everything"} else "",
            )
            for name, which in looking.items()
        }
        alternate(list(contenders.values()), conditions.rounds)
    above = {name: [one.cpu - other.cpu for one, other in zip(each.samples, contenders["nothing"].samples, strict=True)]
             for name, each in contenders.items()}  # fmt: skip
    figures = {f"{name}_us": statistics.median(above[name]) for name in SECTIONS}
    figures |= {"nothing_us": contenders["nothing"].cpu, "everything_us": contenders["everything"].cpu}
    figures["dropped"] = float(sum(each.dropped for each in contenders.values()))
    for row, name, goal, what in _CHECK_ROWS:
        yield median_row(row, above[name], goal, what, figures if row == "checks" else {}, unit="us", at_most=True)


_CHECK_ROWS = (
    ("checks", "most", 500.0, "CPU a message of all checks but [spf] and [authentication], above none of them"),
    ("spf", "spf", 300.0, "the same of [spf] alone"),
    ("dkim", "signed", math.inf, "the same of [authentication] alone, for a message with a DKIM signature"),
)  # fmt: skip
"""Row, contender, goal, and what it is."""

Measure = Callable[[Conditions, Sequence[str]], Iterator[Row]]

ROWS: dict[str, Measure] = {
    "rspamd": whole_path,
    "libmilter": whole_path,
    "libmilter-without-received": whole_path,
    "added-delay": added_delay,
    "waiting-sessions": waiting_sessions,
    "memory": memory,
    "dead-list": dead_list,
    "checks": checks,
    "spf": checks,
    "dkim": checks,
}
"""By name, in the order in which they are measured."""
