"""The MTA's side of a milter connection over a real socket: what tests say, and what they hear."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from earmark.wire.milter import Actions, Command, Connect, Negotiation, Steps, packet
from earmark.wire.milter_mta import (
    ALL_ACTIONS,
    ALL_STEPS,
    Answer,
    HeaderEdit,
    MtaSide,
    OtherEdit,
    Progress,
    ReplyCode,
    Response,
    connect,
    helo,
    macros,
    mail,
    rcpt,
)

DEADLINE = 20.0
CLIENT = Connect(b"mail.example.net", "4", 2525, b"192.0.2.7")


NUL = b"\0"


def text_of(response: Response, *, leading_space: bool = True) -> str:
    """Return a response as one line, as the dialogue files write it."""
    match response:
        case Negotiation(version, actions, steps):
            line = f"negotiated version={version} actions={_flags(actions)} steps={_flags(steps)}"
        case HeaderEdit("change", at, name, b""):
            line = f"remove {at} {name.decode('latin-1')}"
        case HeaderEdit(kind, at, name, value):
            colon = b":" if leading_space else b": "
            line = f"{kind} {at} {(name + colon + value).decode('utf-8', 'backslashreplace')}"
        case Answer(text) | ReplyCode(text):
            line = text
        case OtherEdit(letter, payload):
            line = f"edit {letter} {payload.removesuffix(NUL).decode('latin-1')}"
        case Progress():
            raise AssertionError("no response")
    return line


def _flags(value: Actions | Steps) -> str:
    return "|".join(sorted(str(flag.name) for flag in value)) or "none"


@dataclass
class Heard:
    """What came of one transaction."""

    replies: list[str] = field(default_factory=list)
    """To each RCPT."""
    edits: list[str] = field(default_factory=list)
    end: str = ""
    """The final answer to end of message; "" where no recipient was left."""


class Mta:
    """One connection to a milter."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, side: MtaSide) -> None:
        self.side = side
        self.reader = reader
        self.writer = writer
        self._heard: list[Response] = []

    @classmethod
    async def open(cls, path: str, version: int = 6, actions: Actions = ALL_ACTIONS, steps: Steps = ALL_STEPS) -> "Mta":
        """Connect; nothing is said yet."""
        reader, writer = await asyncio.open_unix_connection(path)
        return cls(reader, writer, MtaSide(version, actions, steps))

    async def negotiate(self) -> Response:
        self.send(self.side.negotiate())
        return await self.hear()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self) -> Response:
        """Return the next response, after no matter how much progress. Raises EOFError where the filter has closed."""
        async with asyncio.timeout(DEADLINE):
            while not self._heard:
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError("the filter has closed")
                self._heard += [said for said in self.side.feed(data) if not isinstance(said, Progress)]
        return self._heard.pop(0)

    async def say(self, command: Command, data: bytes) -> str:
        """Send a command, where the filter wants it, and return its answer; "" where it has none."""
        if not self.side.sends(command):
            return ""
        self.send(data)
        return text_of(await self.hear()) if self.side.awaits(command) else ""

    async def greet(self, client: Connect = CLIENT, name: bytes = b"mail.example.net") -> None:
        """Negotiate, CONNECT and HELO."""
        await self.negotiate()
        await self.say(Command.CONNECT, connect(client))
        await self.say(Command.HELO, helo(name))

    async def message(
        self,
        sender: bytes = b"<a@example.net>",
        recipients: Sequence[bytes] = (b"<b@example.org>",),
        headers: Sequence[tuple[bytes, bytes]] = ((b"Subject", b" Hello"),),
        *,
        user: bytes = b"",
        queue_id: bytes = b"QUEUEID",
    ) -> Heard:
        """Carry a message as Postfix does, and ABORT after it."""
        heard = Heard()
        self.send(macros(Command.MAIL, {b"auth_type": b"PLAIN" if user else b"", b"auth_authen": user}))
        await self.say(Command.MAIL, mail(sender))
        for recipient in recipients:
            heard.replies.append(await self.say(Command.RCPT, rcpt(recipient)))
        if "continue" in heard.replies:
            await self._content(headers, queue_id, heard)
        self.send(packet(Command.ABORT))
        return heard

    async def _content(self, headers: Sequence[tuple[bytes, bytes]], queue_id: bytes, heard: Heard) -> None:
        self.send(macros(Command.DATA, {b"i": queue_id}))
        await self.say(Command.DATA, packet(Command.DATA))
        for name, value in headers:
            self.send(macros(Command.HEADER, {}))
            await self.say(Command.HEADER, self.side.header(name, value))
        await self.say(Command.EOH, packet(Command.EOH))
        await self.say(Command.BODY, packet(Command.BODY, b"Hello\r\n"))
        self.send(packet(Command.EOM))
        while isinstance(response := await self.hear(), HeaderEdit):
            heard.edits.append(text_of(response))
        heard.end = text_of(response)

    async def quit(self) -> None:
        """Say QUIT, and see the filter close."""
        self.send(packet(Command.QUIT))
        async with asyncio.timeout(DEADLINE):
            rest = await self.reader.read()
        assert not rest, f"said after QUIT: {rest!r}"
        await self.vanish()

    async def vanish(self) -> None:
        """Hang up."""
        self.writer.close()
        with suppress(ConnectionError):  # the filter was first
            await self.writer.wait_closed()
