"""The answers of spamd: to REPORT, PING and TELL. There is no score but one that it gave."""

import re
from collections.abc import Iterator
from decimal import Decimal

from earmark.wire import RemoteError
from earmark.wire.spamd import (
    REPLY_AT_MOST,
    RULES_AT_MOST,
    Report,
    decode_pong,
    decode_report,
    decode_tell,
    encode_report,
    encode_tell,
)
from fakes.spamd import reply
from fuzz.checking import refusal, tried
from fuzz.mutating import Mutator
from fuzz.running import Target

TOKENS = (
    b"\r\n", b"\n", b"\r\n\r\n", b"Spam: True ; 5.0 / 5.0", b"Content-length: 44", b"Spam:", b"earmark 1 ",
    b"external=", b"tests=", b"none", b",", b"=", b"nan", b"inf", b"1e308", b"e-9", b"-0", b"4,9", b"\0", b"\xff",
    b"0.0", b"9" * 99, b"SPAMD/1.1 0 EX_OK\r\n", b" 75 EX_TEMPFAIL", b"A=1", b"_TESTSSCORES(,)_", b"\xd9\xa3", b"PONG",
    b" ", b"-", b":",
)  # fmt: skip


_SHOWN = re.compile(rb"; (-?[0-9]+(?:\.[0-9]+)?) / ")


def check(raw: bytes) -> str:
    _users_stay_a_line(raw[:300].decode("latin-1"))
    pong = _is_pong(raw)
    told = tried(decode_tell, raw)
    try:
        report = decode_report(raw)
    except RemoteError as error:
        return "pong" if pong else "learnt" if told else refusal(error)
    _is_what_was_said(report, raw)
    return f"scored: {min(len(report.rules), 3)} {report.hundredths < 0} {bool(report.last_external)}"


def _is_pong(raw: bytes) -> bool:
    try:
        decode_pong(raw)
    except RemoteError as error:
        refusal(error)
        return False
    return True


def _is_what_was_said(report: Report, raw: bytes) -> None:
    assert raw.startswith(b"SPAMD/")
    assert b" 0 " in raw.partition(b"\r\n")[0]
    assert len(report.rules) <= RULES_AT_MOST
    total = sum((Decimal(score) for _, score in report.rules), Decimal(0))
    assert report.hundredths <= total * 100 < report.hundredths + 1
    assert any(abs(total - Decimal(shown.decode())) <= Decimal("0.1") for shown in _SHOWN.findall(raw))
    assert all(name.encode() in raw for name, _ in report.rules)
    assert re.fullmatch(r"[0-9A-Fa-f:.]*", report.last_external)


def _users_stay_a_line(user: str) -> None:
    for request, lines in ((encode_report(1, user), 4), (encode_tell(1, "spam", user), 6)):
        assert request.endswith(b"\r\n\r\n")
        assert request.count(b"\n") in (lines - 1, lines)


def damaged_reply(mutator: Mutator, raw: bytes) -> bytes:
    """Damage a reply, and have its length right, as a rule: what is damaged in the body is read then."""
    said = mutator.damaged(raw)
    if mutator.chance.random() < 0.7:
        body = said.partition(b"\r\n\r\n")[2]
        said = re.sub(rb"Content-length: \d+", b"Content-length: %d" % len(body), said, count=1)
    return said


def _large() -> Iterator[bytes]:
    """As many rules as there may be, and one more; replies about as long as they may be."""
    for rules in (RULES_AT_MOST, RULES_AT_MOST + 1):
        yield reply(",".join(f"R{number}=0.01" for number in range(rules)), shown=f"{rules / 100:.1f}")
    for size in (REPLY_AT_MOST, REPLY_AT_MOST + 1):
        yield b"SPAMD/1.1 0 EX_OK\r\n\r\n".ljust(size, b"a")


ENDS = frozenset({"scored", "pong", "learnt", "refused"})
TARGET = Target("spamd", check, ENDS, TOKENS, damaged_reply, _large)
