"""Whatever comes, it ends as it should: the corpus first, then what is made of it (README.md)."""

import os
from collections.abc import Callable

import pytest

from fuzz.running import Target, fuzz, run, run_all, seeds
from fuzz.targets.all import OF_WIRE, TARGETS

SECONDS = float(os.environ.get("EARMARK_FUZZ_SECONDS", "8"))
"""Seconds of CPU time for all targets that are selected, in equal shares."""
SEED = os.environ.get("EARMARK_FUZZ_SEED", "1")
each = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@each
def test_hostile_bytes_end_as_they_should(target: Target, request: pytest.FixtureRequest) -> None:
    selected = sum(getattr(item, "function", None) is request.function for item in request.session.items)
    inputs, ends = fuzz(target, SECONDS / selected, SEED)
    print(f"{target.name}: {inputs} inputs, {ends} ends, seed {SEED}")  # noqa: T201 - what was done


@each
def test_the_corpus_shows_every_end(target: Target) -> None:
    assert {end.partition(":")[0] for end in run_all(target, seeds(target))} == target.ends


_LENGTHS: tuple[Callable[[bytes], bytes], ...] = (
    lambda token: token * (8192 // len(token)),
    lambda token: (token + b"a") * (8192 // (len(token) + 1)),
)


@pytest.mark.parametrize("target", OF_WIRE, ids=lambda target: target.name)
def test_work_grows_as_the_input_and_no_faster(target: Target) -> None:
    """Each token many times, in the middle of an input of the corpus that is small."""
    for place, token in enumerate(target.tokens):
        for lengthened in _LENGTHS:
            small = [raw for raw in seeds(target) if len(raw) < 4096]
            raw = small[place % len(small)]
            run(target, raw[: len(raw) // 2] + lengthened(token) + raw[len(raw) // 2 :], measured=True)
