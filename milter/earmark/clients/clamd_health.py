"""What a clamd says of itself, asked through the package clamd, and not in the way of mail: for `earmark doctor`."""

import io
import re
import socket
import time
from contextlib import suppress
from datetime import date
from typing import NamedTuple

import clamd

from earmark.clients.limits import Endpoint
from earmark.core.text import printable
from earmark.wire import RemoteError
from earmark.wire.clamd import read_version

_PATIENCE = 10.0
"""Seconds for an answer, which waits while clamd reads a new database."""
_LARGEST = 65536
"""Bytes of an answer that are read."""
_THREADS = re.compile(r"THREADS: live +\d{1,6} +idle +\d{1,6} +max +(\d{1,6})")
_QUEUE = re.compile(r"QUEUE: (\d{1,9}) items")


class ClamdHealth(NamedTuple):
    """The answers to PING, VERSION and STATS."""

    program: str
    """Its version."""
    issued: str
    """The day of ClamAV's own signatures, such as "2026-11-18"; "" where it has none, or tells none."""
    threads: int
    """MaxThreads; 0 where it does not tell."""
    queue: int
    """Messages and commands that wait for a thread."""


def ask_health(endpoint: Endpoint) -> ClamdHealth:
    """Ask a clamd; takes half a minute at most. Raises OSError, and RemoteError for an answer that is none."""
    server = _Server(endpoint)
    try:
        pong, version, stats = server.ping(), server.version(), server.stats()
    except (clamd.ClamdError, UnicodeDecodeError) as error:
        raise RemoteError(printable(str(error), 100)) from error
    if pong != "PONG":
        raise RemoteError(f"not an answer to PING: {printable(pong, 60)}")
    known = read_version(version.encode() + b"\0")
    issued = ""
    with suppress(ValueError):  # no such day
        issued = date(*known.built).isoformat() if known.built else ""
    threads, queue = _THREADS.search(stats), _QUEUE.search(stats)
    return ClamdHealth(known.program, issued, int(threads[1]) if threads else 0, int(queue[1]) if queue else 0)


class _Server(clamd.ClamdNetworkSocket):  # type: ignore[misc]  # the package has no types
    """The package's client, over IPv6 too, with a limit to the time of connecting and to what is read."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(timeout=_PATIENCE)
        self._endpoint = endpoint

    def _init_socket(self) -> None:
        self.clamd_socket = _Bounded(_connect(self._endpoint))


class _Bounded:
    """What the package needs of a socket. Reading ends at the server's end, in time, and with no more than so much."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.send = connection.sendall
        self.close = connection.close

    def makefile(self, _mode: str) -> io.BytesIO:
        end = time.monotonic() + _PATIENCE
        said = b""
        while len(said) < _LARGEST:
            self._connection.settimeout(max(end - time.monotonic(), 0.001))
            more = self._connection.recv(_LARGEST - len(said))
            if not more:
                break
            said += more
        return io.BytesIO(said)


def _connect(endpoint: Endpoint) -> socket.socket:
    if endpoint.port is not None:
        return socket.create_connection((endpoint.host, endpoint.port), _PATIENCE)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_PATIENCE)
        connection.connect(endpoint.host)
    except OSError:
        connection.close()
        raise
    return connection
