"""The state of greylisting and rates in Redis or Valkey, shared by the workers of all nodes (docs/store.md).

Each operation is one script, so it is whole and counts once. It has 50 ms, connecting included. The first that fails
declares the store gone: from then on every answer is "unknown" at once, and a probe in the background finds out when
the store can be written again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from earmark.core.effects import Attempt, Effect
from earmark.core.evidence import Fact, Greylisting, Question, Status, Taking
from earmark.core.text import printable
from earmark.stores.buckets import answer, read_limit
from earmark.stores.redis_scripts import (
    ATTEMPT,
    KNOWN,
    PASSED,
    PREFIX,
    TAKE,
    key_of,
    question_of,
    read_triplet,
)
from earmark.stores.triplets import Triplet

BUDGET = 0.05
"""Seconds for one operation."""
_CONNECT = 1.0
"""Seconds that the probe may take to find and reach the master."""
_SENTINEL = 0.3
"""Seconds that one sentinel may take; then the next is asked."""
_PAUSE = 0.5
"""Seconds between two probes."""
_AT_ONCE = 16
"""Operations under way at once; the others wait for their turn, within their own budget."""
_SCAN = 500
_SENTINELS = "redis+sentinel"
_SOURCE = "redis"

T = TypeVar("T")


class RedisState:
    """Greylisting and rates in Redis. To be made inside the event loop that it serves.

    What losing it costs: waiting senders wait once more, those that passed wait again, and each bucket is full. So no
    persistence is needed there.
    """

    def __init__(self, url: str, password: str, changed: Callable[[str], None]) -> None:
        """Tell `changed` once why the store is gone, and "" when it is back. `url` is as in server.toml."""
        self._sentinel, self._redis = connect(url, password)
        self._changed = changed
        self._take = self._redis.register_script(TAKE)
        self._known = self._redis.register_script(KNOWN)
        self._attempt = self._redis.register_script(ATTEMPT)
        self._passed = self._redis.register_script(PASSED)
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._under_way = set[asyncio.Task[None]]()
        self._probing: asyncio.Task[None] | None = None
        self._why = ""
        self.lost = 0
        """Effects that were not written."""

    def ask(self, question: Greylisting | Taking, deliver: Callable[[Question, Fact], None]) -> None:
        """Begin to answer; see `core.evidence`."""
        if self._why:
            deliver(question, self._unknown())
        else:
            self._begin(self._answer(question, deliver))

    def do(self, effect: Effect) -> None:
        """Begin to write an effect."""
        if self._why:
            self.lost += 1
        else:
            self._begin(self._write(effect))

    async def close(self) -> None:
        """Finish what is under way, which takes 50 ms at most, and close all connections."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])
        await _close(self._sentinel, self._redis)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _answer(self, question: Greylisting | Taking, deliver: Callable[[Question, Fact], None]) -> None:
        look_up = self._count(question) if isinstance(question, Taking) else self._recall(question)
        deliver(question, await self._within_budget(look_up) or self._unknown())

    async def _count(self, taking: Taking) -> Fact:
        taken, full_at, now = await self._take(keys=[key_of(taking)], args=[*read_limit(taking.limit)])
        return answer(taking.limit, taken=bool(taken), full_at=float(full_at), now=float(now), source=_SOURCE)

    async def _recall(self, question: Greylisting) -> Fact:
        key, now = key_of(question), time.time()
        values = await self._known(keys=[key])
        known = read_triplet(question, values, now)
        if values and known is None:
            await self._redis.delete(key)  # not ours, or damaged: it would stand in the way of what is written next
        return known.fact(now, _SOURCE) if known else Fact(Status.NONE, at=now, source=_SOURCE)

    async def _write(self, effect: Effect) -> None:
        script = self._attempt if isinstance(effect, Attempt) else self._passed
        args: list[str | int] = [repr(effect.at), effect.keep * 1000, effect.id if isinstance(effect, Attempt) else ""]
        if await self._within_budget(script(keys=[key_of(effect.triplet)], args=args)) is None:
            self.lost += 1

    async def _within_budget(self, work: Awaitable[T]) -> T | None:
        """Return what `work` returns; None where it fails or takes too long, and then the store is gone."""
        try:
            async with asyncio.timeout(BUDGET), self._turn:
                return await work
        except TimeoutError:
            self._lose(f"no answer within {BUDGET * 1000:.0f} ms")
        except Exception as error:  # noqa: BLE001 - whatever the library makes of a broken server is the world's fault
            self._lose(_reason(error))
        return None

    def _unknown(self) -> Fact:
        return Fact(Status.TEMPERROR, at=time.time(), source=_SOURCE, why=f"state unavailable: {self._why}")

    def _lose(self, why: str) -> None:
        if self._why:
            return
        self._why = why
        self._changed(why)
        self._probing = asyncio.get_running_loop().create_task(self._probe())

    async def _probe(self) -> None:
        """Try until the store can be written, each time over a new connection: the master may be another one now."""
        while True:
            try:
                await self._redis.connection_pool.disconnect()
                async with asyncio.timeout(_CONNECT):
                    await self._redis.ping()
                async with asyncio.timeout(BUDGET):
                    await self._redis.set(PREFIX + "probe", "1", ex=60)
            except Exception as error:  # noqa: BLE001 - as above
                self._why = _reason(error)
            else:
                self._why = ""
                self._changed("")
                return
            await asyncio.sleep(_PAUSE)


