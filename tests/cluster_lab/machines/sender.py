"""Runs in a machine of the lab: sends numbered messages, one after the other, until the server does not answer.

    sender.py SERVER RECIPIENT

Writes the number of each message that was answered 250 after its last line.
"""

import smtplib
import sys
from itertools import count

_ANSWER_WITHIN = 10
_MESSAGE = "From: someone@example.net\r\nTo: {}\r\nSubject: message {}\r\n\r\nThis is message {}.\r\n"


def main(server: str, recipient: str) -> None:
    try:
        with smtplib.SMTP(server, local_hostname="sender.example.net", timeout=_ANSWER_WITHIN) as session:
            for number in count(1):
                text = _MESSAGE.format(recipient, number, number)
                session.sendmail("someone@example.net", recipient, text)
                sys.stdout.write(f"{number}\n")
    except OSError as error:  # smtplib's exceptions are among them
        sys.stderr.write(f"ended: {error}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
