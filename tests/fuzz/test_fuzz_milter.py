"""Throws mutated milter streams at the codec and a session. Short by default; EARMARK_FUZZ_SECONDS makes it long.

Asserted: whatever comes, it ends in values or a RemoteError, and no fault of ours is logged. A crasher becomes a
dialogue.
"""

import os
import random
import time
from collections.abc import Callable

import pytest

from earmark.wire.milter import Command, packet
from fakes.milter_targets import codec_target, session_target

SEEDS = (
    packet(Command.CONNECT, b"mail.example.net\x004\x09\xdd192.0.2.7\0"),
    packet(Command.CONNECT, b"mail.example.net\x006\x09\xddIPv6:2001:db8::7\0"),
    packet(Command.HELO, b"mail.example.net\0"),
    packet(Command.MACRO, b"Mi\0QUEUEID\0{auth_authen}\0\0"),
    packet(Command.MAIL, b"<a@example.net>\0SIZE=100\0"),
    packet(Command.RCPT, b"<b@example.org>\0"),
    packet(Command.DATA),
    packet(Command.HEADER, b"Received\0 from x ([192.0.2.9])\n\tby y; date\0"),
    packet(Command.HEADER, b"X-Spam-Flag\0 YES\0"),
    packet(Command.EOH),
    packet(Command.BODY, b"Hello\r\n"),
    packet(Command.EOM),
    packet(Command.ABORT),
    packet(Command.QUIT_NC),
)
SECONDS = float(os.environ.get("EARMARK_FUZZ_SECONDS", "2"))


@pytest.mark.parametrize("target", [codec_target, session_target])
def test_mutated_streams_end_in_values_or_a_remote_error(target: Callable[[bytes], None]) -> None:
    seed = int(os.environ.get("EARMARK_FUZZ_SEED", "1"))
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        raw = _mutated(chance)
        try:
            target(raw)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {raw.hex()}") from error


def _mutated(chance: random.Random) -> bytes:
    parts = list(SEEDS) if chance.random() < 0.5 else chance.choices(SEEDS, k=chance.randrange(1, 30))
    for _ in range(chance.randrange(4)):
        position = chance.randrange(len(parts))
        part = bytearray(parts[position])
        where = chance.randrange(4 if chance.random() < 0.8 and len(part) > 5 else 0, len(part))
        part[where : where + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        if chance.random() < 0.8:
            part[:4] = max(len(part) - 4, 0).to_bytes(4, "big")
        parts[position] = bytes(part)
    return b"".join(parts)
