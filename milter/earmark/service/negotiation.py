"""Does a milter answer at this socket? A whole option negotiation, as an MTA does it."""

import socket
import time

from earmark.service.sockets import ListenError, parse_inet
from earmark.wire import RemoteError
from earmark.wire.milter import Command, packet
from earmark.wire.milter_mta import MtaSide


def negotiate(address: str, timeout: float) -> str:
    """Return what was agreed, in words. `timeout` is in seconds, for all of it.

    Raises ListenError where `address` is neither unix:/path nor inet:host:port, OSError (TimeoutError too), and
    RemoteError where no milter answers.
    """
    deadline = time.monotonic() + timeout
    side = MtaSide()
    with _connect(address, timeout) as connected:
        connected.sendall(side.negotiate())
        while side.agreed is None:
            connected.settimeout(max(deadline - time.monotonic(), 0.001))
            data = connected.recv(4096)
            if not data:
                raise RemoteError("closed without an answer")
            if side.feed(data) and side.agreed is None:
                raise RemoteError("answered something else than negotiation")
        connected.sendall(packet(Command.QUIT))
    agreed = side.agreed
    return f"milter version {agreed.version}, actions {agreed.actions.name or 'none'}"


def why_not(error: OSError | RemoteError) -> str:
    """Return what went wrong, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _connect(address: str, timeout: float) -> socket.socket:
    path = address.removeprefix("unix:")
    if path == address:
        host, port = parse_inet(address)
        if not host or port > 65535:
            raise ListenError(f'{address}: is neither "unix:/path" nor "inet:host:port"')
        return socket.create_connection((host, port), timeout)
    if not path:
        raise ListenError(f"{address}: names no path")
    connecting = socket.socket(socket.AF_UNIX)
    try:
        connecting.settimeout(timeout)
        connecting.connect(path)
    except OSError:
        connecting.close()
        raise
    return connecting
