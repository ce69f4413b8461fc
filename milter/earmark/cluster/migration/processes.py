"""A process to its end: what it prints is heard as it comes, and of all that no more than the last part is kept."""

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import IO, NamedTuple

TIMED_OUT = 124
MOST_OUTPUT = 16 << 20
"""Bytes of each stream; what comes last says how it ended."""
_CHUNK = 65536

Taker = Callable[[bytes], None]
"""Gets what comes, in pieces."""


class Ended(NamedTuple):
    """How it ended, and the last bytes of what it printed."""

    status: int
    output: bytes
    errors: bytes


class Last:
    """The last bytes of a stream."""

    def __init__(self, most: int) -> None:
        """Keep `most` bytes at least, and at no time more than twice as many."""
        self._most = most
        self._kept = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take what has come."""
        self._kept += chunk
        if len(self._kept) > 2 * self._most:
            del self._kept[: -self._most]

    @property
    def kept(self) -> bytes:
        """What is kept, the last `most` bytes."""
        return bytes(self._kept[-self._most :])


def run_process(words: tuple[str, ...], stdin: bytes, seconds: float, hears: Taker | None = None) -> Ended:
    """Run a program; `hears` gets its output, which is then not kept. Raises OSError where there is no such program."""
    ends = time.monotonic() + seconds
    with subprocess.Popen(  # noqa: S603 - a list of words, never a line for a shell
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
    ) as process:
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - they are pipes
        output, errors = Last(MOST_OUTPUT), Last(MOST_OUTPUT)
        takers = {process.stdout: hears or output.add, process.stderr: errors.add}
        try:
            _pump(process.stdin, stdin, takers, ends)
            status = process.wait(max(0.0, ends - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            process.kill()
            return Ended(TIMED_OUT, output.kept, b"did not end within %g s" % seconds)
        except BaseException:
            process.kill()
            raise
        return Ended(status, output.kept, errors.kept)


def _pump(into: IO[bytes], given: bytes, takers: Mapping[IO[bytes], Taker], ends: float) -> None:
    """Give `into` what is for it, and each taker what its stream brings, until all have ended. Raises TimeoutError."""
    os.set_blocking(into.fileno(), False)
    with selectors.DefaultSelector() as ready:
        ready.register(into, selectors.EVENT_WRITE)
        for stream, taker in takers.items():
            ready.register(stream, selectors.EVENT_READ, taker)
        while ready.get_map():
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in ready.select(left):
                if key.fileobj is into:
                    given = _given(into, given)
                    if not given:
                        ready.unregister(into)
                        into.close()
                elif chunk := os.read(key.fd, _CHUNK):
                    key.data(chunk)
                else:
                    ready.unregister(key.fileobj)


def _given(into: IO[bytes], given: bytes) -> bytes:
    """Write what there is room for; return the rest. Who does not want to read gets nothing more."""
    try:
        return given[os.write(into.fileno(), given[:_CHUNK]) :]
    except BrokenPipeError:
        return b""
