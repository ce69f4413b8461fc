"""The child process: verifies what its worker sends, one request after the other, until the worker closes the line.

`python -m earmark.clients.dkim.verifier`, its standard input a stream socket. It opens no file and no connection, may
not grow, leaves no core behind, and does not outlive its worker.
"""

import ctypes
import resource
import signal
import socket
from typing import BinaryIO

from earmark.clients.dkim.frames import LENGTH_BYTES, Answer, Request, frame_length, read_request, write_frame
from earmark.clients.dkim.verify import Body, Message

_MEMORY_AT_MOST = 512 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_FOR_THE_WORKER = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""A draining worker has messages yet; it closes the line when it needs us no more."""


def main() -> None:
    """Serve until the line is closed."""
    _confine()
    with socket.socket(fileno=0) as line, line.makefile("rb") as requests:
        while (read := _next(requests)) is not None:
            line.sendall(write_frame(answer(*read)))


def answer(request: Request, body: bytes) -> list[Answer]:
    """Verify what a request asks for. Never raises for what a sender has written."""
    keys = {name.encode("latin-1"): record.encode() for name, record in request.keys.items()}
    message = Message(request.headers, Body(body), keys)
    if not request.positions:
        return [message.chain()]
    return [message.signature(position) for position in request.positions]


def _next(requests: BinaryIO) -> tuple[Request, bytes] | None:
    """Return the next request with the body that follows it; None when the worker is gone."""
    head = requests.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    length = frame_length(head)
    raw = requests.read(length)
    if len(raw) < length:
        return None
    request = read_request(raw)
    body = requests.read(request.body)
    return (request, body) if len(body) == request.body else None


def _confine() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in _FOR_THE_WORKER:
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_AT_MOST, _MEMORY_AT_MOST))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