def connect(url: str, password: str) -> tuple[Sentinel | None, Redis]:
    """Return a client that has not connected yet, and who finds its master where there are sentinels.

    It never tries twice by itself, and speaks RESP2, which old servers know too.
    """
    parts = urlsplit(url)
    settings: dict[str, Any] = {
        "protocol": 2,
        "driver_info": None,
        "socket_connect_timeout": _CONNECT,
        "socket_timeout": _CONNECT,
        "retry": Retry(NoBackoff(), 0),
    }
    own = {**settings, "password": password or None}
    if parts.scheme == _SENTINELS:
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.split(",")]
        patience = {**settings, "socket_connect_timeout": _SENTINEL, "socket_timeout": _SENTINEL}
        known = [(host.hostname, host.port) for host in hosts]
        sentinel = Sentinel(known, sentinel_kwargs=patience, **own)  # type: ignore[no-untyped-call]  # redis-py has none
        return sentinel, sentinel.master_for(parts.path.strip("/"))
    if parts.scheme == "unix":
        return None, Redis(unix_socket_path=parts.path, **own)
    return None, Redis(host=parts.hostname or "", port=parts.port or 6379, db=int(parts.path.strip("/") or 0), **own)


async def _close(sentinel: Sentinel | None, redis: Redis) -> None:
    await redis.aclose()
    await redis.connection_pool.disconnect()
    for each in sentinel.sentinels if sentinel else ():
        await each.aclose()


def _reason(error: Exception) -> str:
    return printable(str(error) or type(error).__name__, 120)


async def triplets(url: str, password: str) -> list[Triplet]:
    """Return all triplets that are remembered. Raises OSError."""
    sentinel, redis = connect(url, password)
    found = []
    try:
        known = redis.register_script(KNOWN)
        async for key in redis.scan_iter(match=f"{PREFIX}greylist *", count=_SCAN):
            question = question_of(key.decode("utf-8", "replace"))
            triplet = question and read_triplet(question, await known(keys=[key]), time.time())
            if triplet:
                found.append(triplet)
    except Exception as error:  # as above
        raise OSError(f"{url}: {_reason(error)}") from error
    finally:
        await _close(sentinel, redis)
    return found


async def forget(url: str, password: str, several: Sequence[Triplet]) -> None:
    """Forget these triplets. Raises OSError."""
    sentinel, redis = connect(url, password)
    try:
        for triplet in several:
            await redis.delete(key_of(triplet.question))
    except Exception as error:  # as above
        raise OSError(f"{url}: {_reason(error)}") from error
    finally:
        await _close(sentinel, redis)
