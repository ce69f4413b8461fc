"""Throws damaged requests at the content door's codec and at a whole session.

Asserted: whatever comes, it ends in values or a RemoteError, no fault of ours is logged, and what is answered is what
Exim's parser takes. A crasher becomes a dialogue.
"""

import asyncio
import os
import random
import time

from earmark.core.policy import PolicySet
from earmark.engine import Engine
from earmark.fronts.exim_session import EximSession
from earmark.wire import RemoteError
from fakes.exim_front import asked, read_as_exim_does, received
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.world import FakeWorld, zone_fact

SEEDS = (
    asked(),
    asked(((b"Subject", b" B\xc3\xa4h\n\tfolded"), (b"X-Spam-Flag", b" YES")), b"", prdr=True),
    asked(
        ((b"Authentication-Results", b" mx.example.org; spf=pass"), (b"Authentication-Results", b" a; b")), user=b"u"
    ),
    asked((), b"no header\r\n", sender=b"", recipients=(b"b@example.org", b'"q u"@strict.example'), address=b""),
    asked(stamp=received(protocol=b"esmtpsa"), address=b"2001:db8::7", hostname=b"", helo=b"[192.0.2.7]"),
)
TOKENS = (
    b"\r\n", b"\n", b"\r", b"\0", b"\r\n\r\n", b"\n\n", b": ", b"<", b">", b"Rcpt: <", b"IP: ", b"Content-length: ",
    b"Received: ", b" id 1xVCIk-0006ng-2j;", b"X-Earmark-Prdr: yes\n", b"X-Spam-a:", b"\t", b"=", b"\xff", b"9" * 20,
)  # fmt: skip
FACTS = dict([zone_fact("7.2.0.192.cop.example", "A", "127.0.0.2")])
POLICIES = PolicySet(lists_only(mark_at=400, subject_tag="[SPAM]"), {"strict.example": lists_only("s")}, OWN_SITE)
SECONDS = float(os.environ.get("EARMARK_FUZZ_SECONDS", "2"))


def test_damaged_requests_end_in_an_answer_or_a_remote_error() -> None:
    seed = int(os.environ.get("EARMARK_FUZZ_SEED", "1"))
    asyncio.run(_fuzz(seed, random.Random(seed)))  # noqa: S311 - repeatable, not secret


async def _fuzz(seed: int, chance: random.Random) -> None:
    end = time.monotonic() + SECONDS
    answered = refused = 0
    while time.monotonic() < end:
        raw = _damaged(chance.choice(SEEDS), chance)
        try:
            answer = _answer(raw, chance.choice((1, 50, 1 << 20)))
        except RemoteError as error:
            assert str(error).isprintable(), raw.hex()  # noqa: PT017 - either is right
            refused += 1
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}: {raw.hex()}") from error
        answered += bool(answer)
    assert answered
    assert refused


def _answer(raw: bytes, step: int) -> bytes:
    """Return the answer to what comes in such steps; b"" where the message is not whole."""
    events = EventList()
    engine = Engine(POLICIES, FakeWorld(FACTS), GENERATION, lambda _judged: None)
    session = EximSession(engine, events, lambda: None)
    try:
        for at in range(0, len(raw), step):
            session.take(raw[at : at + step])
        if session.answer:
            read_as_exim_does(session.answer)
        return session.answer
    finally:
        session.close()
        assert not events.lines, events.lines


def _damaged(said: bytes, chance: random.Random) -> bytes:
    head, _, message = said.partition(b"\r\n\r\n")
    parts = [head, message]
    for _ in range(chance.randint(0, 4)):
        which = chance.random() < 0.7
        parts[which] = _one_damage(parts[which], chance)
    head, message = parts
    if chance.random() < 0.8:
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-length")]
        head = b"\r\n".join([*lines, b"Content-length: %d" % len(message)])
    return head + b"\r\n\r\n" + message


def _one_damage(said: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(said) + 1)
    match chance.randrange(4):
        case 0:
            return said[:at] + chance.choice(TOKENS) * chance.choice((1, 1, 1, 300)) + said[at:]
        case 1:
            return said[:at] + said[at + chance.randint(1, 20) :]
        case 2:
            return said[:at] + said[: chance.randint(0, 200)] + said[at:]
        case _:
            return said[:at] + bytes([chance.randrange(256)]) + said[at + 1 :]
