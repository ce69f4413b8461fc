"""The MTA's end of one milter connection, with I/O: for the demonstration's receiver."""

import asyncio
from collections.abc import Mapping

from earmark.wire import RemoteError
from earmark.wire.milter import Command, packet
from earmark.wire.milter_mta import Answer, HeaderEdit, MtaSide, Progress, ReplyCode, Response, macros

_DEADLINE = 30.0


class MilterClient:
    """One connection to a filter, from `open` to `close`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.side = MtaSide()
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, path: str) -> "MilterClient":
        """Connect to a unix socket and negotiate. Raises OSError, RemoteError or TimeoutError."""
        client = cls(*await asyncio.open_unix_connection(path))
        client._writer.write(client.side.negotiate())
        async with asyncio.timeout(_DEADLINE):
            while client.side.agreed is None:
                await client._receive()
        return client

    async def tell(self, letter: Command, command: bytes, values: Mapping[bytes, bytes] = {}) -> list[Response]:
        """Send a command with its macros; return the edits that came and, last, the final answer, if one was due."""
        if not self.side.sends(letter):
            return []
        if values:
            self._writer.write(macros(letter, values))
        self._writer.write(command)
        await self._writer.drain()
        if not self.side.awaits(letter):
            return []
        responses: list[Response] = []
        async with asyncio.timeout(_DEADLINE):
            while not responses or not isinstance(responses[-1], Answer | ReplyCode):
                responses += [response for response in await self._receive() if not isinstance(response, Progress)]
        return responses

    async def _receive(self) -> list[Response]:
        data = await self._reader.read(65536)
        if not data:
            raise RemoteError("the filter closed the connection")
        return self.side.feed(data)

    def close(self) -> None:
        """Say goodbye and close; safe to call twice."""
        if not self._writer.is_closing():
            self._writer.write(packet(Command.QUIT))
            self._writer.close()


def edited(fields: list[tuple[bytes, bytes]], edits: list[HeaderEdit]) -> list[tuple[bytes, bytes]]:
    """Return the header after the edits, as an MTA makes them: one after the other."""
    fields = list(fields)
    for edit in edits:
        if edit.kind == "insert":
            fields.insert(edit.at, (edit.name, edit.value))
        elif edit.kind == "add":
            fields.append((edit.name, edit.value))
        else:
            _change(fields, edit)
    return fields


def _change(fields: list[tuple[bytes, bytes]], edit: HeaderEdit) -> None:
    same = [position for position, (name, _) in enumerate(fields) if name.lower() == edit.name.lower()]
    if edit.at > len(same):
        fields.append((edit.name, edit.value))
    elif edit.value.strip():
        fields[same[edit.at - 1]] = (edit.name, edit.value)
    else:
        del fields[same[edit.at - 1]]
