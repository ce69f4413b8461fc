"""Lists that turn bad while mail comes in, under the running service and with its real intervals."""

import asyncio
import json
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from earmark.clients.offline import ZoneFile
from fakes.dnsd import Dnsd, dnsd
from fakes.running_service import LISTED, RunningService, wait_until
from fakes.scripted_mta import ACCEPTED, REFUSED, ScriptedMta
from fakes.waiting import until

DISARMED_WITHIN = 60.0
"""Seconds, as docs/lists.md promises."""
BLOCK_LISTS = ("world.test", "open.test", "dying.test")
_ZONE = """
[[zone]]
name = "{name}"
owner = "{name}"
kind = "{kind}"
ask = ["connection"]
timeout = 1.0

[[zone.code]]
symbol = "{symbol}"
range = ["127.0.0.2", "127.0.10.3"]
score = {score}
meaning = "listed"
scope = "address"
deep = false
"""
_NAMES = "7.100.51.198.in-addr.arpa. PTR mail.example.net.\nexample.net. MX 10 mail.example.net.\n"
_HEALTHY = _NAMES + "2.2.0.192.bl.test. A 127.0.0.2\n" + "".join(
    f"2.0.0.127.{zone}. A 127.0.0.2\n" for zone in ("bl.test", "wl.test", *BLOCK_LISTS)
)  # fmt: skip
_BAD = (
    _HEALTHY.replace("2.0.0.127.dying.test. A 127.0.0.2", "2.0.0.127.dying.test. TIMEOUT").replace(
        "2.0.0.127.open.test. A 127.0.0.2", "2.0.0.127.open.test. A 127.255.255.254"
    )
    + "*.world.test. A 127.0.0.2\n*.open.test. A 127.255.255.254\n*.wl.test. A 127.0.10.3\n*.dying.test. SERVFAIL\n"
)
TURNED = {
    "world.test": "lists the world",
    "open.test": "resolver is a public one",
    "wl.test": "trusts the world",
}


@pytest.fixture
async def server() -> AsyncIterator[Dnsd]:
    async with dnsd(_HEALTHY) as made:
        yield made


@pytest.fixture
def idle(server: Dnsd) -> Iterator[RunningService]:
    """A service whose one domain asks a list that stays well, three that do not, and an allow list that trusts all."""
    zones = [("wl.test", "allow", "WL", "-1.00")]
    zones += [(name, "block", name.partition(".")[0].upper(), "10.00") for name in BLOCK_LISTS]
    rules = "".join(
        _ZONE.format(name=name, kind=kind, symbol=symbol, score=score) for name, kind, symbol, score in zones
    )
    names = json.dumps(["bl.test", *(name for name, *_ in zones)])
    with tempfile.TemporaryDirectory(prefix="earmark-") as top:
        Path(top).chmod(0o755)
        made = RunningService(Path(top), server.address)
        (made.config / "rules" / "turning.toml").write_text(rules)
        made.domain.write_text(f'domains = ["example.org"]\nmode = "enforce"\n\n[listings]\nzones = {names}\n')
        yield made


@pytest.fixture
async def service(idle: RunningService) -> AsyncIterator[RunningService]:
    await asyncio.to_thread(idle.start)
    try:
        yield idle
    finally:
        await asyncio.to_thread(idle.stop)


def answered(service: RunningService, client: str) -> int:
    with ScriptedMta(service.address) as mta:
        mta.begin(client)
        return mta.rcpt()


def said(service: RunningService, event: str) -> dict[str, dict[str, Any]]:
    """Return what the log says of the lists that turn bad: nothing more than once."""
    found = [one for one in service.events(event) if one["zone"] in TURNED]
    by_zone = {one["zone"]: one for one in found}
    assert len(by_zone) == len(found), found
    return by_zone


def board(service: RunningService, *words: str) -> tuple[int, dict[str, Any]]:
    told = service.command("lists", *words, "--json")
    assert not told.stderr
    return told.returncode, {row["zone"]: row for row in json.loads(told.stdout)["lists"]}


