"""Throws mutated milter streams at the codec and a session. Short by default; EARMARK_FUZZ_SECONDS makes it long.

Asserted: whatever comes, it ends in values or a RemoteError, and no fault of ours is logged. A crasher becomes a
dialogue.
"""

import os
import random
import time
from collections.abc import Callable

import pytest

from fakes.milter_streams import mutated
from fakes.milter_targets import codec_target, session_target

SECONDS = float(os.environ.get("EARMARK_FUZZ_SECONDS", "2"))


@pytest.mark.parametrize("target", [codec_target, session_target])
def test_mutated_streams_end_in_values_or_a_remote_error(target: Callable[[bytes], None]) -> None:
    seed = int(os.environ.get("EARMARK_FUZZ_SEED", "1"))
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        raw = mutated(chance)
        try:
            target(raw)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {raw.hex()}") from error
