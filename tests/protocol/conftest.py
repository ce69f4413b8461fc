"""Both milter engines: a test that takes `serve` runs with each."""

from collections.abc import Iterator

import pytest

from fakes import milter_engines
from fakes.milter_engines import LibmilterProcess, Serve


@pytest.fixture(scope="session")
def libmilter() -> Iterator[LibmilterProcess]:
    if reason := milter_engines.missing():
        pytest.skip(reason)
    process = LibmilterProcess()
    yield process
    process.stop()


@pytest.fixture(params=["native", "libmilter"])
def serve(request: pytest.FixtureRequest) -> Serve:
    if request.param == "native":
        return milter_engines.native
    process: LibmilterProcess = request.getfixturevalue("libmilter")
    return process
