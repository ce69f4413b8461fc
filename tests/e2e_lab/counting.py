"""One of several processes that use the same store at once: run as a program by tests of stores.

    PYTHONPATH=tests python -m e2e_lab.counting DIRECTORY URL TIMES AT

Says that it is ready, and begins when it is sent a line. Tells how many tokens it got of BUCKET, of so many that it
asked for; each time it notes an attempt of TRIPLET too, the first at that time.
"""

import asyncio
import sys
from pathlib import Path

from earmark.core.effects import Attempt
from earmark.core.evidence import Greylisting, Status, Taking
from fakes.states import observed

TRIPLET = Greylisting("192.0.2.0/24", "example.net", "example.org")
BUCKET = Taking("sender", "example.net", "1000/36000")


async def count(directory: Path, url: str, times: int, at: float) -> int:
    """Take and note; return the number of tokens."""
    got = 0
    async with observed(directory, url) as store:
        for number in range(times):
            store.state.do(Attempt(TRIPLET, at + number, id=f"ID{times}"))
            fact = await store.ask(BUCKET)
            assert fact.source != "memory", store.log()
            got += fact.status is Status.PASS
    return got


if __name__ == "__main__":
    print("ready", flush=True)  # noqa: T201 - to who started us
    sys.stdin.readline()
    print(asyncio.run(count(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))))  # noqa: T201 - its result
