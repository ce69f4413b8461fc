"""The MTA's end of a milter connection, blocking and without no-reply steps: each command has its answer at once."""

import socket
from types import TracebackType
from typing import Self

from earmark.wire.milter import Actions, Command, Negotiation, Packet, Splitter, Steps, encode_negotiation, packet

_EDITS = frozenset(b"+-2behimqp")
ACCEPTED, REFUSED = ord("c"), ord("y")
PATIENCE = 20.0


class ScriptedMta:
    """One SMTP session as an MTA tells it to a filter on `address`."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._splitter = Splitter()
        self._packets: list[Packet] = []
        self.socket = socket.socket(family)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(address)
            offer = Negotiation(6, Actions(0x1FF), Steps.HDR_LEADSPC | Steps.SKIP)
            self.socket.sendall(encode_negotiation(offer))
            assert self.read()[0] == Command.NEGOTIATE
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def read(self) -> Packet:
        """Return the next packet; EOFError when the filter has hung up."""
        while not self._packets:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("the filter hung up")
            self._packets = self._splitter.feed(data)
        return self._packets.pop(0)

    def say(self, command: Command, payload: bytes = b"") -> int:
        """Send a command and return the letter that answers it; edits before it are passed over."""
        self.socket.sendall(packet(command, payload))
        while True:
            letter, _ = self.read()
            if letter not in _EDITS:
                return letter

    def begin(self, client: str) -> None:
        """CONNECT, HELO and MAIL."""
        self.say(Command.CONNECT, b"mail.example.net\x004\x30\x39" + client.encode() + b"\0")
        self.say(Command.HELO, b"mail.example.net\0")
        self.say(Command.MAIL, b"<sender@example.net>\0")

    def rcpt(self, recipient: str = "user@example.org") -> int:
        return self.say(Command.RCPT, f"<{recipient}>\0".encode())

    def message(self) -> int:
        """DATA to end of message."""
        self.say(Command.DATA)
        for name, value in (("From", "sender@example.net"), ("Subject", "test")):
            self.say(Command.HEADER, f"{name}\0 {value}\0".encode())
        self.say(Command.EOH)
        return self.say(Command.EOM)

    def quit(self) -> None:
        """End the session as an MTA does."""
        self.socket.sendall(packet(Command.QUIT))
        while self.socket.recv(4096):
            pass
