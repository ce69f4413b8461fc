"""The answers of clamd: to INSTREAM, to PING, to VERSION. Nothing becomes OK but OK."""

from earmark.wire import RemoteError
from earmark.wire.clamd import REPLY_AT_MOST, Result, chunk, read_pong, read_reply, read_version
from fuzz.checking import refusal, tried
from fuzz.running import Target

TOKENS = (
    b"\0", b"\n", b" FOUND", b"stream: ", b" ERROR", b"stream: OK\0", b"(", b":9)", b"\x7f", b"\xff", b"/", b" ",
    b"0123456789abcdef" * 2, b"Heuristics.Limits.", b"ClamAV ", b"Nov", b"9" * 20, b"(" * 4096,
)  # fmt: skip


def check(raw: bytes) -> str:
    if raw:
        assert chunk(raw) == len(raw).to_bytes(4, "big") + raw
    pong = _pong(raw)
    assert pong is (raw == b"PONG\0")
    version = tried(read_version, raw)
    if version:
        assert version.program.isprintable()
        assert version.built is None or (1 <= version.built[1] <= 12 and 1 <= version.built[2] <= 31)
    try:
        reply = read_reply(raw)
    except RemoteError as error:
        return "pong" if pong else "version" if version else refusal(error)
    assert (reply.result is Result.OK) is (raw == b"stream: OK\0")
    assert reply.text.isprintable()
    assert len(reply.text) <= 4 * REPLY_AT_MOST
    assert bool(reply.text.strip()) is (reply.result is not Result.OK)
    return reply.result


def _pong(raw: bytes) -> bool:
    try:
        read_pong(raw)
    except RemoteError as error:
        refusal(error)
        return False
    return True


TARGET = Target("clamd", check, frozenset({"pong", "version", "refused", *Result}), TOKENS)
