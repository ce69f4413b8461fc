"""A real SMTP server for what is released, with earmark's part in it: it asks the store about the release's field."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from earmark.stores import quarantine_index as index
from fakes.held import indexed

FIELD = b"X-Earmark-Release: "


class _Smtp(SMTP):
    line_length_limit = 1_000_000
    """Of a body's line: mail has had longer ones than RFC 5321 allows."""


def _abort(server: SMTP) -> None:
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()


class SubmissionServer:
    """Takes mail, or does with it what `does` says, at "rcpt" or at "data".

    A reply is given as it stands; "break" closes the connection, at "data" when the whole message has come.
    """

    def __init__(self, directory: Path) -> None:
        self.port = 0
        self.does: dict[str, str] = {}
        self.recognises = True
        self.taken: list[Envelope] = []
        self._directory = directory

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        said = self.does.get("rcpt", "250 OK")
        if said == "break":
            _abort(server)
        elif said.startswith("2"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - likewise
        first, _, _ = (envelope.original_content or b"").partition(b"\r\n")
        if self.recognises and first.startswith(FIELD):
            message_id, token = first.removeprefix(FIELD).decode().split()
            with indexed(self._directory) as connection:
                assert index.spend(connection, message_id, token, time.time())
        said = self.does.get("data", "250 2.0.0 Ok: queued as 4Released")
        if said.startswith("2") or said == "break":
            self.taken.append(envelope)
        if said == "break":
            _abort(server)
        return said

    def bodies(self) -> list[bytes]:
        """Return what came, without the field that proves the release."""
        return [(envelope.original_content or b"").partition(b"\r\n")[2] for envelope in self.taken]


@contextmanager
def submission_server(directory: Path) -> Iterator[SubmissionServer]:
    """Give a server on a port of 127.0.0.1, in a thread of its own, beside the quarantine in this directory."""
    made = SubmissionServer(directory)
    ready = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        protocols: list[SMTP] = []

        def protocol() -> SMTP:
            protocols.append(_Smtp(made, hostname="mx.example.org", enable_SMTPUTF8=True, loop=loop))
            return protocols[-1]

        server = await loop.create_server(protocol, "127.0.0.1", 0)
        made.port = server.sockets[0].getsockname()[1]
        loops.append((loop, ended))
        ready.set()
        await ended.wait()
        for one in protocols:
            _abort(one)
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield made
    finally:
        loop, ended = loops[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
