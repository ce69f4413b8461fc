"""The state of greylisting and rates in Redis or Valkey, shared by the workers of all nodes (docs/store.md).

Each operation is one script, so it is whole and counts once. It has 50 ms from asking on, connecting included. The
first that fails declares the store gone: from then on every answer is "unknown" at once, and a probe in the background
finds out when the store can be written again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
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
    FORGET,
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
_TOGETHER = 200
"""Operations in one pipeline at most."""
_SCAN = 500
_SENTINELS = "redis+sentinel"
_SOURCE = "redis"


class _Asked(NamedTuple):
    """A script that is to be run, and what becomes of its reply."""

    script: str
    key: str
    args: tuple[str | int, ...]
    since: float
    """The loop's time when it was asked for."""
    settle: Callable[[Any], None]
    """Takes the reply; None where there is none."""


class RedisState:
    """Greylisting and rates in Redis. To be made inside the event loop that it serves.

    What is asked while an answer is under way goes together in the next pipeline: one connection carries all.

    What losing it costs: waiting senders wait once more, those that passed wait again, and each bucket is full. So no
    persistence is needed there.
    """

    def __init__(self, url: str, password: str, changed: Callable[[str], None]) -> None:
        """Tell `changed` once why the store is gone, and "" when it is back. `url` is as in server.toml."""
        self._sentinel, self._redis = connect(url, password)
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Asked] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._why = ""
        self.lost = 0
        """Effects that were not written."""

    def ask(self, question: Greylisting | Taking, deliver: Callable[[Question, Fact], None]) -> None:
        """Begin to answer; see `core.evidence`."""
        script, args = (TAKE, read_limit(question.limit)) if isinstance(question, Taking) else (KNOWN, ())
        self._run(script, key_of(question), args, lambda reply: deliver(question, self._fact(question, reply)))

    def do(self, effect: Effect) -> None:
        """Begin to write an effect."""
        attempted = isinstance(effect, Attempt)
        args = (repr(effect.at), effect.keep * 1000, effect.id if isinstance(effect, Attempt) else "")
        self._run(ATTEMPT if attempted else PASSED, key_of(effect.triplet), args, self._count_lost)

    async def close(self) -> None:
        """Finish what is under way, which takes 50 ms at most, and close all connections."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])
        await _close(self._sentinel, self._redis)

    def _run(self, script: str, key: str, args: tuple[str | int, ...], settle: Callable[[Any], None]) -> None:
        if self._why:
            settle(None)
            return
        self._waiting.append(_Asked(script, key, args, self._loop.time(), settle))
        if self._sending is None or self._sending.done():
            self._sending = self._loop.create_task(self._send())

    async def _send(self) -> None:
        while self._waiting:
            together = [self._waiting.popleft() for _ in range(min(len(self._waiting), _TOGETHER))]
            replies = await self._replies(together)
            for asked, reply in zip(together, replies, strict=True):
                self._loop.call_soon(asked.settle, reply)  # a fault of one asker is not the next one's

    async def _replies(self, together: list[_Asked]) -> list[Any]:
        """Return the replies in order, None for what failed; then the store is gone."""
        replies: list[Any] = [None] * len(together)
        if self._why:
            return replies
        pipeline = self._redis.pipeline(transaction=False)
        for asked in together:
            pipeline.eval(asked.script, 1, asked.key, *asked.args)
        try:
            async with asyncio.timeout_at(together[0].since + BUDGET):
                replies = await pipeline.execute(raise_on_error=False)
        except TimeoutError:
            self._lose(f"no answer within {BUDGET * 1000:.0f} ms")
        except Exception as error:  # noqa: BLE001 - whatever the library makes of a broken server is the world's fault
            self._lose(_reason(error))
        for refused in replies:
            if isinstance(refused, Exception):
                self._lose(_reason(refused))
        return [None if isinstance(reply, Exception) else reply for reply in replies]

    def _fact(self, question: Greylisting | Taking, reply: Any) -> Fact:  # noqa: ANN401 - whatever a server says
        if reply is not None:
            try:
                return self._taken(question, reply) if isinstance(question, Taking) else self._recalled(question, reply)
            except (TypeError, ValueError, OverflowError):
                self._lose("the server's answer is not ours to read")
        return Fact(Status.TEMPERROR, at=time.time(), source=_SOURCE, why=f"state unavailable: {self._why}")

    def _taken(self, taking: Taking, reply: Any) -> Fact:  # noqa: ANN401 - likewise
        taken, full_at, now = reply
        return answer(taking.limit, taken=bool(taken), full_at=float(full_at), now=float(now), source=_SOURCE)

    def _recalled(self, question: Greylisting, reply: Any) -> Fact:  # noqa: ANN401 - likewise
        now = time.time()
        known = read_triplet(question, reply, now)
        if reply and known is None:  # not ours, or damaged: it would stand in the way of what is written next
            self._run(FORGET, key_of(question), (), self._count_lost)
        return known.fact(now, _SOURCE) if known else Fact(Status.NONE, at=now, source=_SOURCE)

    def _count_lost(self, reply: Any) -> None:  # noqa: ANN401 - likewise
        self.lost += reply is None

    def _lose(self, why: str) -> None:
        if self._why:
            return
        self._why = why
        self._changed(why)
        self._probing = self._loop.create_task(self._probe())

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


async def time_ping(url: str, password: str) -> float:
    """Return how many seconds a PING takes over a connection that stands. Raises OSError."""
    sentinel, redis = connect(url, password)
    try:
        await redis.ping()
        began = time.monotonic()
        await redis.ping()
        return time.monotonic() - began
    except Exception as error:  # as above
        raise OSError(f"{url}: {_reason(error)}") from error
    finally:
        await _close(sentinel, redis)


async def triplets(url: str, password: str) -> list[Triplet]:
    """Return all triplets that are remembered. Raises OSError."""
    sentinel, redis = connect(url, password)
    found = []
    try:
        async for key in redis.scan_iter(match=f"{PREFIX}greylist *", count=_SCAN):
            question = question_of(key.decode("utf-8", "replace"))
            triplet = question and read_triplet(question, await redis.eval(KNOWN, 1, key), time.time())
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
