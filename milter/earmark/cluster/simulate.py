"""Playing scenarios to the scheduler of Pacemaker, and comparing where the service ends (docs/cluster-policy.md)."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from earmark.cluster.cib import FILTER_UNIT, PER_TARGET, SERVICE, STORAGE, STORAGE_CLONE, render_cib, unit_id
from earmark.cluster.inventory import Inventory
from earmark.cluster.simulate_run import Cluster, SimulationError, Transition
from earmark.cluster.simulate_table import Expected, Operation, Scenario, Shape, Step, Who

_TRANSITIONS = 12
"""After which the cluster goes on for ever: three tries on each of two hosts, and what is around them."""
_SCORES = {"outdated": None, "alone": "1000", "uptodate": "10000"}
"""Promotion scores as ocf:linbit:drbd sets them. None: the agent removes its score, and the host is not promoted."""
_FAILURE = 1
"""OCF_ERR_GENERIC."""


class Outcome(NamedTuple):
    """What has come of a scenario; the fields of `Expected`."""

    service: str
    promoted: str
    fenced: list[str]
    unclean: list[str]
    stops: int
    settles: bool
    levels: int
    wait: int
    """Seconds until Pacemaker looks again; 0 where it still does so by itself."""

    def __str__(self) -> str:
        """Say it in a line, without what is as usual."""
        parts = [f"service {self.service}"]
        parts += [f"promoted {self.promoted}"] if self.promoted != self.service else []
        parts += [f"fenced {', '.join(self.fenced)}"] if self.fenced else []
        parts += [f"not yet fenced {', '.join(self.unclean)}"] if self.unclean else []
        parts += [f"stopped {self.stops} times" if self.stops > 1 else "stopped once"] if self.stops else []
        parts += [f"looks again after {self.wait} s"] if self.wait else []
        parts += [] if self.settles else ["goes on trying"]
        return ", ".join(parts)


class Result(NamedTuple):
    """A scenario that was played."""

    scenario: Scenario
    outcome: Outcome
    differences: list[str]
    """Each "what: expected this, got that". Empty where all is as expected."""


def shape_of(inventory: Inventory) -> Shape:
    """Return what kind of service an inventory has."""
    return "group" if inventory.group else "guest"


def simulate(
    inventory: Inventory, scenarios: Iterable[Scenario], render: Callable[[Inventory], str] = render_cib
) -> Iterator[Result]:
    """Play those scenarios that concern the inventory to the CIB that `render` makes of it.

    Raises SimulationError where crm_simulate is missing or cannot read the CIB, LookupError where a scenario names a
    resource that there is none of.
    """
    concerned = [scenario for scenario in scenarios if _concerns(scenario, inventory)]
    beginnings = {word: _steady(varied, render(varied)) for word, varied in _variants(inventory, concerned).items()}

    def play(scenario: Scenario) -> Result:
        under_way = _Play(beginnings[scenario.filter_failure])
        for step in scenario.steps:
            under_way.step(step)
        outcome = under_way.outcome()
        return Result(scenario, outcome, _differences(scenario.expect, outcome))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(play, concerned)


def _concerns(scenario: Scenario, inventory: Inventory) -> bool:
    """Whether the inventory has that kind of service, and the arbitrator that is spoken of."""
    speaks_of_arbitrator = any(step.arbitrator for step in scenario.steps)
    return shape_of(inventory) in scenario.shapes and (inventory.arbitrator is not None or not speaks_of_arbitrator)


def _variants(inventory: Inventory, scenarios: Iterable[Scenario]) -> dict[str, Inventory]:
    """Return the inventory as scenarios want it, by their word for what a broken filter means."""
    words = {scenario.filter_failure for scenario in scenarios}
    return {word: inventory.model_copy(update={"filter_failure": word} if word else {}) for word in words}


class _Steady(NamedTuple):
    """A cluster in which all is well and nothing is left to do."""

    inventory: Inventory
    cib: str
    transition: Transition


def _steady(inventory: Inventory, cib: str) -> _Steady:
    cluster = Cluster(ET.fromstring(cib))  # noqa: S314 - rendered by us
    names = [host.name for host in inventory.hosts]
    cluster.inject(*(f"--node-up={name}" for name in names))
    for name in names:
        cluster.set_attribute(name, "pingd", str(PER_TARGET * len(inventory.ping)))
        cluster.set_attribute(name, f"master-{STORAGE}", _SCORES["uptodate"])
    for _ in range(_TRANSITIONS):
        transition = cluster.carry_out()
        if transition.nothing:
            return _Steady(inventory, ET.tostring(cluster.cib, encoding="unicode"), transition)
    raise SimulationError("the cluster does not come to rest with both hosts up")


class _Play:
    """One scenario under way."""

    def __init__(self, steady: _Steady) -> None:
        self.inventory = inventory = steady.inventory
        self.cluster = Cluster(ET.fromstring(steady.cib))  # noqa: S314 - rendered by us
        self.main = unit_id(inventory.group.units[-1]) if inventory.group else SERVICE
        self.last = steady.transition
        at_start = [host for resource, host, _ in self.last.places if resource == self.main]
        if len(at_start) != 1:
            raise SimulationError(f"with both hosts up the service runs on {' and '.join(at_start) or 'none of them'}")
        self.names: dict[Who, str] = {"active": at_start[0], "passive": inventory.peer(at_start[0]).name}
        self.heard = set(self.names.values())
        self.disk: dict[Who, str] = dict.fromkeys(self.names, "uptodate")
        self.arbitrator = inventory.arbitrator is not None
        self.quorum: bool | None = None
        self.fencing = "works"
        self.fenced: list[str] = []
        self.stops = 0
        self.settles = True

    def step(self, step: Step) -> None:
        """Let a step happen, and the cluster settle."""
        self.cluster.age(step.later)
        self.fencing = step.fencing or self.fencing
        self.quorum = step.quorum if step.quorum is not None else self.quorum
        self.arbitrator = {"": self.arbitrator, "gone": False, "back": True}[step.arbitrator]
        self.heard -= self._hosts([*step.lost, *step.shutdown])
        self.heard |= self._hosts(step.returns)
        for who, standby in [*((who, True) for who in step.standby), *((who, False) for who in step.unstandby)]:
            self.cluster.set_standby(self.names[who], standby=standby)
        self.cluster.failing += [self._failing(operation) for operation in step.refuses]
        if step.handler:
            host = "" if step.handler == "taken back" else self.names[step.handler]
            self.cluster.set_handlers_constraint(self.inventory.name, STORAGE_CLONE, host)
        self.cluster.set_quorum(quorum=self._quorate())
        self._say_attributes(step)
        self._settle(*self._events(step))

    def _events(self, step: Step) -> Iterator[str]:
        yield from (f"--node-fail={self.names[who]}" for who in step.lost)
        yield from (f"--node-down={self.names[who]}" for who in step.shutdown)
        yield from (f"--node-up={self.names[who]}" for who in step.returns)
        yield from (f"--op-inject={self._failing(operation)}" for operation in step.fails)
        broken = self._filter() if step.filter == "broken" else ""
        if broken:
            self.cluster.failing += [f"{broken}_start_0@{host}={_FAILURE}" for host in self.names.values()]
            where = {host for resource, host, _ in self.last.places if resource == broken}
            yield from (
                f"--op-inject={broken}_monitor_{self.cluster.interval(broken)}@{host}={_FAILURE}" for host in where
            )

    def _filter(self) -> str:
        """Return the resource that fails with the filter, "" where none looks at it."""
        if self.inventory.guest:
            return SERVICE if self.inventory.filter_failure == "move" else ""
        return FILTER_UNIT if self.inventory.group and FILTER_UNIT in self.inventory.group.units else ""

    def _quorate(self) -> bool:
        """Whether more than half of all votes are heard. Without an arbitrator `two_node` lets one of two suffice."""
        if self.quorum is not None:
            return self.quorum
        return self.inventory.arbitrator is None or len(self.heard) + self.arbitrator >= 2

    def _say_attributes(self, step: Step) -> None:
        answers = {**dict.fromkeys(step.returns, len(self.inventory.ping)), **step.answers}
        if step.returns:  # a disk that did not know its peer knows it now
            known = {who: "uptodate" for who, state in self.disk.items() if state == "alone" or who in step.returns}
            self.disk.update(known)
        self.disk.update(step.disk)
        for who, number in answers.items():
            self.cluster.set_attribute(self.names[who], "pingd", str(PER_TARGET * number))
        for who, state in self.disk.items():
            if self.names[who] in self.heard:
                self.cluster.set_attribute(self.names[who], f"master-{STORAGE}", _SCORES[state])

    def _settle(self, *events: str) -> None:
        """Let the events happen, and the scheduler decide until it wants nothing more, or what it wants is refused."""
        for _ in range(_TRANSITIONS):
            if self.fencing != "works":
                self.cluster.inject(*events)
                events = ()
                self.last = self.cluster.inject()
                if self.last.unclean:
                    break
            self.last = self.cluster.carry_out(*events)
            events = ()
            self.fenced += self.last.fenced
            self.stops += sum(action[:2] == (self.main, "stop") for action in self.last.done)
            if self.last.nothing:
                break
        else:
            self.settles = False
            return
        self.settles = True

    def _failing(self, operation: Operation) -> str:
        host = self.names[operation.host]
        resource = self.main if operation.resource == SERVICE else operation.resource
        if resource.startswith("fence-"):
            for who, name in self.names.items():
                resource = resource.replace(f"-{who}-", f"-{name}-")
        roles = [role for found, where, role in self.last.places if (found, where) == (resource, host)]
        role = next((role for role in roles if role in {"Promoted", "Unpromoted"}), "")
        interval = self.cluster.interval(resource, role)
        return f"{resource}_{operation.operation}_{interval * (operation.operation == 'monitor')}@{host}={_FAILURE}"

    def _hosts(self, whom: Iterable[Who]) -> set[str]:
        return {self.names[who] for who in whom}

    def outcome(self) -> Outcome:
        """Return what the scenario has come to."""
        held = bool(self.last.unclean) and self.fencing != "works"
        started = [host for resource, host, _ in self.last.places if resource == self.main]
        promoted = [host for resource, host, role in self.last.places if (resource, role) == (STORAGE, "Promoted")]
        if held:  # what need not wait for the fencing that does not come happens all the same
            started += _free(self.last, self.main, "start")
            promoted += _free(self.last, STORAGE, "promote")
        cut = [*self.fenced, *self.last.unclean]
        return Outcome(
            service=self._who(started),
            promoted=self._who(promoted),
            fenced=[self._who([host]) for host in self.fenced],
            unclean=[self._who([host]) for host in self.last.unclean],
            stops=self.stops,
            settles=self.settles,
            levels=min((self.cluster.fencing_levels(host, self.heard) for host in cut), default=0),
            wait=self._seconds("cluster-recheck-interval") if self.fencing == "given up" else 0,
        )

    def _who(self, hosts: Iterable[str]) -> str:
        """Return hosts in the words of the table."""
        found = set(hosts)
        return " and ".join(who for who, name in self.names.items() if name in found) or "nowhere"

    def _seconds(self, name: str) -> int:
        return int(self.cluster.cluster_option(name).removesuffix("s") or 15 * 60)


def _free(transition: Transition, resource: str, operation: str) -> list[str]:
    return [action.host for action in transition.free if action[:2] == (resource, operation)]


def _differences(expected: Expected, outcome: Outcome) -> list[str]:
    pairs: list[tuple[str, object, object]] = [
        ("service", expected.service, outcome.service),
        ("promoted", expected.promoted or expected.service, outcome.promoted),
        ("fenced", expected.fenced, outcome.fenced),
        ("unclean", expected.unclean, outcome.unclean),
        ("stops", expected.stops, outcome.stops),
        ("settles", expected.settles, outcome.settles),
    ]
    if expected.levels is not None:
        pairs.append(("levels", expected.levels, outcome.levels))
    found = [f"{what}: expected {_words(wish)}, got {_words(got)}" for what, wish, got in pairs if wish != got]
    if expected.wait_at_most is not None and outcome.wait > expected.wait_at_most:
        found.append(f"wait: expected {expected.wait_at_most} s at most, got {outcome.wait} s")
    return found


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
