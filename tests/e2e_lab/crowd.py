"""Many SMTP senders at once, each with a session of its own, each retrying as an MTA does."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from e2e_lab.processes import wait_until
from e2e_lab.smtp import Client, Peer, Sent, send_until_settled, unanswered

PACE = 1.5
"""Seconds between two messages of one sender."""
OPEN_WITHIN = 60.0


@dataclass(frozen=True)
class Traffic:
    """What one sender sends, over and over."""

    peer: Peer
    message: bytes
    due: dict[str, str]
    """What each recipient's mail should come to: "INBOX", "Junk" or "refused"."""


@dataclass
class Sender:
    """One client: keeps its session open from message to message, and opens another where that one has failed it."""

    port: int
    number: int
    traffic: Traffic
    attempts: list[Sent] = field(default_factory=list)
    put_off: bool = False
    """Some attempt was."""
    _client: Client | None = None

    def keep_sending(self, all_open: threading.Barrier, enough: threading.Event) -> list[Sent]:
        """Send one message after the other, each until it is settled, until there has been `enough`."""
        count = 0
        self._client = self._connected()
        all_open.wait(OPEN_WITHIN)
        while count == 0 or not enough.wait(PACE):
            count += 1
            address = f"{count}.{self.number}@sender.test"
            self.attempts += send_until_settled(partial(self._attempt, address), list(self.traffic.due))
        self._hang_up()
        return self.attempts

    def _attempt(self, address: str, recipients: list[str]) -> Sent:
        """Try once. A session in which anything was put off is given up: Postfix puts off all that follows in it."""
        sent = unanswered(self.traffic.peer, address, recipients, self.traffic.message)
        client, self._client = self._client or self._connected(), None
        try:
            client.transact(sent)
        except OSError:
            client.close()
            raise
        self._client = client
        if sent.put_off:
            self.put_off = True
            self._hang_up()
        return sent

    def _connected(self) -> Client:
        client = Client(self.port)
        client.introduce(self.traffic.peer)
        return client

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class Crowd:
    """All senders, from the moment when their sessions are open at once."""

    def __init__(self, senders: Sequence[Sender], pool: ThreadPoolExecutor) -> None:
        all_open = threading.Barrier(len(senders) + 1)
        self._senders = senders
        self.enough = threading.Event()
        self._running = [pool.submit(sender.keep_sending, all_open, self.enough) for sender in senders]
        all_open.wait(OPEN_WITHIN)

    def wait_until_put_off(self) -> None:
        """Return when each sender has been told to come back later at least once."""
        wait_until(lambda: all(sender.put_off for sender in self._senders), "everybody has been put off")

    def finish(self) -> list[Sent]:
        """Say that it is enough; return every attempt that was made."""
        self.enough.set()
        return [attempt for running in self._running for attempt in running.result()]


@contextmanager
def crowd(port: int, traffic: Sequence[Traffic]) -> Iterator[Crowd]:
    """Start one sender for each; they keep sending until the block ends, or until `finish`."""
    senders = [Sender(port, number, each) for number, each in enumerate(traffic)]
    with ThreadPoolExecutor(len(senders)) as pool:
        together = Crowd(senders, pool)
        try:
            yield together
        finally:
            together.enough.set()
