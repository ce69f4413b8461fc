"""Does a door answer at this socket? A milter is asked by a whole option negotiation, a policy door by a request."""

import socket
import time

from earmark.service.sockets import ListenError, parse_inet
from earmark.wire import RemoteError
from earmark.wire.attributes import decode_action, encode_request
from earmark.wire.milter import Command, packet
from earmark.wire.milter_mta import MtaSide

_ANY_CLIENT = (
    (b"request", b"smtpd_access_policy"),
    (b"protocol_state", b"CONNECT"),
    (b"client_address", b"127.0.0.1"),
)
"""At CONNECT nothing is decided, and about loopback nobody is asked."""
_ANSWER_AT_MOST = 1000


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


def ask_policy(address: str, timeout: float) -> str:
    """Return what a policy door answers to a request, in words. `timeout` and errors are as with `negotiate`."""
    deadline = time.monotonic() + timeout
    answer = b""
    with _connect(address, timeout) as connected:
        connected.sendall(encode_request(_ANY_CLIENT))
        while not answer.endswith(b"\n\n") and len(answer) < _ANSWER_AT_MOST:
            connected.settimeout(max(deadline - time.monotonic(), 0.001))
            data = connected.recv(_ANSWER_AT_MOST)
            if not data:
                raise RemoteError("closed in the middle of an answer" if answer else "closed without an answer")
            answer += data
    return f"policy door, action {decode_action(answer)}"


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
