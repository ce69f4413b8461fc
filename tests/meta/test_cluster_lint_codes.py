"""docs/cluster-lint.md explains each code that lint and check can give, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for pattern in ("lint*.py", "check*.py")
    for path in sorted((ROOT / "milter" / "earmark" / "cluster").glob(pattern))
]
POSITION = {"Finding": 1, "found": 1, "finding": 0, "_must_be": 3, "said": 1}
"""Which argument of a call is the code."""


def codes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            position = POSITION.get(called)
            if position is not None and position < len(node.args):
                yield from (
                    one.value
                    for one in ast.walk(node.args[position])
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                )


def test_each_code_is_explained_and_no_other() -> None:
    given = {code for path in SOURCES for code in codes(path)}
    explained = re.findall(r"^\| `([a-z_-]+)` \|", (ROOT / "docs" / "cluster-lint.md").read_text(), re.MULTILINE)
    assert sorted(given) == sorted(explained)
