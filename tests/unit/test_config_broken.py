"""Broken configurations, each with what it is told; see README.md in `broken`."""

import os
from pathlib import Path

import pytest

from earmark.config import ConfigError, compile_generation, read_files, shipped

BROKEN = Path(__file__).parent / "broken"
CASES = sorted(path for path in BROKEN.iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_a_broken_configuration_is_refused_with_every_problem_and_its_place(case: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_generation(read_files(shipped()) | read_files(case))
    told = f"{caught.value}\n"
    expected = case / "expected-error"
    if os.environ.get("EARMARK_UPDATE"):
        expected.write_text(told, encoding="utf-8")
    assert told == expected.read_text(encoding="utf-8")
