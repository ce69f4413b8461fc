"""A zone file that answers a turn of the loop later, as a resolver does, and remembers what it was asked."""

import asyncio

from earmark.clients.dns import Done
from earmark.clients.offline import ZoneFile
from earmark.core.evidence import Fact


class CountedLookups:
    def __init__(self, text: str) -> None:
        self._zone = ZoneFile.parse(text)
        self.asked: list[tuple[str, str]] = []

    def lookup(self, name: str, rtype: str, done: Done, *, give_up: float = 5.0) -> None:
        self.asked.append((name, rtype))
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: self._zone.lookup(name, rtype, done, give_up=give_up))

    def lookup_question(self, asked: bytes, done: Done, *, give_up: float = 5.0) -> None:
        asyncio.get_running_loop().call_soon(lambda: self._zone.lookup_question(asked, done, give_up=give_up))

    async def get(self, name: str, rtype: str, *, give_up: float = 5.0) -> Fact:
        future: asyncio.Future[Fact] = asyncio.get_running_loop().create_future()
        self.lookup(name, rtype, future.set_result, give_up=give_up)
        return await future
