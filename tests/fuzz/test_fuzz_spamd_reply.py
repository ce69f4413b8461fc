"""Fuzzing what reads spamd's answers: real ones, damaged, which end in a score that they hold or in a RemoteError."""

import os
import random
import re
import time
from decimal import Decimal

from earmark.wire import RemoteError
from earmark.wire.spamd import RULES_AT_MOST, decode_pong, decode_report, decode_tell
from fakes.spamd import reply

_SEEDS = [
    reply(),
    reply("none", shown="0.0", external=""),
    reply("GTUBE=1000,NO_RELAYS=-0.001,T_SPF=0.01", shown="1000.0", external="2001:db8::25"),
    reply(",".join(f"R{number}=0.01" for number in range(400)), shown="4.0"),
    b"SPAMD/1.0 76 Bad header line: (Content-Length mismatch: Expected 5 bytes, got 4 bytes)\r\n",
    b"SPAMD/1.5 0 PONG\r\n",
    b"SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\nDidRemove: remote\r\n\r\n\r\n",
]
_TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"Spam: True ; 5.0 / 5.0",
        b"Content-length: 44",
        b"Spam:",
        b"earmark 1 ",
        b"external=",
    ),
    *(
        b"tests=",
        b"none",
        b",",
        b"=",
        b"nan",
        b"inf",
        b"1e308",
        b"e-9",
        b"-0",
        b"4,9",
        b"\0",
        b"\xff",
        b"0.0",
        b"9" * 99,
    ),
    *(b"SPAMD/1.1 0 EX_OK\r\n", b" 75 EX_TEMPFAIL", b"A=1", b"_TESTSSCORES(,)_", b"\xd9\xa3", b"PONG", b" ", b"-"),
]


def _damaged(said: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(0, 5)):
        at = chance.randrange(len(said) + 1)
        match chance.randrange(5):
            case 0:
                said = said[:at] + chance.choice(_TOKENS) * chance.choice((1, 1, 1, 300)) + said[at:]
            case 1:
                said = said[:at] + said[at + chance.randint(1, 20) :]
            case 2:
                said = said[:at]
            case 3:
                said = said[:at] + said[: chance.randint(0, 200)] + said[at:]
            case _:
                said = said[:at] + bytes([chance.randrange(256)]) + said[at + 1 :]
    return said


def _mended(said: bytes) -> bytes:
    """Return it with the right length of its body: what is damaged there is read more often then."""
    body = said.partition(b"\r\n\r\n")[2]
    return re.sub(rb"Content-length: \d+", b"Content-length: %d" % len(body), said, count=1)


def test_damaged_answers_are_scores_or_refused() -> None:
    seconds = float(os.environ.get("EARMARK_FUZZ_SECONDS", "1"))
    chance = random.Random(1)  # noqa: S311 - to be repeatable
    end = time.monotonic() + seconds
    read = refused = 0
    while time.monotonic() < end:
        said = _damaged(chance.choice(_SEEDS), chance)
        said = _mended(said) if chance.random() < 0.7 else said
        for decode in (decode_pong, decode_tell):
            try:
                decode(said)
            except RemoteError as error:
                assert str(error).isprintable(), said  # noqa: PT017 - either is right
        try:
            report = decode_report(said)
        except RemoteError as error:
            assert str(error).isprintable(), said  # noqa: PT017 - either is right
            refused += 1
            continue
        read += 1
        assert said.startswith(b"SPAMD/")
        assert b" 0 " in said.partition(b"\r\n")[0]
        assert len(report.rules) <= RULES_AT_MOST
        total = sum((Decimal(score) for _, score in report.rules), Decimal(0))
        assert report.hundredths <= total * 100 < report.hundredths + 1, said
        assert all(name.encode() in said for name, _ in report.rules)
        assert re.fullmatch(r"[0-9A-Fa-f:.]*", report.last_external)
    assert read
    assert refused
