"""The real engine and the real milter front on a real unix socket, in this process, over a literal world."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from earmark.core.checks.access import AccessKnobs
from earmark.core.checks.authentication import AuthenticationKnobs
from earmark.core.checks.client import ClientKnobs
from earmark.core.checks.domain_listings import DomainListingsKnobs
from earmark.core.checks.greylist import GreylistKnobs
from earmark.core.checks.helo import HeloKnobs
from earmark.core.checks.rates import RatesKnobs
from earmark.core.checks.sender import SenderKnobs
from earmark.core.checks.spf import SpfKnobs
from earmark.core.policy import Policy, PolicySet
from earmark.core.record import Judged
from earmark.engine import Engine
from earmark.fronts.milter import MilterFront
from fakes.invariants import Before
from fakes.policies import COP, SITE, TRUST, ZEN, policy
from fakes.world import FakeWorld

GENERATION = "0123456789abcdef" * 4
OWN_SITE = SITE._replace(
    networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), scanners=frozenset({"clamav", "spamassassin"})
)


class EventList:
    """A log that is a list."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def event(self, name: str, **fields: object) -> None:
        told = [f"{key}={value}" for key, value in fields.items() if value != "" and key != "traceback"]
        self.lines.append(" ".join([name, *told]))


@dataclass
class RunningFront:
    """What a test may look at."""

    path: str
    front: MilterFront
    world: FakeWorld
    before: Before
    budget: float
    events: EventList = field(default_factory=EventList)
    told: list[Judged] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """The 4xx and 5xx replies that the MTA side has seen."""


def lists_only(name: str = "default", **settings: Any) -> Policy:
    """A policy that looks at lists and nothing else, so that a test states all that matters."""
    others = {
        "client": ClientKnobs(),
        "helo": HeloKnobs(),
        "sender": SenderKnobs(),
        "spf": SpfKnobs(check=False),
        "domain_listings": DomainListingsKnobs(),
        "access": AccessKnobs(),
        "rates": RatesKnobs(),
        "greylist": GreylistKnobs(),
        "authentication": AuthenticationKnobs(verify=False),
    }
    return policy(name, zones=(ZEN, COP, TRUST), **{**others, **settings})


@asynccontextmanager
async def milter_front(
    world: FakeWorld | None = None,
    *,
    default: Policy | None = None,
    domains: Mapping[str, Policy] | None = None,
    budget: float = 5.0,
    **options: Any,
) -> AsyncIterator[RunningFront]:
    """Serve on a socket in a private directory; the invariants are checked at the end."""
    world = world or FakeWorld()
    before = Before.now()
    events, told = EventList(), list[Judged]()
    ids = (f"ID{number:010d}" for number in range(10**10))
    engine = Engine(
        PolicySet(default or lists_only(), domains or {}, OWN_SITE), world, GENERATION, told.append, budget=budget
    )
    front = MilterFront(replace(engine, new_id=lambda: next(ids)), events, **options)
    with TemporaryDirectory() as directory:
        path = str(Path(directory, "milter"))
        server = await asyncio.get_running_loop().create_unix_server(front.protocol, path, backlog=1024)
        running = RunningFront(path, front, world, before, budget, events, told)
        try:
            yield running
        finally:
            server.close()
            front.close()
            await asyncio.wait_for(front.drained(), 10)
    await before.holds(running.told, running.refusals, budget)
