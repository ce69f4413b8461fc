"""What all levels share: how Hypothesis draws, and both milter engines.

Hypothesis draws the same examples in every run, so that a red run is red again; `--hypothesis-seed` varies them.
`./dev test --quick` sets EARMARK_QUICK: a quarter of the examples.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from fakes import milter_engines
from fakes.milter_engines import LibmilterProcess, Serve

_EXAMPLES = 25 if os.environ.get("EARMARK_QUICK") else 100

settings.register_profile("earmark", derandomize=True, deadline=None, max_examples=_EXAMPLES, database=None)
settings.load_profile("earmark")


@pytest.fixture(scope="session")
def libmilter() -> Iterator[LibmilterProcess]:
    if reason := milter_engines.missing():
        pytest.skip(reason)
    process = LibmilterProcess()
    yield process
    process.stop()


@pytest.fixture(params=["native", "libmilter"])
def serve(request: pytest.FixtureRequest) -> Serve:
    """Both engines in turn: a test that takes it runs with each."""
    if request.param == "native":
        return milter_engines.native
    process: LibmilterProcess = request.getfixturevalue("libmilter")
    return process
