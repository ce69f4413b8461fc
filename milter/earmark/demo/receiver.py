"""An SMTP receiver that speaks to the milter as an MTA does, and delivers into Maildirs: INBOX, or Junk.

For the demonstration only: it takes mail for every recipient, and like Postfix with smtpd_authorized_xclient_hosts it
lets a client claim another address by XCLIENT, so that one machine can play them all.
"""

import asyncio
import mailbox
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from earmark.core.mail import parse_address_text
from earmark.demo.milter_client import MilterClient, edited
from earmark.wire import RemoteError
from earmark.wire.message import split_header
from earmark.wire.milter import Command, Connect, packet
from earmark.wire.milter_mta import Answer, HeaderEdit, ReplyCode, Response, body, connect, helo, mail, rcpt

VISITOR = "192.0.2.99"
"""Whom a client is taken for that claims no address: on loopback it would be one of our own, and exempt."""

_TEMPFAIL = "451 4.7.1 Service unavailable - try again later"
_CHUNK = 65535


class Receiver(SMTP):
    """aiosmtpd's server, with XCLIENT (Postfix, XCLIENT_README: ADDR, NAME and LOGIN) and a milter for each client."""

    def __init__(self, milter: str, maildirs: Path) -> None:
        super().__init__(
            _Handler(maildirs), hostname="mx.example.org", ident="earmark demonstration", enable_SMTPUTF8=True
        )
        self.milter_path = milter
        self.milter: MilterClient | None = None
        self.claimed: dict[str, str] = {"ADDR": VISITOR}

    async def smtp_XCLIENT(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's way to name a command
        """XCLIENT NAME=VALUE ..."""
        pairs = (word.partition("=") for word in (arg or "").split())
        self.claimed = {"ADDR": VISITOR, **{name.upper(): value.removeprefix("IPV6:") for name, _, value in pairs}}
        self.hang_up()
        await self.push("220 mx.example.org")

    def hang_up(self) -> None:
        """End the milter connection; the next command opens another."""
        if self.milter is not None:
            self.milter.close()
            self.milter = None

    def connection_lost(self, error: Exception | None) -> None:
        """Hang up to the milter as well."""
        self.hang_up()
        super().connection_lost(error)

    async def ask(self, letter: Command, command: bytes, values: Mapping[bytes, bytes] = {}) -> list[Response]:
        """Tell the milter something, connecting first where need be; a milter that fails is a temporary failure."""
        try:
            if self.milter is None:
                self.milter = await MilterClient.open(self.milter_path)
                await self._introduce(self.milter)
            return await self.milter.tell(letter, command, values)
        except (OSError, RemoteError, TimeoutError):
            self.hang_up()
            return [ReplyCode(_TEMPFAIL)]

    async def _introduce(self, milter: MilterClient) -> None:
        address = parse_address_text(self.claimed["ADDR"]) or VISITOR
        name = self.claimed.get("NAME", f"[{address}]").encode()
        client = Connect(name, "6" if ":" in address else "4", 25, address.encode())
        await milter.tell(Command.CONNECT, connect(client), {b"client_addr": address.encode()})


class _Handler:
    """aiosmtpd's hooks, one for each SMTP command."""

    def __init__(self, maildirs: Path) -> None:
        self._maildirs = maildirs

    async def handle_EHLO(  # noqa: N802
        self, server: Receiver, session: Session, _envelope: Envelope, name: str, responses: list[str]
    ) -> list[str]:
        session.host_name = name
        await server.ask(Command.HELO, helo(name.encode()))
        return responses

    async def handle_HELO(self, server: Receiver, session: Session, _envelope: Envelope, name: str) -> str:  # noqa: N802
        session.host_name = name
        await server.ask(Command.HELO, helo(name.encode()))
        return "250 mx.example.org"

    async def handle_MAIL(  # noqa: N802
        self, server: Receiver, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        login = server.claimed.get("LOGIN", "")
        values = {b"auth_authen": login.encode()} if login else {}
        command = mail(f"<{address}>".encode(), (option.encode() for option in options))
        refused = _refusal(await server.ask(Command.MAIL, command, values))
        if not refused:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return refused or "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self, server: Receiver, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        refused = _refusal(await server.ask(Command.RCPT, rcpt(f"<{address}>".encode())))
        if not refused:
            envelope.rcpt_tos.append(address)
        return refused or "250 2.1.5 Ok"

    async def handle_DATA(self, server: Receiver, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        fields, offset = split_header(content)
        edits, refused = await _message(server, fields, content[offset:])
        if refused:
            return refused
        received = (b"Received", f" from {session.host_name} by mx.example.org (demonstration)".encode())
        header = edited([received, *fields], [edit for edit in edits if isinstance(edit, HeaderEdit)])
        raw = b"".join(b"%b:%b\n" % (name, value) for name, value in header) + b"\n"
        raw += content[offset:].replace(b"\r\n", b"\n")
        for recipient in envelope.rcpt_tos:
            await asyncio.to_thread(deliver, self._maildirs, recipient, raw, header)
        return "250 2.0.0 Ok"

    async def handle_RSET(self, server: Receiver, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        if server.milter is not None:
            await server.ask(Command.ABORT, packet(Command.ABORT))
        return "250 2.0.0 Ok"


async def _message(server: Receiver, fields: list[tuple[bytes, bytes]], content: bytes) -> tuple[list[Any], str]:
    await server.ask(Command.DATA, packet(Command.DATA), {b"i": b"DEMO"})
    for name, value in fields:
        if server.milter is not None:
            await server.ask(Command.HEADER, server.milter.side.header(name, value))
    await server.ask(Command.EOH, packet(Command.EOH))
    for start in range(0, len(content), _CHUNK):
        await server.ask(Command.BODY, body(content[start : start + _CHUNK]))
    responses = await server.ask(Command.EOM, packet(Command.EOM), {b"i": b"DEMO"})
    return responses[:-1], _refusal(responses)


def _refusal(responses: list[Response]) -> str:
    """Return the reply by which the client is refused; "" where it is not."""
    match responses[-1:]:
        case [ReplyCode(text)]:
            return text
        case [Answer("reject")]:
            return "550 5.7.1 Command rejected"
        case [Answer("tempfail")]:
            return _TEMPFAIL
    return ""


def deliver(maildirs: Path, recipient: str, raw: bytes, header: list[tuple[bytes, bytes]]) -> None:
    """Put a message into the recipient's INBOX or, as the shipped Sieve script does, marked mail into Junk."""
    name = "".join(character if character.isalnum() or character in "@.-+" else "_" for character in recipient)
    folder: mailbox.Maildir = mailbox.Maildir(maildirs / name.strip("."))
    marked = any(key.lower() == b"x-spam-flag" and b"yes" in value.lower() for key, value in header)
    if marked:
        folder = folder.add_folder("Junk") if "Junk" not in folder.list_folders() else folder.get_folder("Junk")
    folder.add(raw)
