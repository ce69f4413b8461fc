"""An SMTP client that gives up a server which never comes to an end: its replies are bounded in bytes and in time."""

import smtplib
import time

_MOST_OF_A_REPLY = 16384
"""Bytes; RFC 5321, 4.5.3.1.5 allows 512 in a line, and a reply has few lines."""


class BoundedClient(smtplib.SMTP):
    """smtplib's client bounds a line and the wait for a byte, but neither the lines nor the whole."""

    def __init__(self, seconds: float) -> None:
        """`seconds` are for the whole dialogue, from now on."""
        self._ends = time.monotonic() + seconds
        self._unread = bytearray()
        super().__init__(timeout=seconds)

    def getreply(self) -> tuple[int, bytes]:
        """Return the code and the text of a reply. Raises SMTPResponseException where it is none, TimeoutError late."""
        lines: list[bytes] = []
        room = _MOST_OF_A_REPLY
        while True:
            line = self._line(room)
            room -= len(line)
            lines.append(line[4:].strip())
            if not line[:3].isdigit():
                self.close()
                raise smtplib.SMTPResponseException(-1, line[:80])
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(lines)

    def _line(self, room: int) -> bytes:
        while (end := self._unread.find(b"\n")) < 0:
            if len(self._unread) >= room:
                break
            self._unread += self._received()
        if not 0 <= end < room:
            self.close()
            raise smtplib.SMTPResponseException(500, b"a reply without an end")
        line = bytes(self._unread[: end + 1])
        del self._unread[: end + 1]
        return line

    def _received(self) -> bytes:
        left = self._ends - time.monotonic()
        if left <= 0 or self.sock is None:
            self.close()
            raise TimeoutError("its replies take too long" if left <= 0 else "the connection is closed")
        self.sock.settimeout(left)
        received = self.sock.recv(4096)
        if not received:
            self.close()
            raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
        return received
