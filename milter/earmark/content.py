"""The message as the milter received it, held for those who read all of it: DKIM, scanners, the quarantine."""

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import BinaryIO

from earmark.core.mail import Header

IN_MEMORY = 1024 * 1024
"""Bytes of a body that are held in memory; a longer one goes to a file."""
AT_MOST = 64 * 1024 * 1024
"""Bytes of a message that are held at all."""
_AT_ONCE = 64 * 1024


class Content:
    """Header fields and body of one message.

    A body that outgrows memory goes to a temporary file without a name, which ends with `close` or with the process. A
    message that cannot be held is no error: `why` says so, and what was held is given up.
    """

    __slots__ = (
        "_at_most",
        "_chunks",
        "_file",
        "_followers",
        "_in_memory",
        "_in_memory_at_most",
        "beyond_limits",
        "body_size",
        "headers",
        "received",
        "size",
        "whole",
        "why",
    )

    def __init__(
        self, headers: Sequence[Header], *, truncated: bool = False, in_memory: int = IN_MEMORY, at_most: int = AT_MOST
    ) -> None:
        """Take the header as the milter gave it, lines of a field divided by LF; `truncated` where it is not whole."""
        self.headers = headers
        self.size = sum(len(name) + len(value) + value.count(b"\n") + 3 for name, value in headers) + 2
        """Bytes of the whole message as it came, whether they are held or not."""
        self.body_size = 0
        """Those of the body."""
        self.why = "its header was cut" if truncated else ""
        """Why there is nothing, or nothing whole, to read; "" while all is well. To be looked at after reading too."""
        self.beyond_limits = truncated
        """It will never be here whole, however often it comes: it is too large, or its header is."""
        self.whole = False
        """Nothing will be added any more."""
        self.received = b""
        """The Received field, name and line end included, that our own MTA writes on top and does not show a milter."""
        self._followers: list[asyncio.Future[None]] = []
        self._at_most = at_most
        self._in_memory_at_most = in_memory
        self._in_memory = 0
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = None

    def add(self, chunk: bytes) -> None:
        """Add the next piece of the body. Never raises."""
        self.size += len(chunk)
        self.body_size += len(chunk)
        if self.why:
            return
        if self.size > self._at_most:
            self.beyond_limits = True
            self._give_up(f"larger than {self._at_most} bytes")
            return
        try:
            self._hold(chunk)
        except OSError as error:
            self._give_up(f"no space: {error.strerror}")
        self._wake()

    def finish(self) -> None:
        """Note that the body is whole."""
        self.whole = True
        self._wake()

    def _wake(self) -> None:
        followers, self._followers = self._followers, []
        for follower in followers:
            if not follower.done():
                follower.set_result(None)

    def _hold(self, chunk: bytes) -> None:
        if self._file is None:
            self._chunks.append(chunk)
            self._in_memory += len(chunk)
            if self._in_memory <= self._in_memory_at_most:
                return
            self._file = tempfile.TemporaryFile(buffering=0, prefix="earmark-")  # noqa: SIM115 - closed by `close`
            chunk = b"".join(self._chunks)
            self._chunks = []
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]

    def header(self) -> bytes:
        """Return the header with lines that end in CRLF, and the empty line after it."""
        return b"".join(name + b":" + with_crlf(value) + b"\r\n" for name, value in self.headers) + b"\r\n"

    def chunks(self) -> Iterator[bytes]:
        """Return the whole message: the header, an empty line, the body as it came."""
        if not self.why:
            yield self.header()
            yield from self.body()

    async def follow(self) -> AsyncGenerator[bytes, None]:
        """Return the message as `chunks` does while it still comes in, up to its end or to where `why` is set."""
        if not self.why:
            yield self.header()
        at = 0
        while not self.why:
            for piece in self.body(at):
                at += len(piece)
                yield piece
            if at < self.body_size:
                continue
            if self.whole:
                return
            await self._news()

    async def finished(self) -> None:
        """Return when the body is whole, or `why` is set."""
        while not (self.whole or self.why):
            await self._news()

    async def _news(self) -> None:
        follower = asyncio.get_running_loop().create_future()
        self._followers.append(follower)
        await follower

    def body(self, at: int = 0) -> Iterator[bytes]:
        """Return the body as it came, from this byte on. Several may read at once."""
        if self.why:
            return
        end = 0
        for chunk in self._chunks:  # which may go to a file while a follower waits: that file has these bytes too
            begin, end = end, end + len(chunk)
            if at < end:
                yield chunk[at - begin :] if at > begin else chunk
                at = end
        while self._file is not None:
            try:
                piece = os.pread(self._file.fileno(), _AT_ONCE, at)
            except OSError as error:
                self._give_up(f"cannot be read again: {error.strerror}")
                return
            if not piece:
                return
            at += len(piece)
            yield piece

    def close(self) -> None:
        """Free what is held. There is nothing to read any more."""
        self._give_up(self.why or "closed")

    def _give_up(self, why: str) -> None:
        self.why = why
        self._chunks = []
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self._wake()


def with_crlf(value: bytes) -> bytes:
    """Return the lines of a header field, divided by LF as a milter has them, with CRLF between them (RFC 5322)."""
    return value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if b"\n" in value else value
