"""A proxy before a scanner, which does to its connections what servers and networks do."""

import asyncio
import select
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from e2e_lab.processes import free_port

_PIECE = 16 * 1024
_LOOK_EVERY = 0.05
"""Seconds."""


class Fault(NamedTuple):
    """What happens to a connection."""

    kind: str = "pass"
    """pass; down: nobody listens; refuse: reset at once; hang: take all, say nothing; slow: `size` bytes of the request
    a second; reset: after `size` bytes of the request; cut: end after `size` bytes of the reply; say: take all, say
    `text`; half: say `text`, and then no end."""
    size: int = 0
    text: bytes = b""


class FaultProxy:
    """One proxy, on `port` of 127.0.0.1 or on a unix socket; `fault` counts for connections made from now on."""

    def __init__(self, target: int, path: Path | None = None, *, half_closed: bool = False) -> None:
        """Pass on to the port `target` of 127.0.0.1; `half_closed`: the end of what a client says is not its end."""
        self.port = 0 if path else free_port()
        self.endpoint = f"unix:{path}" if path else f"inet:127.0.0.1:{self.port}"
        self.connections = 0
        """How many have been made."""
        self._fault = Fault()
        self._half_closed = half_closed
        self._path = path
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault proxy")
        self._thread.start()
        self._do(self._listen())

    def stop(self) -> None:
        self._do(self._die())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._open)

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        if fault.kind == "down":
            self._do(self._die())
        elif self._server is None:
            self._do(self._listen())

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        if self._path:
            self._server = await asyncio.start_unix_server(self._client, self._path)
            self._path.chmod(0o666)
        else:
            self._server = await asyncio.start_server(self._client, "127.0.0.1", self.port)

    async def _die(self) -> None:
        """End everything as a crash does: the file of a unix socket stays."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            with suppress(OSError):
                await self._serve_one(self.fault, reader, writer)
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _serve_one(self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fault.kind == "refuse":
            _reset(writer)
        elif fault.kind in {"hang", "say", "half"}:
            writer.write(fault.text)
            await writer.drain()
            if fault.kind == "say":
                writer.write_eof()
            while await reader.read(_PIECE):
                pass
            while not self._is_gone(writer):  # noqa: ASYNC110 - asyncio looks no more
                await asyncio.sleep(_LOOK_EVERY)
        else:
            await self._pass_on(fault, reader, writer)

    async def _pass_on(self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        request = asyncio.create_task(self._request(fault, reader, there, writer))
        reply = asyncio.create_task(_reply(fault, there_reader, writer))
        try:
            await asyncio.wait((request, reply), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in (request, reply):
                task.cancel()
            await asyncio.gather(request, reply, return_exceptions=True)
            there.transport.abort()

    async def _request(
        self, fault: Fault, reader: asyncio.StreamReader, there: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        slow = fault.kind == "slow"
        passed = 0
        while data := await reader.read(max(1, fault.size // 10) if slow else _PIECE):
            passed += len(data)
            if fault.kind == "reset" and passed > fault.size:
                _reset(client)
                raise ConnectionResetError
            if slow:
                await asyncio.sleep(len(data) / fault.size)
                if self._is_gone(client):
                    raise ConnectionResetError
            there.write(data)
            await there.drain()
        there.write_eof()

    def _is_gone(self, client: asyncio.StreamWriter) -> bool:
        """Return whether a client has closed the connection, perhaps before all that it said was read."""
        events = select.poll()
        events.register(client.get_extra_info("socket").fileno(), 0 if self._half_closed else select.POLLRDHUP)
        return bool(events.poll(0))  # errors, such as a reset, are always told


async def _reply(fault: Fault, there: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    left = fault.size if fault.kind == "cut" else None
    while data := await there.read(_PIECE):
        client.write(data if left is None else data[:left])
        await client.drain()
        if left is not None:
            left -= len(data)
            if left <= 0:
                break
    with suppress(OSError):
        client.write_eof()
        await client.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connected: socket.socket = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
