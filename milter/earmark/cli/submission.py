"""Handing one message to our own MTA by SMTP (RFC 5321), so that it is known afterwards who has it."""

import smtplib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO

from earmark.core.text import decoded, printable

_PATIENCE = 300.0
"""Seconds that a reply may take (RFC 5321 section 4.5.3.2)."""
_PATIENCE_AT_END = 600.0
"""Those for the reply to the message."""
_AT_ONCE = 64 * 1024


class NotTakenError(Exception):
    """The MTA has not taken the message; the text says why, printable."""


class MaybeTakenError(Exception):
    """The message went out whole, and no reply came that says whether the MTA has taken it."""


def submit(host: str, port: int, sender: str, recipient: str, message: Iterable[bytes]) -> str:
    """Hand over a message in lines that end in CRLF; return the MTA's words.

    `sender` is "" for the null sender. Raises NotTakenError, after which it is not delivered, and MaybeTakenError.
    """
    smtp = smtplib.SMTP(timeout=_PATIENCE)
    try:
        _begin(smtp, host, port, sender, recipient)
        _send(smtp, message)
        return _end(smtp)
    except (OSError, smtplib.SMTPException, ValueError) as error:  # SMTPException is an OSError, but need not stay one
        reason = getattr(error, "strerror", None)
        raise NotTakenError(printable(f"{host} port {port}: {reason}" if reason else str(error))) from error
    finally:
        smtp.close()


def _begin(smtp: smtplib.SMTP, host: str, port: int, sender: str, recipient: str) -> None:
    """Say all that comes before the message."""
    _expect(220, smtp.connect(host, port))
    smtp.ehlo_or_helo_if_needed()
    parameters = " BODY=8BITMIME" if smtp.has_extn("8bitmime") else ""
    if not (sender + recipient).isascii():
        if not smtp.has_extn("smtputf8"):
            raise NotTakenError("the MTA takes no international addresses (SMTPUTF8)")
        smtp.command_encoding = "utf-8"
        parameters += " SMTPUTF8"
    _expect(250, smtp.docmd("MAIL", f"FROM:<{sender}>{parameters}"))
    _expect(250, smtp.docmd("RCPT", f"TO:<{recipient}>"))
    _expect(354, smtp.docmd("DATA"))


def _expect(code: int, reply: tuple[int, bytes]) -> None:
    """Raise NotTakenError for a reply of another class than this code's."""
    if reply[0] // 100 != code // 100:
        raise NotTakenError(_words(reply))


def _words(reply: tuple[int, bytes]) -> str:
    return f"{reply[0]} {printable(decoded(b' '.join(reply[1].split())))}"


def _send(smtp: smtplib.SMTP, message: Iterable[bytes]) -> None:
    """Send all but the final dot: without it the MTA must not deliver."""
    waiting: list[bytes] = []
    size = 0
    for line in message:
        waiting.append(b"." + line if line.startswith(b".") else line)
        size += len(line)
        if size > _AT_ONCE:
            smtp.send(b"".join(waiting))
            waiting, size = [], 0
    smtp.send(b"".join(waiting))


def _end(smtp: smtplib.SMTP) -> str:
    try:
        if smtp.sock:
            smtp.sock.settimeout(_PATIENCE_AT_END)
        smtp.send(b".\r\n")
        reply = smtp.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise MaybeTakenError(printable(str(error))) from error
    if reply[0] // 100 not in (2, 4, 5):
        raise MaybeTakenError("the MTA answered with something that is no reply to a message")
    _expect(250, reply)
    with suppress(OSError, smtplib.SMTPException):
        smtp.quit()
    return _words(reply)


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file in lines that end in CRLF, as a message has to be sent (RFC 5321 section 2.3.8)."""
    for line in file:
        yield line if line.endswith(b"\r\n") else line.removesuffix(b"\n") + b"\r\n"
