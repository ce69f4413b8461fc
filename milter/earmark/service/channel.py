"""What supervisor and child say to each other: small JSON messages over a socket pair that keeps their bounds."""

import json
import socket
from collections.abc import Sequence
from typing import Any

_LARGEST = 65536
_FDS_AT_MOST = 64

Message = dict[str, Any]


class Channel:
    """One end. Never blocks, so neither side can hold up the other."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        end.setblocking(False)

    @staticmethod
    def pair() -> tuple["Channel", "Channel"]:
        """Return the two ends. SOCK_SEQPACKET: a message arrives whole or not at all, and the end of a peer shows."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(ours), Channel(theirs)

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 when closed."""
        return self._socket.fileno()

    def send(self, message: Message, fds: Sequence[int] = ()) -> bool:
        """Send `message` with open descriptors; False when the peer is gone or reads too slowly."""
        data = json.dumps(message).encode()
        try:
            socket.send_fds(self._socket, [data], fds)
        except OSError:
            return False
        return True

    def receive(self) -> tuple[Message, list[int]] | None:
        """Return the next message and its descriptors; None at the peer's end.

        Raises BlockingIOError when there is none yet.
        """
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, _LARGEST, _FDS_AT_MOST)
        except ConnectionError:
            return None
        return (json.loads(data), fds) if data else None

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
