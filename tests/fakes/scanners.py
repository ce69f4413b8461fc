"""A scanner whose every word is written beforehand: it can answer, cut, reset or say nothing."""

import asyncio
import select
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from earmark.clients.limits import Endpoint
from fakes.waiting import until

HANG = b"<hang>"
"""In place of an answer: the request is read, and nothing is said."""
STALL = b"<stall>"
"""In place of an answer: what comes is not even read."""
RESET = b"<reset>"
"""In place of an answer: the connection is reset once the first bytes have come."""
CUT = b"<cut>"
"""After an answer: it is closed at once, whatever is still coming."""


class ScriptedScanner:
    """Answers each request with what `says` holds at that time; a request ends where `until` stands in it.

    PING, in the words of clamd or spamd, is answered rightly unless `says` is to hang or reset.
    """

    def __init__(self, says: bytes, until: bytes) -> None:
        self.says = says
        self.until = until
        self.drip = 0.0
        """Seconds before each byte of an answer, where that is not 0."""
        self.requests: list[bytearray] = []
        """All but pings, as they came; the last one may be coming still."""
        self.pings = 0
        self.connections = 0
        """Open now."""
        self.most_connections = 0
        self._server: asyncio.Server | None = None
        self._stopped = asyncio.Event()
        self._path = ""
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self._path) if self._path else Endpoint("127.0.0.1", self._port)

    async def start(self, path: Path | None = None) -> None:
        """Listen where it listened before, or on `path`, or on a port of 127.0.0.1."""
        self._stopped.clear()
        if path or self._path:
            self._path = str(path or self._path)
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, reuse_address=True)
            self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything; a unix socket's file stays, as after a crash."""
        if self._server is not None:
            self._stopped.set()
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            await self._answer(reader, writer)
        except OSError:
            pass
        finally:
            self.connections -= 1
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = bytearray(await reader.read(65536))
        if self.says == RESET:
            _reset_on_close(writer)
            return
        if b"PING" in request[:5]:
            self.pings += 1
            said = b"PONG\0" if request[:1] == b"z" else b"SPAMD/1.5 0 PONG\r\n"
        else:
            self.requests.append(request)
            said = self.says
            if said == STALL:
                await self._stopped.wait()
                return
            while not said.endswith(CUT) and not request.endswith(self.until):
                more = await reader.read(65536)
                if not more:
                    return
                request += more
        if self.says != HANG:
            await self._say(writer, said.removesuffix(CUT))
            if said.endswith(CUT):
                return
            writer.write_eof()
        await reader.read()  # until the other side has had enough, or has said all that it has to say
        if self.says == HANG and b"SPAMC/" in request[:40]:
            hang_up = select.poll()
            hang_up.register(writer.get_extra_info("socket").fileno(), 0)
            await until(lambda: self._stopped.is_set() or bool(hang_up.poll(0)), 60)

    async def _say(self, writer: asyncio.StreamWriter, said: bytes) -> None:
        step = 1 if self.drip else max(len(said), 1)
        for at in range(0, len(said), step):
            await asyncio.sleep(self.drip)
            writer.write(said[at : at + step])
            await writer.drain()


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def scanners(said: Iterable[bytes], until: bytes) -> AsyncIterator[list[ScriptedScanner]]:
    """Serve with one scanner for each answer; see ScriptedScanner."""
    started = [ScriptedScanner(says, until) for says in said]
    try:
        for scanner in started:
            await scanner.start()
        yield started
    finally:
        for scanner in started:
            await scanner.stop()
