"""Random but legal sessions, played with both engines side by side, hear the same; random noise leaves both serving."""

import asyncio
import random
import re
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earmark.wire import RemoteError
from earmark.wire.milter import Actions, Command, Connect, Splitter, Steps, packet
from earmark.wire.milter_mta import ALL_ACTIONS, ALL_STEPS, connect, helo, macros, mail, rcpt
from fakes.milter_engines import LibmilterProcess, Scenario, native
from fakes.milter_streams import mutated
from fakes.mta import Mta, text_of

WORLD = [
    ("policy", "strict.example refuse_at=400"),
    ("policy", "marks.example mode=mark subject_tag=[SPAM]"),
    ("policy", "defers.example on_error=defer"),
    ("policy", "alone.example mixed_recipients=separate"),
    ("zone", "7.2.0.192.zen.example A 127.0.0.2"),
    ("zone", "9.2.0.192.cop.example A 127.0.0.2"),
    ("zone", "10.2.0.192.zen.example TIMEOUT"),
    ("zone", "11.2.0.192.cop.example BROKEN"),
]
CLEAN = Connect(b"mail.example.net", "4", 25, b"192.0.2.8")
CLIENTS = [
    *(Connect(b"mail.example.net", "4", 25, b"192.0.2.%d" % last) for last in (9, 7, 11, 10, 11)),
    CLEAN,
    Connect(b"[2001:db8::7]", "6", 25, b"2001:db8::7"),
    Connect(b"localhost", "4", 25, b"127.0.0.1"),
    Connect(b"localhost", "L", 0, b"/run/smtp"),
    Connect(b"unknown", "U", 0, b""),
]
DOMAINS = (b"strict.example", b"marks.example", b"defers.example", b"alone.example", b"example.org")
FIELDS = (
    b"X-Spam-Flag",
    b"x-spam-FLAG",
    b"X-Spam-Flag",
    b"x-spam-score",
    b"X-Earmark",
    b"Subject",
    b"Received",
    b"Authentication-Results",
    b"To",
)

texts = st.binary(max_size=30).map(lambda raw: raw.replace(b"\0", b""))
utf8 = st.text(max_size=20).map(lambda text: text.replace("\0", "").encode("utf-8", "replace"))
paths = st.builds(lambda local, domain: b"<%b@%b>" % (local, domain), st.sampled_from((b"a", b"postmaster", b'"a b"')),
                  st.sampled_from(DOMAINS))  # fmt: skip
fields = st.tuples(st.sampled_from(FIELDS), utf8 | st.just(b" YES")) | st.tuples(st.just(b"X-Any"), texts)
Said = list[tuple[Command, bytes]]


@st.composite
def transactions(draw: st.DrawFn) -> Said:
    """One MAIL, and what may follow."""
    user = draw(st.sampled_from((b"", b"", b"", b"bob")))
    said = [(Command.MACRO, macros(Command.MAIL, {b"auth_type": b"PLAIN" if user else b"", b"auth_authen": user}))]
    said.append((Command.MAIL, mail(draw(paths | st.just(b"<>") | texts.map(lambda raw: b"<%b>" % raw)))))
    said += [(Command.RCPT, rcpt(path)) for path in draw(st.lists(paths, min_size=1, max_size=4))]
    said.append((Command.RCPT, rcpt(b"<postmaster@example.org>")))
    if draw(st.booleans()):
        said.append((Command.MACRO, macros(Command.DATA, {b"i": draw(st.sampled_from((b"QUEUEID", b"Q\xff")))})))
        said.append((Command.DATA, packet(Command.DATA)))
    said += [
        (Command.HEADER, b"%b\0%b" % field)
        for field in draw(st.lists(fields, min_size=draw(st.sampled_from((0, 6))), max_size=12))
    ]
    if draw(st.booleans()) and said[-1][0] is not Command.HEADER:
        return [*said, (Command.ABORT, packet(Command.ABORT))]
    said.append((Command.EOH, packet(Command.EOH)))
    said += [(Command.BODY, packet(Command.BODY, chunk)) for chunk in draw(st.lists(texts.filter(bool), max_size=2))]
    return [*said, (Command.EOM, packet(Command.EOM))]


