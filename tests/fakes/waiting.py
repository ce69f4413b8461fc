"""Waiting for a condition, with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            now = condition()
            if now is True or (not isinstance(now, bool) and await now):
                return
            await asyncio.sleep(0.01)
