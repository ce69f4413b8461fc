"""What fuzzing throws requests at: they end as values or as a RemoteError; anything else is a bug."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import chain

from earmark.core.policy import PolicySet
from earmark.engine import Engine
from earmark.fronts.policy_session import PolicySession
from earmark.wire import RemoteError
from earmark.wire.attributes import Splitter, decode_action, parse, split_mailboxes
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.world import FakeWorld

_DECODERS: tuple[Callable[[bytes], object], ...] = (
    parse,
    split_mailboxes,
    decode_action,
    lambda raw: Splitter().feed(raw),
)


def policy_codec_target(raw: bytes) -> None:
    """Hand the bytes to each decoder."""
    for decode in _DECODERS:
        with suppress(RemoteError):
            decode(raw)


def policy_session_target(raw: bytes) -> list[bytes]:
    """Say the bytes to a whole session and return its answers; no fault of ours may be logged."""
    return asyncio.run(_session(raw))


async def _session(raw: bytes) -> list[bytes]:
    events = EventList()
    engine = Engine(PolicySet(lists_only(), {}, OWN_SITE), FakeWorld(), GENERATION, lambda _judged: None)
    session = PolicySession(engine, events, lambda: None)
    with suppress(RemoteError):
        requests = iter(Splitter().feed(raw))
        while not session.ended and (ahead := next(requests, None)) is not None:
            session.take(chain([ahead], requests))
    session.close()
    assert not events.lines, events.lines
    return session.out