@st.composite
def sessions(draw: st.DrawFn) -> Said:
    """A whole session after negotiation."""
    said: Said = []
    for _ in range(draw(st.integers(1, 2))):
        client = draw(st.sampled_from(CLIENTS))
        names = {b"j": draw(texts), b"client_addr": client.address or b"unknown"}
        said += [(Command.MACRO, macros(Command.CONNECT, names)), (Command.CONNECT, connect(client))]
        said += [(Command.HELO, helo(name)) for name in draw(st.lists(texts, max_size=2))]
        said += [one for transaction in draw(st.lists(transactions(), min_size=1, max_size=4)) for one in transaction]
        if said[-1][0] is not Command.EOM:  # libmilter takes QUIT_NC after a message only
            break
        said.append((Command.QUIT_NC, packet(Command.QUIT_NC)))
    return said


offers = st.sampled_from([(6, ALL_ACTIONS, ALL_STEPS), (2, Actions(0x1F), Steps(0x7F))]) | st.builds(
    lambda actions, steps: (6, Actions(actions), Steps(steps)),
    st.sampled_from((0x1FF, 0x101, 0x111, 0x02, 0x13D)),
    st.sampled_from((0x1FFFFF, 0x1FFFEF, 0xFFFFF, 0x400)),
)


class Both:
    """The two engines, each serving the same scenario, on a loop of their own."""

    def __init__(self, runner: asyncio.Runner, scenarios: list[Scenario]) -> None:
        self._runner = runner
        self._scenarios = scenarios

    def play(self, offer: tuple[int, Actions, Steps], said: Said) -> list[list[str]]:
        """Return what was heard of each."""
        return [self._run(_play(scenario, offer, said)) for scenario in self._scenarios]

    def serve(self) -> list[str]:
        return [self._run(_serves(scenario)) for scenario in self._scenarios]

    def shout(self, raw: bytes) -> None:
        """Say something to both, hear nothing, and hang up."""
        for scenario in self._scenarios:
            self._run(_shout(scenario, raw))

    def _run(self, playing: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(playing)


@contextmanager
def both_engines(libmilter: LibmilterProcess) -> Iterator[Both]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        served: list[Scenario] = [runner.run(_enter(stack, serve)) for serve in (native, libmilter)]
        yield Both(runner, served)
        runner.run(stack.aclose())


async def _enter(stack: AsyncExitStack, serve: Any) -> Scenario:
    scenario: Scenario = await stack.enter_async_context(serve(WORLD))
    return scenario


async def _play(scenario: Scenario, offer: tuple[int, Actions, Steps], said: Said) -> list[str]:
    mta = await Mta.open(scenario.path, *offer)
    heard = [text_of(await mta.negotiate())]
    leading_space = bool(mta.side.agreed and mta.side.agreed.steps & Steps.HDR_LEADSPC)
    for command, data in said:
        if not mta.side.sends(command):
            continue
        mta.send(mta.side.header(*data.split(b"\0", 1)) if command is Command.HEADER else data)
        while mta.side.awaits(command):
            heard.append(text_of(await mta.hear(), leading_space=leading_space))
            if not heard[-1].startswith(("insert ", "change ", "remove ", "edit ")):
                break
    scenario.refusals += [line for line in heard if re.match(r"[45]\d\d ", line)]
    await mta.vanish()
    return [re.sub(r"ID\d+", "ID", line) for line in heard]


async def _serves(scenario: Scenario) -> str:
    mta = await Mta.open(scenario.path)
    await mta.greet(CLEAN)
    heard = await mta.message()
    await mta.vanish()
    return heard.end


async def _shout(scenario: Scenario, raw: bytes) -> None:
    mta = await Mta.open(scenario.path)
    mta.send(mta.side.negotiate() + raw)
    await mta.vanish()


@pytest.fixture
def both(libmilter: LibmilterProcess) -> Iterator[Both]:
    with both_engines(libmilter) as both:
        yield both


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offers, sessions())
def test_any_legal_session_hears_the_same_of_both(both: Both, offer: tuple[int, Actions, Steps], said: Said) -> None:
    of_native, of_libmilter = both.play(offer, said)
    assert of_libmilter == of_native


def test_noise_leaves_both_serving(both: Both) -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable, not secret
    for _ in range(300):
        both.shout(_with_whole_macros(mutated(chance)))
    assert both.serve() == ["continue", "continue"]


def _with_whole_macros(raw: bytes) -> bytes:
    """Leave out MACRO packets that have a name without a value: libmilter reads beyond them, and the process ends."""
    kept = b""
    try:
        for letter, payload in Splitter().feed(raw):
            if letter != Command.MACRO or payload[1:].count(b"\0") % 2 == 0:
                kept += packet(letter, payload)
    except RemoteError:
        return kept + b"\xff\xff\xff\xff"
    return kept
