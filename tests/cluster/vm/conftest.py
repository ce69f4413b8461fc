"""The laboratory of machines; what each did and said, for each failure (or all, with -rP); what it took, at the end."""

from collections.abc import Generator, Iterator

import pytest

from cluster_lab.machines import image
from cluster_lab.machines.lab import Lab

_LOGGED_AT_MOST = 12_000
_running = pytest.StashKey[Lab]()
_took = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def laboratory(request: pytest.FixtureRequest) -> Iterator[Lab]:
    reason = image.missing()
    if reason:
        pytest.skip(reason)
    lab = Lab()
    request.config.stash[_running] = lab
    try:
        yield lab
    finally:
        request.config.stash[_took] = lab.took
        lab.stop()


@pytest.fixture
def lab(laboratory: Lab) -> Iterator[Lab]:
    """The laboratory; the machines that a test starts end with it."""
    laboratory.begin()
    yield laboratory
    laboratory.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    lab = item.config.stash.get(_running, None)
    if report.when == "call" and lab is not None and "lab" in getattr(item, "fixturenames", ()):
        report.sections += [(name, text[-_LOGGED_AT_MOST:]) for name, text in lab.logged() if text]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_took, []):
        terminalreporter.write_line(line)
