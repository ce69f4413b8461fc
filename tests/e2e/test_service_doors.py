"""The doors of the service: shut while nobody could answer, and open again whatever stood in the way."""

import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e_lab.processes import reachable_by_nobody
from fakes.running_service import LISTED, RunningService, name_server, two_sockets, wait_until
from fakes.scripted_mta import REFUSED, ScriptedMta


@pytest.fixture
def idle() -> Iterator[RunningService]:
    with tempfile.TemporaryDirectory(prefix="earmark-") as top, name_server() as resolver:
        Path(top).chmod(0o755)
        service = RunningService(Path(top), resolver)
        yield service
        if hasattr(service, "process"):
            service.stop()


@contextlib.contextmanager
def no_worker_for_long(service: RunningService) -> Iterator[None]:
    """Kill the workers until connections by TCP are refused."""

    def is_shut() -> bool:
        for pid in service.workers("starting") + service.workers("ready"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with socket.socket() as caller:
            return caller.connect_ex(service.address) != 0

    wait_until(is_shut, "refused rather than accepted and silent")
    yield
    wait_until(lambda: len(service.workers()) == 2, "workers are back")


def judged(address: tuple[str, int] | str) -> int:
    with ScriptedMta(address) as mta:
        mta.begin(LISTED)
        return mta.rcpt()


def test_workers_that_cannot_start_are_tried_again_and_the_door_is_shut_meanwhile(idle: RunningService) -> None:
    idle.start()
    with no_worker_for_long(idle):
        assert idle.refuses()
    wait_until(lambda: not idle.refuses(), "connections are taken again")
    assert judged(idle.address) == REFUSED


def test_a_port_that_another_program_took_meanwhile_is_opened_when_it_is_free_again(idle: RunningService) -> None:
    idle.start()
    with socket.socket() as other:
        with no_worker_for_long(idle):
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(idle.address)
            other.listen()
        wait_until(lambda: len(idle.events("cannot_listen")) > 2, "it is tried again")
        assert idle.status()["state"] == "not answering"
    wait_until(lambda: not idle.refuses(), "connections are taken again")
    assert judged(idle.address) == REFUSED


@two_sockets
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_door_that_could_not_be_opened_again_without_root_stays_open(idle: RunningService) -> None:
    if not reachable_by_nobody():
        pytest.skip("the account nobody cannot read this checkout")
    idle.server.write_text(idle.server.read_text().replace('user = "root"', 'user = "nobody"'))
    idle.start()
    with no_worker_for_long(idle), socket.socket(socket.AF_UNIX) as caller:
        assert caller.connect_ex(str(idle.top / "milter.sock")) == 0
    wait_until(lambda: not idle.refuses(), "connections are taken again")
    assert judged(idle.address) == judged(str(idle.top / "milter.sock")) == REFUSED
    assert not idle.events("cannot_listen")
