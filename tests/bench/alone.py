"""The scanners without a filter: minimal clients that send a message straight to clamd or spamd."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from e2e_lab.spamd import Spamd
from earmark.core.mail import Client, Envelope, Site, parse_path
from earmark.core.own_received import own_received

_CHUNK = 65536
_PATIENCE = 120.0
_OURS = own_received(
    Envelope(
        Client("11.0.0.0"), Site(), "mail.sender.test", parse_path(b"<somebody@sender.test>"), time.time(),
        authserv_id="mx.example.org",
    ),
    "mail.sender.test", "4Q00000000",
)  # fmt: skip
"""What earmark writes on top for SpamAssassin."""

Alone = Callable[[bytes], float]
"""Has a message scanned; returns the seconds from before it connects to the end of the answer."""


def clamd_alone(path: Path) -> Alone:
    """Return what streams a message to the clamd at this socket."""

    def scan(message: bytes) -> float:
        begun = time.perf_counter()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(str(path))
            connection.sendall(b"zINSTREAM\0")
            for at in range(0, len(message), _CHUNK):
                chunk = message[at : at + _CHUNK]
                connection.sendall(len(chunk).to_bytes(4, "big"))
                connection.sendall(chunk)
            connection.sendall(bytes(4))
            reply = connection.recv(4096)
        if reply != b"stream: OK\0":
            raise SystemExit(f"clamd says {reply!r}")
        return time.perf_counter() - begun

    return scan


def spamd_alone(server: Spamd) -> Alone:
    """Return what has this spamd report on a message under the fields that earmark puts on top of it."""

    def scan(message: bytes) -> float:
        begun = time.perf_counter()
        reply = server.ask("REPORT", _OURS + message, f"Content-length: {len(_OURS) + len(message)}")
        if b" EX_OK\r\n" not in reply or b"external=11.0.0.0 " not in reply:
            raise SystemExit(f"spamd says {reply!r}")
        return time.perf_counter() - begun

    return scan
