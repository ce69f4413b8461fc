"""Fuzzing what reads clamd's answers: real ones, damaged, end in a value or a RemoteError, and never become OK."""

import os
import random
import time
from collections import Counter

from earmark.wire import RemoteError
from earmark.wire.clamd import Result, read_pong, read_reply, read_version

_SEEDS = [
    b"stream: OK\0",
    b"stream: Win.Test.EICAR_HDB-1 FOUND\0",
    b"stream: Lab.Eicar.UNOFFICIAL(44d88612fea8a8f36de82e1278abb02f:68) FOUND\0",
    b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0",
    b"INSTREAM size limit exceeded. ERROR\0",
    b"stream: Can't open file or directory ERROR\0",
    b"COMMAND READ TIMED OUT\n",
    b"UNKNOWN COMMAND\0",
    b"PONG\0",
    b"ClamAV 1.4.6/27445/Wed Nov 18 10:20:30 2026\0",
]
_TOKENS = [b"\0", b"\n", b" FOUND", b"stream: ", b" ERROR", b"(", b":9)", b"(" * 4096, b"\x7f", b"\xff", b"/", b" "]


def _damaged(raw: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(raw)
    for _ in range(chance.randint(0, 5)):
        at = chance.randrange(len(damaged) + 1)
        match chance.randrange(4):
            case 0:
                damaged[at:at] = chance.choice(_TOKENS)
            case 1:
                del damaged[at : at + chance.randint(1, 20)]
            case 2:
                damaged[at:at] = chance.choice(_SEEDS)
            case _:
                damaged[at : at + 1] = chance.randbytes(1)
    return bytes(damaged)


def test_damaged_answers_are_told_apart_or_refused() -> None:
    seconds = float(os.environ.get("EARMARK_FUZZ_SECONDS", "1"))
    chance = random.Random(1)  # noqa: S311 - to be repeatable
    end = time.monotonic() + seconds
    read: Counter[str] = Counter()
    while time.monotonic() < end:
        raw = _damaged(chance.choice(_SEEDS), chance)
        try:
            reply = read_reply(raw)
        except RemoteError:
            read["refused"] += 1
        else:
            read[reply.result] += 1
            assert (reply.result is Result.OK) is (raw == b"stream: OK\0"), raw
            assert reply.text.isprintable(), raw
            assert bool(reply.text.strip()) is (reply.result is not Result.OK), raw
        try:
            read_pong(raw)
            assert raw == b"PONG\0"
        except RemoteError:
            read["no pong"] += 1
        try:
            version = read_version(raw)
            assert version.program.isprintable(), raw
            read["version"] += 1
        except RemoteError:
            read["no version"] += 1
    assert not {"refused", "no pong", "version", "no version", *Result} - read.keys()
