"""The lab, once for the whole level; an empty store for each test; what the servers logged, for each failure."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from e2e_lab import exim as unpacked_exim
from e2e_lab import lab as laboratory
from e2e_lab import real_mails
from e2e_lab.exim import Exim
from e2e_lab.lab import Lab
from e2e_lab.spamd import Spamd

_LOGGED_AT_MOST = 6_000
_running = pytest.StashKey[Lab]()


@pytest.fixture(scope="session")
def whole_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    reason = laboratory.missing()
    if reason:
        pytest.skip(reason)
    lab = Lab()
    request.config.stash[_running] = lab
    try:
        lab.wait_ready()
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def lab(whole_lab: Lab) -> Lab:
    whole_lab.begin()
    return whole_lab


@pytest.fixture
def exim(lab: Lab) -> Exim:
    """The lab's Exim; the lab is as a test begins with it."""
    if lab.exim is None:
        pytest.skip(unpacked_exim.missing())
    return lab.exim


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    running = item.config.stash.get(_running, None)
    if report.failed and running is not None and "whole_lab" in getattr(item, "fixturenames", ()):
        report.sections += [(f"log of {name}", text[-_LOGGED_AT_MOST:]) for name, text in running.logged() if text]
    return report


@pytest.fixture(scope="session")
def own_mails() -> dict[str, bytes]:
    """The mails of mails/, by name. Lines end in LF there, and in CR LF on the wire."""
    return {file.stem: file.read_bytes() for file in sorted(Path(__file__).parent.joinpath("mails").glob("*.eml"))}


@pytest.fixture(scope="session")
def local_spamd() -> Iterator[Spamd]:
    """A spamd that asks nobody."""
    with real_mails.local_spamd() as spamd:
        yield spamd
