"""A mail server with mail for the cluster: it sends numbered messages, and comes back with what was not taken.

    sender.py SOURCE SERVER RECIPIENT LOG FIRST STREAMS PAUSE DAWDLE

Messages are numbered from FIRST on, and sent PAUSE seconds apart in each of the STREAMS; within a transaction DAWDLE
seconds pass before the message itself.
Each try is a line of JSON (tries.py). SIGTERM: no new messages; it ends once none is left that it must come back with.
"""

import json
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from e2e_lab.smtp import Client, stuffed

PORT = 25
CONNECT_WITHIN = 0.5
REPLY_WITHIN = 3.0
"""Short, for a server: RFC 5321 section 4.5.3.2 waits for minutes. What it gives up on it sends again."""
RETRY_AFTER = 0.1
MESSAGE = b"""From: someone@sender.test
To: %b
Subject: message %d
Message-ID: <%d@sender.test>
Date: Sun, 22 Nov 2026 12:00:00 +0000

This is message %d.
"""


class Queue(NamedTuple):
    """What is sent, whence and where to."""

    source: str
    server: str
    recipient: str
    dawdle: float

    def message(self, number: int) -> bytes:
        return stuffed(MESSAGE % (self.recipient.encode(), number, number, number))


def attempt(queue: Queue, number: int) -> dict[str, object]:
    """Try once to hand a message over; return what to write down."""
    said: dict[str, object] = {
        "at": time.time(),
        "number": number,
        "host": "",
        "stage": "connect",
        "code": 0,
        "text": "",
    }
    try:
        with socket.create_connection((queue.server, PORT), CONNECT_WITHIN, (queue.source, 0)) as connection:
            connection.settimeout(REPLY_WITHIN)
            _converse(queue, number, connection, said)
    except OSError as error:
        said |= {"code": 0, "text": type(error).__name__}
    said["until"] = time.time()
    return said


def _converse(queue: Queue, number: int, connection: socket.socket, said: dict[str, object]) -> None:
    said["stage"] = "greeting"
    client = Client(connection)
    said["host"] = client.greeting.text.partition(".")[0]
    said |= {"code": client.greeting.code, "text": client.greeting.text}
    steps = (
        ("EHLO", b"EHLO sender.test\r\n", 250),
        ("MAIL", b"MAIL FROM:<someone@sender.test>\r\n", 250),
        ("RCPT", f"RCPT TO:<{queue.recipient}>\r\n".encode(), 250),
        ("DATA", b"DATA\r\n", 354),
        ("message", queue.message(number), 250),
    )
    for stage, words, wanted in steps if client.greeting.code == 220 else ():
        said["stage"] = stage
        time.sleep(queue.dawdle if stage == "message" else 0)
        client.send(words)
        reply = client.reply()
        said |= {"code": reply.code, "text": reply.text}
        if reply.code != wanted:
            break
    with suppress(OSError):
        client.command("QUIT")


def settled(queue: Queue, number: int, log: Path) -> bool:
    """Try once, and write it down; return whether the message need not be tried again."""
    said = attempt(queue, number)
    with log.open("a") as lines:
        lines.write(json.dumps(said) + "\n")
    code = said["code"]
    return isinstance(code, int) and (code >= 500 or (said["stage"] == "message" and code == 250))


def main(queue: Queue, log: Path, first: int, streams: int, pause: float) -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())

    def stream(number: int) -> None:
        """Send every STREAMSth message, one after the other."""
        while not ended.wait(pause):
            while not settled(queue, number, log):
                time.sleep(RETRY_AFTER)
            number += streams

    threads = [threading.Thread(target=stream, args=(first + number,)) for number in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    source, server, recipient, log, first, streams, pause, dawdle = sys.argv[1:]
    main(Queue(source, server, recipient, float(dawdle)), Path(log), int(first), int(streams), float(pause))
