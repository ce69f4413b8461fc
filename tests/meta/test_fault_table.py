"""The table "Faults and attacks" of tests/README.md names what there is, and leaves nothing out."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
TABLE = (TESTS / "README.md").read_text("utf-8").partition("## Faults and attacks")[2]
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", TABLE, re.MULTILINE)
NUMBERS = [*range(1, 101), 104, 105, 106, *range(108, 117)]
NAMED = sorted({name for _, _, shown in ROWS for name in re.findall(r"`([^`]+)`", shown)})


def test_each_fault_has_its_row_in_order() -> None:
    assert [int(number) for number, _, _ in ROWS] == NUMBERS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_names_a_test(row: tuple[str, str, str]) -> None:
    assert re.search(r"`[^`]+`", row[2])


@pytest.mark.parametrize("name", NAMED)
def test_what_the_table_names_exists(name: str) -> None:
    path, _, test = name.partition("::")
    found = list(TESTS.glob(path))
    assert found, f"no such file: tests/{path}"
    if test:
        nodes = ast.walk(ast.parse(found[0].read_text("utf-8")))
        functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test in functions, f"no such test in tests/{path}: {test}"


def test_each_dialogue_about_a_fault_stands_in_the_row_of_its_number() -> None:
    for dialogue in sorted((TESTS / "protocol" / "dialogues").glob("[ABC]*.txt")):
        number = int(dialogue.name[1:3])
        shown = next((shown for row, _, shown in ROWS if int(row) == number), "")
        patterns = re.findall(r"`(protocol/dialogues/[^`]+)`", shown)
        assert not number or any(dialogue in TESTS.glob(pattern) for pattern in patterns), dialogue.name
