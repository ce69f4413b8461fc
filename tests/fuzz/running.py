"""How a target is fuzzed: the corpus first, then what the mutator makes of it, for so many seconds of CPU time."""

import base64
import random
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fuzz.mutating import LARGEST, Mutator
from fuzz.work import Work

CORPUS = Path(__file__).with_name("corpus")
HANGS_AFTER = 20.0
"""Seconds of CPU time for one input: nothing that ends comes near. It is there so that a hang names its input."""
_SHRINKS_FOR = 10.0
"""Seconds of CPU time for making a failing input shorter."""
_POOL_AT_MOST = 2000
_WORK_OF_EACH = 50
"""The work of each input of so many is counted; counting makes it some twenty times slower."""
WORK_AT_MOST = (3000, 40)
"""Units for any input, and more for each of its bytes."""


class Target(NamedTuple):
    """Something that reads hostile bytes."""

    name: str
    """Of the module of earmark.wire, if it is one; its inputs are in corpus/NAME."""
    check: Callable[[bytes], str]
    """Read the bytes, assert what holds for all input, and say how it ended: a word, and more behind a colon."""
    ends: frozenset[str]
    """The words. Each is the end of some file of the corpus, or of `large`."""
    tokens: tuple[bytes, ...]
    damage: Callable[[Mutator, bytes], bytes] = Mutator.damaged
    """How an input is damaged, where that takes more: lengths that should be right, as a rule."""
    more: Callable[[], Iterable[bytes]] = tuple
    """Further inputs to begin with: what stands in the tests elsewhere, and what is too large for a file."""


class HangError(Exception):
    """An input takes too long."""


def stored(name: str) -> list[bytes]:
    """Return the files of a target's corpus."""
    return [file.read_bytes() for file in sorted((CORPUS / name).iterdir())]


def seeds(target: Target) -> list[bytes]:
    """Return what is run first."""
    return [*stored(target.name), *target.more()]


def run_all(target: Target, inputs: Iterable[bytes]) -> set[str]:
    """Return the ends of these inputs."""
    return {run(target, raw) for raw in inputs}


def fuzz(target: Target, seconds: float, seed: str) -> tuple[int, int]:
    """Run the target for so many seconds of CPU time; return how many inputs there were, and how many ends."""
    pool = seeds(target)
    seen = run_all(target, pool)
    pool = [raw for raw in pool if len(raw) <= LARGEST]
    mutator = Mutator(random.Random(f"{seed} {target.name}"), pool, target.tokens)  # noqa: S311 - to be repeatable
    count, until = len(pool), time.process_time() + seconds
    while time.process_time() < until:
        raw = target.damage(mutator, mutator.seed())
        how = run(target, raw, measured=count % _WORK_OF_EACH == 0)
        count += 1
        if how not in seen and len(pool) < _POOL_AT_MOST:  # it went where none has been: begin from there as well
            seen.add(how)
            pool.append(raw)
    return count, len(seen)


def run(target: Target, raw: bytes, *, measured: bool = False) -> str:
    """Run one input and return its end. Raises AssertionError, with the input as a command that keeps it."""
    try:
        return _end(target, raw, measured=measured)
    except Exception as error:
        small = _shrunk(target, raw, error, measured=measured)
        raise AssertionError(_report(target, small, error)) from error


def _end(target: Target, raw: bytes, *, measured: bool) -> str:
    with _awake():
        if not measured:
            return re.sub(r"\d+", "0", target.check(raw))
        with Work() as work:
            end = target.check(raw)
    least, each = WORK_AT_MOST
    assert work.units <= least + each * len(raw), f"{work.units} units of work for {len(raw)} bytes"
    return re.sub(r"\d+", "0", end)


@contextmanager
def _awake() -> Iterator[None]:
    """Raise HangError in what hangs; regular expressions look for signals as well."""

    def hangs(*_: object) -> None:
        raise HangError(f"not done after {HANGS_AFTER:g} seconds")

    before = signal.signal(signal.SIGVTALRM, hangs)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_AFTER)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _shrunk(target: Target, raw: bytes, failure: Exception, *, measured: bool) -> bytes:
    """Return a shorter input that fails at the same place, by leaving out pieces, the large ones first."""
    place, until = _place(failure), time.process_time() + _SHRINKS_FOR

    def fails(shorter: bytes) -> bool:
        try:
            _end(target, shorter, measured=measured)
        except Exception as error:  # noqa: BLE001 - any; the places are compared
            return _place(error) == place
        return False

    piece = 0 if isinstance(failure, HangError) else len(raw) // 2
    while piece and time.process_time() < until:
        at = 0
        while at < len(raw) and time.process_time() < until:
            shorter = raw[:at] + raw[at + piece :]
            if fails(shorter):
                raw = shorter
            else:
                at += piece
        piece //= 2
    return raw


def _place(error: Exception) -> tuple[object, ...]:
    """Return what kind of failure this is, and from which line."""
    *_, last = traceback.walk_tb(error.__traceback__)
    return type(error), last[0].f_code.co_filename, last[1]


def _report(target: Target, raw: bytes, error: Exception) -> str:
    text = base64.b64encode(raw).decode() if len(raw) <= LARGEST else f"({len(raw)} bytes: let `more` make it)"
    keep = f"echo {text} | base64 -d >tests/fuzz/corpus/{target.name}/WHAT-IT-SHOWS"
    return f"{type(error).__name__}: {error}\ninput: {raw[:2000]!r}\nto keep it:\n{keep}"
