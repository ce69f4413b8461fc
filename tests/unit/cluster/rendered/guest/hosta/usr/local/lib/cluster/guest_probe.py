"""Does the SMTP server at this address answer? For the hosts of a cluster; the standard library alone.

Exit status 0 and one line if it does, 1 and one line with the reason if it does not, 2 for wrong use.

An SMTP server that answers is one that sends a reply to the connection (RFC 5321 section 4.2), whatever its code: 220
from one that works, 421 from one that has too much to do, 554 from one that its administrator has closed. All of them
are alive, and would be no better elsewhere. A dead one is silent: there is one deadline for all that is said, so that a
server that sends a byte now and then is not waited for.
"""

# ruff: noqa: INP001, T201 - a program by itself, whose output Pacemaker logs

import argparse
import contextlib
import re
import socket
import sys
import time

REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])([ -]?)([^\r\n]*)\r?\n")
LARGEST = 4096
"""Bytes of a reply, of all its lines."""


class NoAnswerError(Exception):
    """The server does not answer as SMTP servers do; the text says how."""


class Conversation:
    """One SMTP connection, with a deadline (by time.monotonic) for all that is said."""

    def __init__(self, address: str, port: int, deadline: float) -> None:
        self.deadline = deadline
        self.socket = socket.create_connection((address, port), self._left())
        self.unread = b""

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise NoAnswerError("no whole reply in time")
        return left

    def reply(self) -> tuple[int, str]:
        """Return the code and the last line's text of the next reply."""
        taken = 0
        while True:
            line = self._line(LARGEST - taken)
            taken += len(line)
            match = REPLY_LINE.fullmatch(line)
            if match is None:
                raise NoAnswerError(f"not a reply of SMTP: {line[:60]!r}")
            if match[2] != b"-":
                return int(match[1]), printable(match[3])

    def _line(self, most: int) -> bytes:
        while b"\n" not in self.unread:
            if len(self.unread) > most:
                raise NoAnswerError("a reply without end")
            self.socket.settimeout(self._left())
            received = self.socket.recv(1024)
            if not received:
                raise NoAnswerError("connection closed without a reply")
            self.unread += received
        line, _, self.unread = self.unread.partition(b"\n")
        return line + b"\n"

    def say(self, command: str) -> tuple[int, str]:
        """Send a command and return the reply to it."""
        self.socket.settimeout(self._left())
        self.socket.sendall(command.encode("ascii") + b"\r\n")
        return self.reply()

    def leave(self) -> None:
        """Say goodbye, so that the server's log holds no lost connection; what comes back changes nothing."""
        with contextlib.suppress(OSError):
            self.socket.sendall(b"QUIT\r\n")
        self.socket.close()


def printable(text: bytes) -> str:
    """Return what a stranger sent as it may stand in a log: in ASCII, without control characters, cut to 200."""
    return "".join(character if " " <= character <= "~" else "?" for character in text[:200].decode("latin-1"))


def takes_mail(smtp: Conversation) -> None:
    """Raise NoAnswerError if the server says that its filter is out of order.

    A Postfix without its milter says so at MAIL, an Exim without its policy door at RCPT, both in the same words.
    Nothing else counts: a recipient that is put off, a full disk or a limit are answers of a server that works.
    """
    for command in ("EHLO probe.invalid", "MAIL FROM:<>", "RCPT TO:<postmaster>"):
        code, text = smtp.say(command)
        if code >= 400 and "service unavailable" in text.lower():
            raise NoAnswerError(f"filter out of order: {command} was answered {code} {text}")
        if code >= 400:
            return


def main() -> int:
    """Look once."""
    parser = argparse.ArgumentParser(description="Says whether an SMTP server answers.")
    parser.add_argument("address")
    parser.add_argument("--port", type=int, default=25)
    parser.add_argument("--within", type=float, default=25.0, metavar="SECONDS", help="for all of it")
    parser.add_argument("--takes-mail", action="store_true", help="a filter that is out of order counts as no answer")
    asked = parser.parse_args()
    try:
        smtp = Conversation(asked.address, asked.port, time.monotonic() + asked.within)
        code, text = smtp.reply()
        if asked.takes_mail and code == 220:
            takes_mail(smtp)
        smtp.leave()
    except (OSError, NoAnswerError) as error:
        print(f"{asked.address}: {error}")
        return 1
    print(f"{asked.address}: {code} {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
