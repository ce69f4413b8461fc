"""What holds for any codec: the exception of its own, output within bounds, and pieces that change nothing."""

import random
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from earmark.wire import RemoteError
from fuzz.mutating import LARGEST

_WHY_AT_MOST = 400


def refusal(error: Exception) -> str:
    """Return the end of an input that was refused; what it says fits a log line."""
    text = str(error)
    assert text.isprintable(), text
    assert 0 < len(text) <= _WHY_AT_MOST, text
    return "refused: " + re.sub(r"""b?(['"]).*|:.*""", "", text)


def tried(read: Callable[[bytes], Any], raw: bytes) -> Any:
    """Return what is read, or None where it is refused."""
    try:
        value = read(raw)
    except RemoteError as error:
        refusal(error)
        return None
    assert_bounded(value, raw)
    return value


def assert_bounded(value: Any, raw: bytes) -> None:
    """Assert that a value is about as large as what it was read from, at most: escapes take four characters a byte."""
    assert _size(value) <= 200 + 6 * len(raw)


def _size(value: Any) -> int:
    if isinstance(value, bytes | bytearray | str):
        return len(value) + 1
    if isinstance(value, dict):
        return sum(_size(name) + _size(one) for name, one in value.items())
    if isinstance(value, Iterable) and not isinstance(value, int):
        return sum(map(_size, value))
    return 1


def pieces(raw: bytes) -> Iterator[bytes]:
    """Cut the bytes, always the same way for the same bytes. The last ones come one by one: there limits lie."""
    chance = random.Random(zlib.crc32(raw))  # noqa: S311 - to be repeatable
    ways: list[Sequence[int]] = [(1,), (2, 3), (7,), (64,), (1, 1, 100)] if len(raw) <= LARGEST else [(1, 4000)]
    steps = chance.choice(ways)
    at = 0
    while at < len(raw):
        step = min(chance.choice(steps), max(len(raw) - at - 6, 1))
        yield raw[at : at + step]
        at += step


def heard(feed: Callable[[bytes], Iterable[Any]], said: Iterable[bytes]) -> tuple[list[Any], str]:
    """Return what a stream's reader makes of these pieces, and how it was refused, or ""."""
    found: list[Any] = []
    try:
        for piece in said:
            found += feed(piece)
    except RemoteError as error:
        return found, refusal(error)
    return found, ""


def heard_alike(feed: Callable[[], Callable[[bytes], Iterable[Any]]], raw: bytes) -> tuple[list[Any], str]:
    """Return what new readers hear, and assert that it is the same in one piece and in many.

    A reader that refuses tells nothing of what came with the same bytes, so there only the refusal is compared.
    """
    at_once, why = heard(feed(), [raw])
    by_pieces, why_then = heard(feed(), pieces(raw))
    assert bool(why) is bool(why_then), f"in one piece: {why or 'read'}; in many: {why_then or 'read'}"
    assert why or by_pieces == at_once
    assert_bounded(at_once, raw)
    return at_once, why
