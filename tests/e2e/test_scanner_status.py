"""What `earmark status` and the log say of a scanner that goes and comes back, in seconds and in messages."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e_lab.clamd import ClamdServer, missing
from e2e_lab.processes import wait_until as wait_at_most
from fakes.running_service import CLEAN, RunningService, name_server, wait_until
from fakes.scripted_mta import ACCEPTED, ScriptedMta

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "clamd is here")
BACK_WITHIN = 5.0
"""Seconds that the scanners' clients promise."""


@pytest.fixture(scope="module")
def clamd() -> Iterator[ClamdServer]:
    server = ClamdServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def service(clamd: ClamdServer) -> Iterator[RunningService]:
    with name_server() as resolver, tempfile.TemporaryDirectory(prefix="earmark-") as top:
        Path(top).chmod(0o755)
        running = RunningService(Path(top), resolver)
        with running.server.open("a") as server:
            server.write(f'[clamd]\nendpoints = ["{clamd.tcp}"]\n')
        running.start()
        yield running
        running.stop()


def scanned(service: RunningService) -> dict[str, Any]:
    """Return what status says of ClamAV."""
    (line,) = service.status()["scanners"]
    assert line["scanner"] == "clamav"
    return dict(line)


def send(service: RunningService, times: int) -> None:
    """Have each worker judge some: the next connection may be anybody's."""
    for _ in range(times):
        with ScriptedMta(service.address) as mta:
            mta.begin(CLEAN)
            assert mta.rcpt() == ACCEPTED
            assert mta.message() == ACCEPTED
            mta.quit()


def unscanned(service: RunningService) -> list[bool]:
    """Return for each verdict that was logged whether the scan for viruses is among what is unknown."""
    return [any(what.startswith("virus ") for what in event["unknown"]) for event in service.events("verdict")]


def test_an_outage_is_told_once_and_counted_in_seconds_and_in_messages(
    service: RunningService, clamd: ClamdServer
) -> None:
    assert scanned(service)["state"] == "not asked yet"
    send(service, 4)
    wait_until(lambda: scanned(service)["scans"] == 4, "all four are scanned")
    assert (scanned(service)["state"], scanned(service)["failing_seconds"]) == ("answering", 0)

    clamd.kill()
    send(service, 6)
    wait_until(lambda: scanned(service)["unscanned"] == 6, "all six are counted")
    failing = scanned(service)
    assert (failing["state"], failing["scans"], failing["why"]) == ("failing", 4, f"{clamd.tcp}: Connection refused")
    wait_until(lambda: scanned(service)["failing_seconds"] > failing["failing_seconds"], "the seconds go on")
    told = service.command("status")
    assert f"clamav: failing ({clamd.tcp}: Connection refused): 4 scanned, 6 not, failed for " in told.stdout
    assert told.returncode == 0, "the service itself is ready"

    wait_until(lambda: unscanned(service) == [False] * 4 + [True] * 6, "the stamps say so")

    for pid in service.workers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(service.workers()) == 2, "there are new workers")
    assert (scanned(service)["state"], scanned(service)["unscanned"]) == ("failing", 6), "nothing is forgotten"
    send(service, 2)

    clamd.start()
    wait_at_most(lambda: scanned(service)["state"] == "answering", "status knows that it is back", within=BACK_WITHIN)
    send(service, 2)
    wait_until(lambda: scanned(service)["scans"] == 6, "what came after it is scanned")
    wait_until(lambda: sorted(unscanned(service)) == [False] * 6 + [True] * 8, "the stamps say so")
    (down,), (back,) = service.events("scanner_down"), service.events("scanner_back")
    assert (down["level"], down["scanner"]) == ("error", "clamav")
    assert back["unscanned"] >= 6, "those that came before a worker was sure of it belong to no outage"
    assert back["seconds"] > 0


def test_signatures_whose_age_nobody_tells_are_warned_of_once(service: RunningService, clamd: ClamdServer) -> None:
    wait_until(lambda: service.events("signatures_old"), "the watcher has asked")
    (told,) = service.events("signatures_old")
    assert (told["level"], told["endpoint"], told["issued"], told["days"]) == ("warning", clamd.tcp, "", None)
