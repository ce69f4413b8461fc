"""The table "Faults and attacks" of tests/README.md names what there is, and leaves nothing out."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
TABLE = (TESTS / "README.md").read_text("utf-8").partition("## Faults and attacks")[2]
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+) \|$", TABLE, re.MULTILINE)
SOCKET = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", TABLE, re.MULTILINE)
"""The rows of the milter socket: number, case, both engines, native alone, libmilter instead."""
DIALOGUES = sorted((TESTS / "protocol" / "dialogues").glob("A*.txt"))
NUMBERS = [*range(1, 101), 104, 105, 106, *range(108, 117)]


def _names(cell: str) -> list[str]:
    """Return the files and tests that stand in a cell."""
    return [name for name in re.findall(r"`([^`]+)`", cell) if "/" in name]


NAMED = sorted({name for _, _, shown in ROWS for name in _names(shown)})


def test_each_fault_has_its_row_in_order() -> None:
    assert [int(number) for number, _, _ in ROWS] == NUMBERS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_names_a_test(row: tuple[str, str, str]) -> None:
    assert _names(row[2])


@pytest.mark.parametrize("name", NAMED)
def test_what_the_table_names_exists(name: str) -> None:
    path, _, test = name.partition("::")
    found = list(TESTS.glob(path))
    assert found, f"no such file: tests/{path}"
    if test:
        nodes = ast.walk(ast.parse(found[0].read_text("utf-8")))
        functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test in functions, f"no such test in tests/{path}: {test}"


def _fixtures(name: str) -> set[str]:
    """Return what a test is given."""
    path, _, test = name.partition("::")
    for node in ast.walk(ast.parse((TESTS / path).read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == test:
            return {argument.arg for argument in node.args.args}
    return set()


def test_the_rows_of_the_milter_socket_say_which_engine() -> None:
    assert [int(number) for number, *_ in SOCKET] == list(range(1, 18))
    for number, _, both, native, libmilter in SOCKET:
        assert _names(both) or (_names(native) and _names(libmilter)), number


@pytest.mark.parametrize("name", sorted({name for row in SOCKET for name in _names(row[2])}))
def test_what_stands_under_both_engines_runs_with_both(name: str) -> None:
    if name.startswith("protocol/dialogues/"):
        assert not [one.name for one in TESTS.glob(name) if "[native alone: " in one.read_text("utf-8")]
    elif name.startswith("protocol/lua/"):
        assert "serve" in _fixtures("protocol/test_miltertest.py::test_the_script_runs_through")
    elif name.startswith("e2e/"):
        assert "lab" in _fixtures(name), "the lab is played once more with EARMARK_ENGINE=libmilter"
    else:
        assert _fixtures(name) & {"serve", "both"}, f"{name} takes neither"


@pytest.mark.parametrize("row", SOCKET, ids=lambda row: row[0])
def test_what_libmilter_does_instead_is_shown_with_libmilter(row: tuple[str, ...]) -> None:
    number, _, _, native, instead = row
    tests = [name for name in _names(instead) if "::" in name]
    assert all("libmilter" in name for name in tests)
    words = [
        dialogue.read_text("utf-8").partition("\n")[0]
        for dialogue in DIALOGUES
        if int(dialogue.name[1:3]) == int(number)
    ]
    if any("[native alone: " in word for word in words):
        assert tests, "libmilter does not play a dialogue: what it does instead?"
        assert "protocol/dialogues/" in native
    if any("[libmilter waits]" in word for word in words):
        assert "it waits" in instead


def test_each_dialogue_about_a_fault_stands_in_the_row_of_its_number() -> None:
    for dialogue in sorted((TESTS / "protocol" / "dialogues").glob("[ABC]*.txt")):
        number = int(dialogue.name[1:3])
        shown = next((shown for row, _, shown in ROWS if int(row) == number), "")
        patterns = re.findall(r"`(protocol/dialogues/[^`]+)`", shown)
        assert not number or any(dialogue in TESTS.glob(pattern) for pattern in patterns), dialogue.name
