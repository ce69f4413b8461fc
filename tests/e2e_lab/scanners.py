"""Real clamd and real spamd as earmark sees them: behind proxies that fail when a test says so."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from e2e_lab import clamd, spamd
from e2e_lab.clamd import ClamdServer
from e2e_lab.faults import Fault, FaultProxy
from e2e_lab.processes import wait_until
from e2e_lab.service import Service
from e2e_lab.spamd import Spamd
from earmark.service.crew import HEARTBEAT

RECOVERS_WITHIN = 5.0
CHILDREN = 2
"""Of spamd."""
LIMITS = {"MaxFileSize": "2M", "MaxScanSize": "4M", "StreamMaxLength": "12M"}

SERVER = """
[clamd]
endpoints = {clamd}
at_once = 4

[spamd]
endpoints = {spamd}
at_once = {children}
"""


def missing() -> str:
    """Return why there can be none here; "" where there can."""
    return clamd.missing() or spamd.missing()


class Scanners:
    """One clamd, which earmark knows by two endpoints, and one spamd. To be given a directory that all can walk to."""

    def __init__(self, top: Path) -> None:
        top.mkdir()
        with ExitStack() as started:
            self.spamd = Spamd(top / "spamd", children=CHILDREN)
            started.callback(self.spamd.stop)
            self.clamd = ClamdServer(**LIMITS)
            started.callback(self.clamd.stop)
            self.for_viruses = (FaultProxy(self.clamd.port), FaultProxy(self.clamd.port, top / "clamd.sock"))
            self.for_spam = FaultProxy(self.spamd.port, half_closed=True)
            for proxy in self.proxies:
                started.callback(proxy.stop)
            self._started = started.pop_all()
        self.logs = (self.spamd.log, self.clamd.top / "log")

    @property
    def proxies(self) -> tuple[FaultProxy, ...]:
        return (*self.for_viruses, self.for_spam)

    def server_toml(self) -> str:
        """Return the lines of server.toml that name them."""
        endpoints = [proxy.endpoint for proxy in self.for_viruses]
        spam = [self.for_spam.endpoint]
        return SERVER.format(clamd=json.dumps(endpoints), spamd=json.dumps(spam), children=CHILDREN)

    def wait_ready(self) -> None:
        self.spamd.wait_ready()

    def stop(self) -> None:
        self._started.close()

    @contextmanager
    def failing(self, service: Service, viruses: Fault, spam: Fault) -> Iterator[None]:
        """Let all connections to them meet with these faults; afterwards wait until earmark knows that it is over."""
        try:
            for proxy in self.for_viruses:
                proxy.fault = viruses
            self.for_spam.fault = spam
            yield
        finally:
            for proxy in self.proxies:
                proxy.fault = Fault()
            _wait_found_again(service)


def _wait_found_again(service: Service) -> None:
    """Return when no worker has told for longer than a heartbeat that a scanner is down: status knows no sooner."""
    last_failing = time.monotonic()

    def steady() -> bool:
        nonlocal last_failing
        now = time.monotonic()
        if failing(service):
            last_failing = now
        return now - last_failing > 1.5 * HEARTBEAT

    within = RECOVERS_WITHIN + 1.5 * HEARTBEAT
    wait_until(steady, "earmark has found the scanners again", within=within)


def status(service: Service) -> dict[str, dict[str, Any]]:
    """Return what `earmark status` says of each scanner."""
    return {line["scanner"]: line for line in json.loads(service.run("status", "--json").stdout)["scanners"]}


def failing(service: Service) -> set[str]:
    """Return the scanners that some worker knows to be down."""
    return {name for name, line in status(service).items() if line["state"] == "failing"}
