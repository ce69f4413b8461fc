"""Greylisting and rates in a real Redis that dies, hangs, refuses and fails over: no verdict waits for it."""

import asyncio
import os
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e_lab import redis as lab_redis
from e2e_lab.counting import BUCKET as SHARED_BUCKET
from e2e_lab.counting import TRIPLET as SHARED_TRIPLET
from e2e_lab.processes import free_port
from e2e_lab.redis import Redis, Watched
from earmark.config.files import copy_shipped
from earmark.core.effects import Attempt, Passed
from earmark.core.evidence import Status, question_text
from fakes.resp import LOADING, NOISE, resp_server
from fakes.states import BUCKET, TRIPLET, Observed, observed
from fakes.waiting import until

pytestmark = pytest.mark.skipif(bool(lab_redis.missing()), reason=lab_redis.missing() or "redis is here")

TESTS = Path(__file__).parents[1]
KEY = f"earmark:1:{question_text(TRIPLET)}"
AT = 1_700_000_000.0
FIRST_FAILURE = 0.05
"""Seconds that the one answer may take that finds the store gone."""


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.stop()


async def lost(store: Observed) -> str:
    """Have the store found gone; return why."""

    def is_lost() -> bool:
        store.state.do(Attempt(TRIPLET, AT))
        return "store_lost" in store.told()

    await until(is_lost)
    return str(store.events()[0]["why"])


async def assert_nothing_waits_for(store: Observed) -> None:
    """Greylisting is unknown and rates count in memory, both at once: nothing is waited for."""
    fact = store.ask_at_once(TRIPLET)
    assert fact is not None
    assert fact.status is Status.TEMPERROR
    assert fact.why.startswith("state unavailable: ")
    taken = [store.ask_at_once(BUCKET) for _ in range(3)]
    assert [one and one.source for one in taken] == ["memory"] * 3
    assert [one and one.status for one in taken] == [Status.PASS, Status.PASS, Status.FAIL]
    assert store.told() == ["store_lost"], "one line, however much is asked"


async def assert_back(store: Observed) -> None:
    """The store is found again without anybody asking, and works."""
    await until(lambda: store.told() == ["store_lost", "store_back"])
    assert (await store.ask(TRIPLET)).status is Status.NONE
    assert (await store.ask(BUCKET)).source == "redis"


async def test_what_is_noted_is_found_again_over_tcp_and_over_a_unix_socket(redis: Redis, tmp_path: Path) -> None:
    for url in (redis.url, redis.socket_url):
        async with observed(tmp_path, url) as store:
            assert (await store.ask(TRIPLET)).status is Status.NONE
            store.state.do(Attempt(TRIPLET, AT, id="ONE"))
        async with observed(tmp_path, url) as store:
            store.state.do(Attempt(TRIPLET, AT + 5, id="TWO"))
        async with observed(tmp_path, url) as store:
            assert (await store.ask(TRIPLET))[:2] == (Status.FAIL, (repr(AT), "ONE"))
            store.state.do(Passed(TRIPLET, AT + 300))
            store.state.do(Passed(TRIPLET, AT + 300))  # of another recipient of the same message
        async with observed(tmp_path, url) as store:
            assert (await store.ask(TRIPLET))[:2] == (Status.PASS, (repr(AT + 300), repr(AT + 300), "1"))
            assert not store.told()
        redis.do("FLUSHALL")


async def test_a_bucket_is_empty_after_its_tokens_and_expires_when_it_is_full(redis: Redis, tmp_path: Path) -> None:
    async with observed(tmp_path, redis.url) as store:
        facts = [await store.ask(BUCKET) for _ in range(4)]
    assert [fact.status for fact in facts] == [Status.PASS, Status.PASS, Status.FAIL, Status.FAIL]
    assert facts[1].data == ("0", "1800")
    left = int(redis.do("PTTL", f"earmark:1:{question_text(BUCKET)}").strip(b":\r\n"))
    assert 3_500_000 < left <= 3_601_000


async def test_what_is_remembered_expires(redis: Redis, tmp_path: Path) -> None:
    async with observed(tmp_path, redis.url) as store:
        store.state.do(Attempt(TRIPLET, AT, keep=1))
        await until(lambda: redis.do("EXISTS", KEY) == b":1\r\n")
        await until(lambda: redis.do("EXISTS", KEY) == b":0\r\n")
        assert (await store.ask(TRIPLET)).status is Status.NONE


async def test_a_redis_that_is_down_at_start_is_found_later(tmp_path: Path, redis: Redis) -> None:
    redis.kill()
    async with observed(tmp_path, redis.url) as store:
        await lost(store)
        await assert_nothing_waits_for(store)
        redis.start()
        await assert_back(store)


async def test_a_redis_that_dies_is_found_again(tmp_path: Path, redis: Redis) -> None:
    async with observed(tmp_path, redis.url) as store:
        assert (await store.ask(TRIPLET)).status is Status.NONE
        redis.kill()
        await lost(store)
        await assert_nothing_waits_for(store)
        redis.start()
        await assert_back(store)


