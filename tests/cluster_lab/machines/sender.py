"""Runs in a machine of the lab: sends numbered messages, one after the other, until the server does not answer.

    sender.py SERVER RECIPIENT

Writes the number of each message that was answered 250 after its last line.
"""

import smtplib
import socket
import sys
from itertools import count

_ANSWER_WITHIN = 600
_GONE_AFTER = 10
"""Seconds without a sign of the server's kernel, which answers though its programs be slow."""
_MESSAGE = "From: someone@example.net\r\nTo: {}\r\nSubject: message {}\r\n\r\nThis is message {}.\r\n"


def main(server: str, recipient: str) -> None:
    try:
        with smtplib.SMTP(server, local_hostname="sender.example.net", timeout=_ANSWER_WITHIN) as session:
            assert session.sock
            _notice(session.sock)
            for number in count(1):
                text = _MESSAGE.format(recipient, number, number)
                session.sendmail("someone@example.net", recipient, text)
                sys.stdout.write(f"{number}\n")
    except OSError as error:  # smtplib's exceptions are among them
        sys.stderr.write(f"ended: {error}\n")


def _notice(connection: socket.socket) -> None:
    """Have a connection end when the other machine is no more (tcp(7))."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_AFTER * 1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
