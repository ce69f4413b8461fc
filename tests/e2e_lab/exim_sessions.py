"""A port where a client may claim to be anyone, and then talks to an Exim of its own.

Exim knows no XCLIENT. What it knows is `exim -bs -oMa ADDRESS -oMs NAME -oMai USER`: a session on its standard input,
with the host and the user that the command line names. So this takes the XCLIENT of `smtp.Client.introduce`, starts
that command, and passes bytes on. (The PROXY protocol, which the daemon speaks, claims an address and nothing else.)
"""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from e2e_lab.processes import free_port

_PIECE = 64 * 1024


class Sessions:
    """Serves `port` of 127.0.0.1 until `stop`; each connection is a process of its own."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        """`command` is Exim with its configuration."""
        self.port = free_port()
        self._command = [str(word) for word in command]
        self._server: asyncio.Server
        self._open: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="exim sessions")
        self._thread.start()
        self._do(self._listen())

    def stop(self) -> None:
        """End every session that is still open, with its process."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", self.port, backlog=400, limit=_PIECE)

    async def _end(self) -> None:
        self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(OSError):
                await self._session(reader, writer)
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        claimed = await _claimed(reader, writer)
        if claimed is None:
            return
        ours, theirs = socket.socketpair()
        command = [*self._command, "-bs", *claimed]
        with theirs:
            process = _started(command, theirs.fileno())
        exim_reader, exim = await asyncio.open_connection(sock=ours, limit=_PIECE)
        said = asyncio.create_task(_pass_on(reader, exim))
        try:
            await _pass_on(exim_reader, writer)
        finally:
            said.cancel()
            await asyncio.gather(said, return_exceptions=True)
            exim.transport.abort()
            await self._loop.run_in_executor(None, process.wait)


def _started(command: Sequence[str], stream: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdin=stream, stdout=stream, stderr=subprocess.DEVNULL, cwd="/")


async def _claimed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[str] | None:
    """Talk to a client up to its XCLIENT; return what Exim is to be told of it, None where it has gone."""
    writer.write(b"220 claim a client\r\n")
    while line := await reader.readline():
        verb, *attributes = line.decode("ascii").split()
        if verb == "XCLIENT":
            return _arguments(dict(attribute.split("=", 1) for attribute in attributes))
        writer.write(b"250 XCLIENT ADDR NAME LOGIN\r\n")
    return None


def _arguments(claimed: dict[str, str]) -> list[str]:
    """Return Exim's options for what an XCLIENT claims. The ident of who runs the tests is no part of it."""
    address = claimed["ADDR"].removeprefix("IPV6:")
    options = ["-oMa", f"[{address}]:40000", "-oMt", ""]
    if claimed["NAME"] != "[UNAVAILABLE]":
        options += ["-oMs", claimed["NAME"]]
    if "LOGIN" in claimed:
        options += ["-oMaa", "xclient", "-oMai", claimed["LOGIN"]]
    return options


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()