async def test_a_redis_that_hangs_costs_one_wait_of_50_ms(tmp_path: Path, redis: Redis) -> None:
    async with observed(tmp_path, redis.url) as store:
        assert (await store.ask(TRIPLET)).status is Status.NONE
        redis.pause()
        fact = await store.ask(TRIPLET)
        assert fact.why == "state unavailable: no answer within 50 ms"
        await assert_nothing_waits_for(store)
        redis.resume()
        await assert_back(store)


async def test_a_redis_that_is_slow_for_a_second_is_left_alone_meanwhile(tmp_path: Path, redis: Redis) -> None:
    async with observed(tmp_path, redis.url) as store:
        assert (await store.ask(TRIPLET)).status is Status.NONE
        redis.do("CLIENT", "PAUSE", "1000", "ALL")
        assert (await store.ask(TRIPLET)).status is Status.TEMPERROR
        await assert_nothing_waits_for(store)
        await assert_back(store)


async def test_a_replica_that_takes_no_writes_is_no_store(tmp_path: Path, redis: Redis) -> None:
    async with observed(tmp_path, redis.url) as store:
        redis.do("REPLICAOF", "127.0.0.1", str(free_port()))
        assert "read only replica" in await lost(store)
        await assert_nothing_waits_for(store)
        redis.do("REPLICAOF", "NO", "ONE")
        await assert_back(store)


async def test_a_redis_without_memory_is_no_store(tmp_path: Path, redis: Redis) -> None:
    async with observed(tmp_path, redis.url) as store:
        redis.do("CONFIG", "SET", "maxmemory", "1")
        assert "maxmemory" in await lost(store)
        await assert_nothing_waits_for(store)
        redis.do("CONFIG", "SET", "maxmemory", "0")
        await assert_back(store)


async def test_a_redis_that_is_still_loading_is_no_store(tmp_path: Path) -> None:
    async with resp_server(LOADING) as url, observed(tmp_path, url) as store:
        assert "loading" in (await lost(store)).lower()
        await assert_nothing_waits_for(store)


async def test_a_server_that_is_no_redis_is_no_store(tmp_path: Path) -> None:
    async with resp_server(NOISE) as url, observed(tmp_path, url) as store:
        await lost(store)
        await assert_nothing_waits_for(store)


async def test_a_server_that_answers_nonsense_about_a_bucket_is_no_store(tmp_path: Path) -> None:
    async with resp_server(b"*3\r\n:1\r\n$3\r\ninf\r\n$1\r\n1\r\n") as url, observed(tmp_path, url) as store:
        assert (await store.ask(BUCKET)).source == "memory"
        assert store.told() == ["store_lost"]


@pytest.mark.parametrize("password", ["", "wrong-secret"])
async def test_a_wrong_password_is_said_and_never_shown(tmp_path: Path, password: str) -> None:
    server = Redis("requirepass right-secret")
    try:
        async with observed(tmp_path, server.url, password) as store:
            await lost(store)
            await assert_nothing_waits_for(store)
            assert "secret" not in store.log()
    finally:
        server.stop()


async def test_the_right_password_opens(tmp_path: Path) -> None:
    server = Redis("requirepass right-secret")
    try:
        async with observed(tmp_path, server.url, "right-secret") as store:
            assert (await store.ask(TRIPLET)).status is Status.NONE
            assert not store.told()
    finally:
        server.stop()


async def test_the_sentinel_leads_to_the_new_master(tmp_path: Path) -> None:
    watched = Watched()
    try:
        async with observed(tmp_path, watched.url) as store:
            store.state.do(Attempt(TRIPLET, AT))
            await until(lambda: watched.replica.do("EXISTS", KEY) == b":1\r\n")
            watched.master.kill()
            await lost(store)
            await assert_nothing_waits_for(store)
            await until(lambda: b"role:master" in watched.replica.do("INFO", "replication"), seconds=20)
            await until(lambda: store.told() == ["store_lost", "store_back"], seconds=5)
            assert (await store.ask(TRIPLET)).status is Status.FAIL, "what the old master knew is there"
            store.state.do(Passed(TRIPLET, AT + 300))
            await until(lambda: b"passed" in watched.replica.do("HKEYS", KEY))
    finally:
        watched.stop()


GARBAGE = [
    ("SET", KEY, "poison"),
    ("RPUSH", KEY, "poison"),
    ("HSET", KEY, "first", "poison", "passed", "0", "last", "0"),
    ("HSET", KEY, "first", "nan", "id", "A", "tries", "1", "passed", "nan", "last", "nan", "times", "1"),
    ("HSET", KEY, "first", "0x10", "id", "A", "tries", "x", "passed", "1e300", "last", "-5", "times", "1"),
    ("HSET", KEY, "first", "5", "id", "A", "tries", "1", "passed", "6", "last", "7", "times", "1"),  # never expires
    ("HSET", KEY, "something", "else"),
    ("SET", f"earmark:0:{question_text(TRIPLET)}", "another version"),
    ("SET", f"earmark:2:{question_text(TRIPLET)}", "another version"),
]


