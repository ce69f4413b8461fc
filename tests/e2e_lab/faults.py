"""A TCP proxy before a scanner, which does to its connections what servers and networks do."""

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from typing import NamedTuple

from e2e_lab.processes import free_port

_PIECE = 16 * 1024


class Fault(NamedTuple):
    """What happens to a connection."""

    kind: str = "pass"
    """pass; refuse: reset at once; hang: take all, say nothing; slow: `size` bytes of the request a second;
    reset: after `size` bytes of the request; cut: end after `size` bytes of the reply; say: take all, say `text`;
    half: say `text`, and then no end."""
    size: int = 0
    text: bytes = b""


class FaultProxy:
    """One proxy on `port`; `fault` counts for the connections that are made from now on."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.fault = Fault()
        self.connections = 0
        """How many have been made."""
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault proxy")
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._client, "127.0.0.1", self.port)
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

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
            await self._over.wait()
        else:
            await self._pass_on(fault, reader, writer)

    async def _pass_on(self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        request = asyncio.create_task(_request(fault, reader, there, writer))
        try:
            await _reply(fault, there_reader, writer)
        finally:
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
            there.transport.abort()


async def _request(
    fault: Fault, reader: asyncio.StreamReader, there: asyncio.StreamWriter, client: asyncio.StreamWriter
) -> None:
    piece = max(1, fault.size // 10) if fault.kind == "slow" else _PIECE
    passed = 0
    while data := await reader.read(piece):
        passed += len(data)
        if fault.kind == "reset" and passed > fault.size:
            _reset(client)
            return
        there.write(data)
        await there.drain()
        if fault.kind == "slow":
            await asyncio.sleep(len(data) / fault.size)
    there.write_eof()


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