async def test_lists_that_turn_bad_under_traffic_wrong_nobody_once_they_are_found_out(
    server: Dnsd, service: RunningService
) -> None:
    clients = (str(IPv4Address("198.51.100.1") + number) for number in count())
    assert await asyncio.to_thread(answered, service, next(clients)) == ACCEPTED
    assert await asyncio.to_thread(answered, service, LISTED) == REFUSED
    server.zone = ZoneFile.parse(_BAD)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DISARMED_WITHIN
    while len(said(service, "list_disarmed")) < len(TURNED):
        assert loop.time() < deadline, "not all found out in time"
        await asyncio.to_thread(answered, service, next(clients))
    assert {zone: event["reason"] for zone, event in said(service, "list_disarmed").items()} == TURNED
    for _ in range(20):
        assert await asyncio.to_thread(answered, service, next(clients)) == ACCEPTED
        assert await asyncio.to_thread(answered, service, LISTED) == REFUSED, "the list that is well still counts"
    await _stays_disarmed(service)
    assert await asyncio.to_thread(answered, service, next(clients)) == ACCEPTED


async def _stays_disarmed(service: RunningService) -> None:
    """Look at the board, end the watcher, and reload: nothing is forgotten, and nothing is said again."""
    (watcher,) = (child["pid"] for child in service.status()["children"] if child["role"] == "watcher")
    os.kill(watcher, signal.SIGKILL)
    await until(lambda: service.counter("watcher_ended") == 1)
    assert service.command("reload").returncode == 0
    reason = "127.0.0.2 for all of 16 addresses drawn at random"

    async def found_out_anew() -> bool:
        _, rows = await asyncio.to_thread(board, service)
        return reason in rows["world.test"]["problem"]

    await until(found_out_anew)
    status, rows = await asyncio.to_thread(board, service)
    assert status == 1
    for zone, problem in TURNED.items():
        assert rows[zone]["problem"].startswith(problem)
    assert rows["bl.test"]["problem"] == ""
    assert rows["bl.test"]["hits"] >= 1
    assert rows["dying.test"]["problem"].startswith("silent: ")
    assert len(said(service, "list_disarmed")) == len(TURNED)
    shown = await asyncio.to_thread(service.command, "lists")
    assert shown.returncode == 1
    assert f"world.test: lists the world: {reason}" in shown.stdout


async def test_lists_can_be_tested_without_a_service(server: Dnsd, idle: RunningService) -> None:
    status, rows = await asyncio.to_thread(board, idle, "test")
    assert status == 1, "the shipped default asks lists that this resolver does not know"
    assert rows["zen.spamhaus.org"]["problem"].startswith("no test entry")
    assert rows["world.test"]["problem"] == ""
    assert rows["world.test"]["answers"] == {
        "2.0.0.127": "127.0.0.2", "1.0.0.127": "NXDOMAIN", "drawn at random": ["NXDOMAIN"]
    }  # fmt: skip
    server.zone = ZoneFile.parse(_BAD)
    status, rows = await asyncio.to_thread(board, idle, "test")
    assert rows["world.test"]["problem"].startswith("lists the world")
    assert rows["wl.test"]["problem"].startswith("trusts the world")
    assert rows["dying.test"]["problem"].startswith("silent")
    shown = await asyncio.to_thread(idle.command, "lists", "test")
    assert "  drawn at random: 127.0.10.3" in shown.stdout


def test_the_service_serves_before_the_first_canaries_are_answered_and_is_soon_called_ready() -> None:
    with tempfile.TemporaryDirectory(prefix="earmark-") as top, socket.socket(type=socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        Path(top).chmod(0o755)
        service = RunningService(Path(top), f"127.0.0.1:{mute.getsockname()[1]}")
        service.launch()
        try:
            wait_until(lambda: service.status().get("state") == "checking lists", "the first round is waited for")
            assert service.command("status").returncode == 1
            assert not service.refuses()
            wait_until(lambda: service.status().get("state") == "ready", "it is not waited for any more")
        finally:
            service.stop()