@pytest.mark.parametrize("poison", GARBAGE, ids=lambda words: " ".join(words[:1] + words[2:])[:40])
async def test_what_is_not_ours_is_ignored_and_written_over(
    tmp_path: Path, redis: Redis, poison: tuple[str, ...]
) -> None:
    redis.do(*poison)
    async with observed(tmp_path, redis.url) as store:
        assert (await store.ask(TRIPLET)).status is Status.NONE
        store.state.do(Attempt(TRIPLET, AT, id="ONE"))
        await until(lambda: redis.do("HGET", KEY, "first").endswith(repr(AT).encode() + b"\r\n"))
        assert (await store.ask(TRIPLET))[:2] == (Status.FAIL, (repr(AT), "ONE"))
        assert not store.told()


@pytest.mark.parametrize("poison", ["poison", "nan", "inf", "-inf", "1e300", ""])
async def test_a_bucket_that_is_not_ours_is_full_or_empty_and_never_stuck(
    tmp_path: Path, redis: Redis, poison: str
) -> None:
    key = f"earmark:1:{question_text(BUCKET)}"
    redis.do("SET", key, poison)
    async with observed(tmp_path, redis.url) as store:
        fact = await store.ask(BUCKET)
        assert fact.source == "redis"
        assert int(fact.data[1]) <= 1800
        redis.do("DEL", key)
        redis.do("RPUSH", key, "poison")
        assert (await store.ask(BUCKET)).status is Status.PASS
        assert not store.told()


async def test_three_hundred_questions_at_once_are_all_answered(tmp_path: Path, redis: Redis) -> None:
    async with observed(tmp_path, redis.url) as store:
        assert (await store.ask(TRIPLET)).status is Status.NONE, "connected"
        facts = await asyncio.gather(*(store.ask(BUCKET._replace(key=str(number))) for number in range(300)))
        assert {fact.status for fact in facts} == {Status.PASS}
        assert {fact.source for fact in facts} == {"redis"}


@pytest.mark.parametrize("shared", ["redis", "file"])
async def test_two_processes_on_one_store_count_once(tmp_path: Path, redis: Redis, shared: str) -> None:
    url = redis.url if shared == "redis" else ""
    now = float(int(time.time()))
    for attempt in range(5):  # on a busy machine a store takes longer than its 50 ms, and a process gives up
        redis.do("FLUSHALL")
        directory = tmp_path / str(attempt)
        directory.mkdir()
        got = await _count_at_once(directory, url, now)
        if all(got):
            break
    assert sum(map(int, got)) == 1000, "1700 were asked of a bucket of 1000"
    async with observed(directory, url) as store:
        assert (await store.ask(SHARED_BUCKET)).status is Status.FAIL
        first = await store.ask(SHARED_TRIPLET)
        assert first.status is Status.FAIL
        assert first.data in {(repr(now + 800), "ID800"), (repr(now + 900), "ID900")}


async def _count_at_once(directory: Path, url: str, now: float) -> list[bytes]:
    """Have two processes use the store; return what each has got, b"" of one that lost the store."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "e2e_lab.counting", str(directory), url]
    started = [
        await asyncio.create_subprocess_exec(
            *command, str(times), str(now + times), env=environment, stdin=PIPE, stdout=PIPE
        )
        for times in (800, 900)
    ]
    for process in started:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    return [told for told, _ in await asyncio.gather(*(process.communicate(b"begin\n") for process in started))]


def greylist(config: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "earmark", "greylist", *words, "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_the_command_shows_and_clears_what_stands_in_redis(tmp_path: Path) -> None:
    server = Redis("requirepass right-secret")
    secret = tmp_path / "password"
    secret.write_text("right-secret\n")
    secret.chmod(0o600)
    config = tmp_path / "config"
    copy_shipped(config)
    with (config / "policies" / "server.toml").open("a") as file:
        file.write(f'url = "{server.url}"\npassword_file = "{secret}"\n')
    try:
        async with observed(tmp_path, server.url, "right-secret") as store:
            store.state.do(Attempt(TRIPLET, AT, id="ONE"))
        shown = await asyncio.to_thread(greylist, config, "show", "example.net")
        assert "192.0.2.0/24 example.net example.org" in shown.stdout, shown.stderr
        assert "first by verdict ONE" in shown.stdout
        assert (await asyncio.to_thread(greylist, config, "clear", "--all")).stdout == "1 forgotten\n"
        assert (await asyncio.to_thread(greylist, config, "list")).stdout == "0 waiting, 0 passed\n"
        server.kill()
        gone = await asyncio.to_thread(greylist, config, "list")
        assert gone.returncode == 1
        assert server.url in gone.stderr
        assert "secret" not in gone.stderr
    finally:
        server.stop()
