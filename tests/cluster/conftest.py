"""The cluster in namespaces, once for a module; what was logged, for each failure; what was measured, at the end."""

import os
from collections.abc import Generator, Iterator

import pytest

from cluster_lab import cluster as laboratory
from cluster_lab.cluster import Cluster
from cluster_lab.episode import Episode

_LOGGED_AT_MOST = 12_000
_running = pytest.StashKey[Cluster]()
_measured = pytest.StashKey[list[str]]()


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if os.geteuid() != 0:
        pytest.skip("no cluster: namespaces and Postfix need root")
    if reason := laboratory.missing():
        pytest.skip(f"no cluster: {reason}")
    running = Cluster()
    request.config.stash[_running] = running
    try:
        yield running
    finally:
        del request.config.stash[_running]
        running.stop()


@pytest.fixture
def episode(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Episode]:
    """A cluster at rest, to which something is about to happen; whatever it was, nobody's mail may suffer from it."""
    begun = Episode(cluster)
    yield begun
    begun.check_mail()
    if begun.outage:
        line = f"{request.node.name}: {begun.outage:.2f} s"
        request.config.stash.setdefault(_measured, []).append(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    running = item.config.stash.get(_running, None)
    if report.failed and running is not None and "cluster" in getattr(item, "fixturenames", ()):
        report.sections += [
            (f"log of {name}", text[-_LOGGED_AT_MOST:]) for name, text in running.logged().items() if text
        ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(_measured, []):
        terminalreporter.section("outages measured")
        for line in lines:
            terminalreporter.line(line)
