"""Many SMTP sessions at once, each of which retries as an MTA does."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from e2e_lab.smtp import SENDER, Client, Peer, Sent, send_until_settled, unanswered


class Job(NamedTuple):
    """One message that somebody wants delivered."""

    peer: Peer
    recipients: tuple[str, ...]
    message: bytes
    sender: str = SENDER


@contextmanager
def crowd(port: int, jobs: Sequence[Job]) -> Iterator[Callable[[], list[Sent]]]:
    """Begin all jobs, each in a session of its own, all open at once; enter the block when they are.

    What is yielded waits for the last one, and returns every attempt that was made.
    """
    all_open = threading.Barrier(len(jobs) + 1)
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(_deliver, port, job, all_open) for job in jobs]
        all_open.wait(60)
        yield lambda: _attempts(running)


def _attempts(running: Sequence[Future[list[Sent]]]) -> list[Sent]:
    return [attempt for future in running for attempt in future.result()]


def _deliver(port: int, job: Job, all_open: threading.Barrier) -> list[Sent]:
    """Deliver one job. The first attempt waits, greeted, until all the others have been greeted too."""
    first = True

    def attempt(recipients: list[str]) -> Sent:
        nonlocal first
        sent = unanswered(job.peer, job.sender, recipients, job.message)
        with Client(port) as client:
            greeted = client.introduce(job.peer)
            if first:
                first = False
                all_open.wait(60)
            client.transact_after(greeted, sent)
        return sent

    return send_until_settled(attempt, job.recipients)
