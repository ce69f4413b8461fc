"""The libmilter engine with an idle limit of a second, in a process of its own: the limit is libmilter's, for good.

    python libmilter_impatient.py SOCKET

It says "listening" on standard output and ends when standard input does.
"""

import asyncio
import os
import socket
import sys

from earmark.core.policy import PolicySet
from earmark.engine import Engine
from earmark.fronts.libmilter import LibmilterFront
from fakes.milter_front import GENERATION, OWN_SITE, EventList, lists_only
from fakes.world import FakeWorld


async def main(path: str) -> None:
    """Serve until standard input ends."""
    engine = Engine(PolicySet(lists_only(), {}, OWN_SITE), FakeWorld(), GENERATION, lambda _judged: None)
    front = LibmilterFront(engine, EventList(), lambda: None, idle=1.0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        listener.setblocking(False)
        front.listen(listener)
    os.write(1, b"listening\n")
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
    os._exit(0)  # as a worker ends: libmilter's threads are not waited for
