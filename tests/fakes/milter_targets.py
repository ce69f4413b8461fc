"""What fuzzing throws bytes at: they end as values or as a RemoteError; anything else is a bug."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import chain

from earmark.core.policy import PolicySet
from earmark.engine import Engine
from earmark.fronts.milter_dialogue import Shared
from earmark.fronts.milter_session import MilterSession
from earmark.wire import RemoteError
from earmark.wire import milter as wire
from earmark.wire.milter_mta import decode_response
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.world import FakeWorld

NEGOTIATED = wire.packet(wire.Command.NEGOTIATE, bytes.fromhex("00000006 000001ff 001fffff"))
_DECODERS: tuple[Callable[[bytes], object], ...] = (
    wire.decode_negotiation,
    wire.decode_connect,
    wire.decode_strings,
    wire.decode_header,
    wire.decode_macros,
    lambda raw: decode_response(raw[0], raw[1:]) if raw else None,
    lambda raw: wire.Splitter().feed(raw),
)


def codec_target(raw: bytes) -> None:
    """Hand the bytes to each decoder."""
    for decode in _DECODERS:
        with suppress(RemoteError):
            decode(raw)


def session_target(raw: bytes) -> list[bytes]:
    """Say the bytes to a whole session and return its answers; no fault of ours may be logged."""
    return asyncio.run(_session(raw))


async def _session(raw: bytes) -> list[bytes]:
    events = EventList()
    policies = PolicySet(lists_only(), {}, OWN_SITE)
    engine = Engine(policies, FakeWorld(), GENERATION, lambda _judged: None)
    session = MilterSession(Shared(engine, events), lambda: None)
    with suppress(RemoteError):
        packets = iter(wire.Splitter().feed(raw))
        while not session.ended and (ahead := next(packets, None)):
            session.take(chain([ahead], packets))
    session.close()
    assert not [line for line in events.lines if not line.startswith("degraded ")], events.lines
    return session.out
