"""The verifier as its worker sees it: a child that may hang, die or talk nonsense, and is then replaced."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from earmark.clients.dkim.frames import (
    LENGTH_BYTES,
    REPLY_AT_MOST,
    Answer,
    Request,
    frame_length,
    read_answers,
    write_frame,
)

PROGRAM = (sys.executable, "-P", "-m", "earmark.clients.dkim.verifier")
_TRIES = 2
_PAUSE = 1.0
"""Seconds between two starts, where the first child died before it had answered anything."""

_PIECE = 64 * 1024
"""Bytes that are sent at once, at least: most messages take one call of the kernel."""

MakeBody = Callable[[], Iterator[bytes]]


class UnverifiedError(Exception):
    """Nobody could say, for the reason that is its text."""


class Verifier:
    """One child, one request at a time. It is started when first needed, and again when it has failed."""

    def __init__(self, *, deadline: float, waiting: int, program: Sequence[str] = PROGRAM) -> None:
        """`deadline` is in seconds for one request; `waiting` is how many may wait for their turn or have it."""
        self._deadline = deadline
        self._room = waiting
        self._program = program
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._not_before = 0.0
        self.started = 0
        """How many children there have been."""

    async def verify(self, request: Request, body: MakeBody) -> list[Answer]:
        """Return the answers to a request, one for each position, or one for the chain. Raises UnverifiedError.

        Who is cancelled while the child works on his request ends the child.
        """
        if not self._room:
            raise UnverifiedError("busy: too many messages wait for DKIM")
        self._room -= 1
        try:
            async with self._turn:
                return await self._try(request, body)
        finally:
            self._room += 1

    async def _try(self, request: Request, body: MakeBody) -> list[Answer]:
        for _ in range(_TRIES):
            try:
                async with asyncio.timeout(self._deadline):
                    answers = await self._exchange(request, body)
            except TimeoutError:
                self.end()
                raise UnverifiedError(f"not verified in {self._deadline:g} s") from None
            except (OSError, EOFError, ValueError):
                self.end()
            except BaseException:
                self.end()
                raise
            else:
                self._not_before = 0.0
                return answers
        raise UnverifiedError("the verifier died of it twice")

    async def _exchange(self, request: Request, body: MakeBody) -> list[Answer]:
        reader, writer = await self._connected()
        frame = write_frame(request)
        left = len(frame) + request.body
        for piece in _gathered(chain((frame,), body())):
            left -= len(piece)
            writer.write(piece)
            await writer.drain()
        if left:
            raise UnverifiedError("the message could not be read again")
        length = frame_length(await reader.readexactly(LENGTH_BYTES))
        if length > REPLY_AT_MOST:
            raise ValueError("a reply of that length")
        answers = read_answers(await reader.readexactly(length))
        if len(answers) != max(len(request.positions), 1):
            raise ValueError("another number of answers")
        return answers

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self.start()
            if self._line is None:
                raise UnverifiedError("the verifier does not start")
            self._streams = await asyncio.open_unix_connection(sock=self._line)
        return self._streams

    def start(self) -> None:
        """Start the child, where there is none: it takes a while, and may do so while keys are fetched."""
        now = time.monotonic()
        if self._process is not None or now < self._not_before:
            return
        self._not_before = now + _PAUSE
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            return
        with theirs:
            try:
                self._process = subprocess.Popen(self._program, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)  # noqa: S603 - our own words
            except OSError:
                ours.close()
                return
        ours.setblocking(False)
        self._line = ours
        self.started += 1

    def end(self) -> None:
        """End the child. The next request starts another."""
        streams, line, process = self._streams, self._line, self._process
        self._streams = self._line = self._process = None
        if streams is not None:
            streams[1].transport.abort()
        elif line is not None:
            line.close()
        if process is not None:
            process.kill()
            process.wait()


def _gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)
