"""The real engine and the real content front on a real unix socket, in this process, over a literal world."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from earmark.core.policy import Policy, PolicySet
from earmark.core.record import Judged
from earmark.engine import Engine
from earmark.fronts.exim import EximFront
from earmark.wire.exim_message import Fields, written_by_exim
from earmark.wire.rspamc import REPLY_AT_MOST, Request, encode_request
from fakes.invariants import Before
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.policy_front import Mta
from fakes.world import FakeWorld

QUEUE_ID = b"1xVCIk-0006ng-2j"
REQUEST = Request(
    0, b"a@example.net", (b"b@example.org",), QUEUE_ID, b"mail.example.net", b"mail.example.net", b"192.0.2.7"
)
HELLO = ((b"Subject", b" Hello"),)


def received(host: bytes = b"mx.example.org", protocol: bytes = b"esmtp", queue_id: bytes = QUEUE_ID) -> bytes:
    """Return the value of the Received that Exim itself writes, by its default."""
    return (
        b" from [192.0.2.7] (helo=mail.example.net)\n\tby %b with %b (Exim 4.96)\n\t"
        b"(envelope-from <a@example.net>)\n\tid %b\n\tfor b@example.org;\n\tThu, 01 Jan 1970 00:00:00 +0000"
    ) % (host, protocol, queue_id)


def asked(
    fields: Fields = HELLO,
    body: bytes = b"Hello\r\n",
    *,
    stamp: bytes | None = None,
    prdr: bool = False,
    **differs: Any,
) -> bytes:
    """Return what Exim sends for a message; `stamp` is the Received of its own, b"" for none."""
    request = REQUEST._replace(**differs)
    message = written_by_exim(
        fields,
        body,
        sender=request.sender,
        recipients=request.recipients,
        received=received() if stamp is None else stamp,
        prdr=prdr,
    )
    return encode_request(request, message)


class Report(NamedTuple):
    """An answer as Exim reads it."""

    spam: bool
    score: float
    threshold: float
    action: str
    lines: Sequence[tuple[bytes, bytes]]

    def value(self, key: str) -> str:
        """Return the value of a key that must be there once."""
        (found,) = [value for name, value in self.lines if name == key.encode()]
        return found.decode()

    @property
    def removed(self) -> list[str]:
        return [name for name in self.value("remove").split(":") if name]

    @property
    def added(self) -> list[bytes]:
        """The fields, in the order in which they are put on top, folded as the ACL folds them."""
        return [value.replace(b"\t", b"\n\t") for name, value in self.lines if name.startswith(b"add")]

    @property
    def recipients(self) -> list[str]:
        return [value.decode() for name, value in self.lines if name.startswith(b"rcpt")]


def read_as_exim_does(answer: bytes) -> Report:
    """Return the answer by the rules of Exim's spam.c."""
    assert len(answer) <= REPLY_AT_MOST
    assert b"\0" not in answer
    first, metric, action, *lines = answer.decode("utf-8", "surrogateescape").split("\n")
    assert first == "RSPAMD/1.3 0 EX_OK\r"
    word, default, result, score, slash, threshold, _, again = metric.removesuffix("\r").split(" ")
    assert (word, default, slash, again) == ("Metric:", "default;", "/", threshold)
    assert result in {"True;", "False;"}
    assert action.startswith("Action: ")
    assert action.endswith("\r")
    assert len(action) - len("Action: \r") <= 31
    assert lines[-1] == ""
    pairs = [line.partition("=")[::2] for line in lines[:-1]]
    assert pairs[0] == ("v", "1"), "what comes first says that it is a report"
    assert pairs[-1] == ("end", "1"), "what comes last says that it is whole"
    assert len({key for key, _ in pairs}) == len(pairs)
    told = [(key.encode(), value.encode("utf-8", "surrogateescape")) for key, value in pairs]
    spam_action = action.removeprefix("Action: ").removesuffix("\r")
    report = Report(result == "True;", float(score), float(threshold), spam_action, told)
    assert report.value("action") == report.action
    return report


@dataclass
class RunningEximFront:
    """What a test may look at."""

    path: str
    front: EximFront
    world: FakeWorld
    events: EventList = field(default_factory=EventList)
    told: list[Judged] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """The 4xx and 5xx replies that were reported."""

    async def alone(self, raw: bytes) -> bytes:
        """Return all that is answered on a connection of its own."""
        mta = await Mta.open(self.path)
        mta.send(raw)
        heard = await mta.hear_all()
        await mta.vanish()
        return heard

    async def scan(self, raw: bytes) -> Report:
        """Return the report on a message."""
        report = read_as_exim_does(await self.alone(raw))
        if report.value("reply"):
            self.refusals.append(report.value("reply"))
        return report


@asynccontextmanager
async def exim_front(
    world: FakeWorld | None = None,
    *,
    default: Policy | None = None,
    domains: Mapping[str, Policy] | None = None,
    budget: float = 5.0,
    **options: Any,
) -> AsyncIterator[RunningEximFront]:
    """Serve on a socket in a private directory; the invariants are checked at the end."""
    world = world or FakeWorld()
    before = Before.now()
    events, told = EventList(), list[Judged]()
    ids = (f"ID{number:010d}" for number in range(10**10))
    policies = PolicySet(default or lists_only(), domains or {}, OWN_SITE)
    engine = replace(Engine(policies, world, GENERATION, told.append, budget=budget), new_id=lambda: next(ids))
    front = EximFront(engine, events, **options)
    with TemporaryDirectory() as directory:
        path = str(Path(directory, "exim"))
        server = await asyncio.get_running_loop().create_unix_server(front.protocol, path, backlog=1024)
        running = RunningEximFront(path, front, world, events, told)
        try:
            yield running
        finally:
            server.close()
            front.close()
            await asyncio.wait_for(front.drained(), 10)
    await before.holds(running.told, running.refusals, budget)
