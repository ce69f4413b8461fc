"""Servers in a thread that say what was written beforehand: for who asks without an event loop."""

import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_WITHIN = 10.0


@contextmanager
def replying(replies: Mapping[bytes, bytes]) -> Iterator[str]:
    """Listen on a unix socket, and give its "unix:/path".

    Each connection has one request: the reply of the first key that it begins with is sent, and the connection closed.
    """
    with tempfile.TemporaryDirectory(prefix="earmark-") as top, socket.socket(socket.AF_UNIX) as listener:
        Path(top).chmod(0o755)
        path = Path(top, "socket")
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, replies))
        thread.start()
        try:
            yield f"unix:{path}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends accept()
            thread.join()


def _serve(listener: socket.socket, replies: Mapping[bytes, bytes]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            connection.settimeout(_WITHIN)
            request = connection.recv(65536)
            connection.sendall(next((said for begin, said in replies.items() if request.startswith(begin)), b""))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # a close that leaves something unread would be a reset
                pass


@contextmanager
def greeting(banner: bytes, ehlo: bytes) -> Iterator[str]:
    """Be an SMTP server for one client, as far as the answer to EHLO; give its "inet:host:port"."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.settimeout(_WITHIN)
            connection.sendall(banner)
            if connection.recv(4096):
                connection.sendall(ehlo)
            while connection.recv(4096):
                pass

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(_WITHIN)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"inet:127.0.0.1:{listener.getsockname()[1]}"
        thread.join()
