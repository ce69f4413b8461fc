"""What fuzzing throws requests of Exim's at: they end in an answer, in none yet, or as a RemoteError."""

import asyncio
from collections.abc import Iterable

from earmark.core.policy import PolicySet
from earmark.engine import Engine
from earmark.fronts.exim_session import EximSession
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.world import FakeWorld, zone_fact

_FACTS = dict([zone_fact("7.2.0.192.cop.example", "A", "127.0.0.2")])
_POLICIES = PolicySet(lists_only(mark_at=400, subject_tag="[SPAM]"), {"strict.example": lists_only("s")}, OWN_SITE)


def exim_session_target(pieces: Iterable[bytes]) -> bytes:
    """Return the answer of a whole session; no fault of ours may be logged. Raises RemoteError."""
    return asyncio.run(_session(pieces))


async def _session(pieces: Iterable[bytes]) -> bytes:
    events = EventList()
    engine = Engine(_POLICIES, FakeWorld(_FACTS), GENERATION, lambda _judged: None)
    session = EximSession(engine, events, lambda: None)
    try:
        for piece in pieces:
            session.take(piece)
        return session.answer
    finally:
        session.close()
        assert not events.lines, events.lines
