"""A customer's key of a list is in the DNS query, and in nothing else that a process of ours says or leaves behind."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from e2e_lab.processes import reachable_by_nobody
from earmark.wire.milter import Packet
from fakes.dnsd import Dnsd, dnsd
from fakes.running_service import CLEAN, LISTED, RunningService, wait_until
from fakes.scripted_mta import ACCEPTED, REFUSED, ScriptedMta

KEY = "sekretkey0123456789abcdefg"
ANOTHER = "another0sekret0key0for0customers"
_RULES = """
[[zone]]
name = "dq.test"
key_file = "{path}"
owner = "a test"
kind = "block"
ask = ["connection"]

[[zone.code]]
symbol = "DQ_LISTED"
code = "127.0.0.2"
score = 10.00
meaning = "listed"
scope = "address"
"""
_POLICY = 'domains = ["example.org"]\n[listings]\nzones = ["dq.test"]\n'
_ZONE = "".join(
    f"2.2.0.192.{key}.dq.test. A 127.0.0.2\n2.0.0.127.{key}.dq.test. A 127.0.0.2\n" for key in (KEY, ANOTHER)
)


class Recorder(ScriptedMta):
    """Keeps every packet that the filter sends."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.heard: list[Packet] = []
        super().__init__(address)

    def read(self) -> Packet:
        self.heard.append(super().read())
        return self.heard[-1]


@pytest_asyncio.fixture
async def resolver() -> AsyncIterator[Dnsd]:
    async with dnsd(_ZONE) as server:
        yield server


@pytest_asyncio.fixture
async def idle(resolver: Dnsd) -> AsyncIterator[RunningService]:
    with tempfile.TemporaryDirectory(prefix="earmark-") as top:
        os.chmod(top, 0o755)  # noqa: PTH101, S103 - nobody must reach it; a Path's methods are for no coroutine
        service = RunningService(Path(top), resolver.address, workers=1)
        path = service.top / "key"
        path.write_text(f"{KEY}\n")
        path.chmod(0o640)
        (service.config / "rules" / "dq.toml").write_text(_RULES.format(path=path))
        service.domain.write_text(_POLICY)
        yield service
        if hasattr(service, "process"):
            await asyncio.to_thread(service.stop)


def judged(service: RunningService, client: str, heard: list[Packet]) -> int:
    with Recorder(service.address) as mta:
        mta.begin(client)
        answer = mta.rcpt()
        if answer == ACCEPTED:
            mta.message()
        mta.quit()
    heard += mta.heard
    return answer


def play(service: RunningService) -> str:
    """Have the service do and say what it can; return all of it but its log and what it keeps."""
    heard: list[Packet] = []
    service.start()
    wait_until(lambda: judged(service, LISTED, heard) == REFUSED, "the list is armed and asked")
    assert judged(service, CLEAN, heard) == ACCEPTED
    wait_until(lambda: len(service.events("verdict")) > 1, "both are logged")
    latest = service.events("verdict")[-1]["id"]
    path = service.top / "key"
    said = [str(heard), str(service.status()), str(service.ask("lists"))]
    path.chmod(0o644)
    said += told(service, 1, ("reload",), ("config", "check"))
    path.chmod(0o640)
    path.write_text(f"{KEY} {ANOTHER}\n")
    said += told(service, 1, ("reload",), ("config", "check"))
    path.write_text(f"{ANOTHER}\n")
    said += told(service, 0, ("reload",), ("config", "check"), ("config", "show", "--origin"))
    said += told(service, 0, ("config", "show", "--domain", "example.org", "--origin"), ("explain", latest))
    said += told(service, 0, ("explain", latest, "--json"))
    wait_until(lambda: judged(service, LISTED, heard) == REFUSED, "the new key is in force")
    said.append(str(heard))
    return "".join(said)


def told(service: RunningService, status: int, *commands: tuple[str, ...]) -> list[str]:
    runs = [service.command(*words) for words in commands]
    assert [run.returncode for run in runs] == [status] * len(runs), runs
    return [run.stdout + run.stderr for run in runs]


async def test_a_key_is_asked_with_and_stands_nowhere_else(idle: RunningService, resolver: Dnsd) -> None:
    said = await asyncio.to_thread(play, idle)
    await asyncio.to_thread(idle.stop)
    for key in (KEY, ANOTHER):
        assert resolver.count(f"2.2.0.192.{key}.dq.test"), "it is what the list was asked with"
    assert "is open to everybody on this machine" in said
    assert "holds no key" in said
    assert "192.0.2.2 is listed by dq.test" in said
    kept = {path: path.read_bytes() for path in idle.top.rglob("*") if path.is_file() and path != idle.top / "key"}
    assert any(b"dq.test" in content for path, content in kept.items() if path.parent.name == "state"), "it is kept"
    kept[Path("said")] = said.encode()
    for key in (KEY, ANOTHER):
        assert [path for path, content in kept.items() if key.encode() in content.lower()] == []


async def test_a_key_that_is_gone_when_a_worker_starts_costs_its_list_and_nothing_else(
    idle: RunningService, resolver: Dnsd
) -> None:
    def lose_it() -> None:
        idle.start()
        (idle.top / "key").unlink()
        for pid in idle.children():
            os.kill(pid, 9)
        wait_until(lambda: idle.events("key_unreadable"), "the watcher says so")
        wait_until(idle.workers, "a worker is back")
        before = resolver.count("dq.test")
        assert judged(idle, LISTED, []) == ACCEPTED
        assert resolver.count("dq.test") == before
        wait_until(lambda: idle.events("verdict"), "the verdict is logged")

    await asyncio.to_thread(lose_it)
    why = idle.events("key_unreadable")[0]["why"]
    assert why.startswith("rules/dq.toml:4:1: zone[0].key_file: cannot read ")
    assert "dq.test" in str(idle.events("verdict")[-1]), "it is said to be unchecked"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_key_that_only_root_can_read_is_refused_at_the_start(idle: RunningService) -> None:
    if not reachable_by_nobody():
        pytest.skip("the account nobody cannot read this checkout")
    idle.server.write_text(idle.server.read_text().replace('user = "root"', 'user = "nobody"'))
    (idle.top / "key").chmod(0o600)
    idle.launch()
    assert await asyncio.to_thread(idle.process.wait, 30) != 0
    assert f"key_file: cannot read {idle.top}/key: Permission denied" in idle.log.read_text()
