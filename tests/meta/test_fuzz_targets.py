"""Each codec has a fuzz target and a corpus that reaches it, and no expression of a codec can go back and forth."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from re import _constants as constants  # type: ignore[attr-defined] # what re itself reads patterns with
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from fuzz.running import CORPUS, Target, run, stored
from fuzz.targets.all import OF_WIRE, TARGETS
from fuzz.work import Work

WIRE = Path(__file__).resolve().parents[2] / "milter" / "earmark" / "wire"
MODULES = sorted(file.stem for file in WIRE.glob("*.py") if file.stem != "__init__")
LARGEST_FILE = 4500


def test_each_module_of_wire_has_a_target_of_its_name() -> None:
    assert sorted(target.name for target in OF_WIRE) == MODULES


@pytest.mark.parametrize("target", OF_WIRE, ids=lambda target: target.name)
def test_the_target_of_a_codec_reaches_it(target: Target) -> None:
    with Work() as work:
        for raw in stored(target.name):
            run(target, raw)
    assert target.name in work.modules


def test_each_target_has_a_corpus_of_small_files_that_differ() -> None:
    assert sorted(directory.name for directory in CORPUS.iterdir()) == sorted(target.name for target in TARGETS)
    for target in TARGETS:
        files = stored(target.name)
        assert files, target.name
        assert len(set(files)) == len(files), target.name
        assert max(map(len, files)) <= LARGEST_FILE, target.name


def _patterns() -> Iterator[Any]:
    for module in MODULES:
        for name, value in vars(import_module(f"earmark.wire.{module}")).items():
            if isinstance(value, re.Pattern):
                yield pytest.param(value, id=f"{module}.{name}")


@pytest.mark.parametrize("pattern", list(_patterns()))
def test_no_repeat_without_bound_stands_in_another(pattern: re.Pattern[Any]) -> None:
    """Where it does, as in (a+)+, some dozen bytes can take hours; who counts lines of Python does not see that."""
    assert not list(_nested(parser.parse(pattern.pattern, pattern.flags), within=False))


def _nested(parsed: Any, *, within: bool) -> Iterator[Any]:
    """Yield the repeats without bound that stand in one."""
    for part in parsed:
        if isinstance(part, tuple) and part[0] in {constants.MAX_REPEAT, constants.MIN_REPEAT}:
            _, most, repeated = part[1]
            endless = most is constants.MAXREPEAT
            if endless and within:
                yield part
            yield from _nested(repeated, within=within or endless)
        elif isinstance(part, tuple | list | parser.SubPattern):
            yield from _nested(part, within=within)
