"""Two services, each on a machine of its own as it were, with one Redis between them, and the Redis' accidents."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from e2e_lab.redis import Redis, Watched, missing
from fakes.running_service import CLEAN, RunningService, name_server, wait_until
from fakes.scripted_mta import ACCEPTED, REFUSED, ScriptedMta

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "redis is here")

LIMITED = """
[rates]
recipient = "3/86400"
defer = true
"""
GREY = """domains = ["grey.example"]
[listings]
zones = ["bl.test"]
[greylist]
enabled = true
from_score = 0.00
wait_seconds = 1
"""
Nodes = tuple[RunningService, RunningService]


@pytest.fixture
def redis() -> Iterator[Redis]:
    made = Redis()
    yield made
    made.stop()


@pytest.fixture
def nodes(redis: Redis) -> Iterator[Nodes]:
    with ExitStack() as started:
        yield both(started, redis.url)


def both(started: ExitStack, url: str) -> Nodes:
    resolver = started.enter_context(name_server())
    return node(started, resolver, url), node(started, resolver, url)


def node(started: ExitStack, resolver: str, url: str) -> RunningService:
    made = RunningService(Path(started.enter_context(tempfile.TemporaryDirectory(prefix="earmark-"))), resolver)
    with made.server.open("a") as server:
        server.write(f'\n[store]\nurl = "{url}"\n')
    with made.domain.open("a") as domain:
        domain.write(LIMITED)
    made.domain.with_name("grey.toml").write_text(GREY)
    started.callback(made.stop)
    made.start()
    return made


def answered(service: RunningService, recipient: str) -> int:
    """Return what RCPT is answered; REFUSED is any reply of ours, 451 too."""
    with ScriptedMta(service.address) as mta:
        mta.begin(CLEAN)
        return mta.rcpt(recipient)


def refused(service: RunningService, recipient: str) -> bool:
    return answered(service, recipient) == REFUSED


def found(service: RunningService) -> set[str]:
    return {one["name"] for event in service.events("verdict") for one in event["findings"]}


def exhaust(nodes: Nodes) -> None:
    first, second = nodes
    answers = [answered(each, "user@example.org") for each in (first, second, first, second, first)]
    assert answers == [ACCEPTED, ACCEPTED, ACCEPTED, REFUSED, REFUSED], "three messages, whichever node is asked"


def test_two_nodes_on_one_redis_count_once_and_know_whom_the_other_told_to_come_back(nodes: Nodes) -> None:
    first, second = nodes
    exhaust(nodes)
    assert answered(first, "bob@grey.example") == REFUSED
    wait_until(lambda: answered(second, "bob@grey.example") == ACCEPTED, "who has waited is let in by the other node")
    assert answered(first, "eve@grey.example") == ACCEPTED, "and the first node knows that"
    wait_until(lambda: "GREYLIST_PASSED" in found(second), "the second node's log says so")


@pytest.mark.parametrize("accident", ["killed", "paused"])
def test_no_mail_waits_for_a_redis_that_is_gone_and_it_is_used_again(nodes: Nodes, redis: Redis, accident: str) -> None:
    exhaust(nodes)
    if accident == "killed":
        redis.kill()
    else:
        redis.pause()
    for each in nodes:
        assert answered(each, "user@example.org") == ACCEPTED
        assert answered(each, "new@grey.example") == ACCEPTED, "nobody is greylisted now"
        wait_until(partial(each.events, "store_lost"), "that is said")
    if accident == "killed":
        redis.start()
    else:
        redis.resume()
    for each in nodes:
        wait_until(partial(refused, each, f"{each.port}@grey.example"), "greylisting is back")
        wait_until(partial(each.events, "store_back"), "that is said, too")


def test_after_a_failover_the_nodes_go_on_with_what_the_replica_knows() -> None:
    with ExitStack() as started:
        watched = Watched()
        started.callback(watched.stop)
        nodes = both(started, watched.url)
        exhaust(nodes)
        assert b":1" in watched.master.do("WAIT", "1", "5000")
        watched.master.kill()
        for each in nodes:
            assert answered(each, "new@grey.example") == ACCEPTED
            wait_until(partial(refused, each, "user@example.org"), "the limit is still exceeded")
