"""The repository holds itself to its own rules (docs/design.md, sections 4 and 5)."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "milter" / "earmark"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PURE_SOURCES = [path for path in SOURCES if path.relative_to(PACKAGE).parts[0] in {"core", "wire"}]
PYTHON = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]

# core and wire turn values into values: nothing here reads a clock, a socket or a file, or draws a random number.
PURE = {
    "__future__", "base64", "binascii", "bisect", "collections", "dataclasses", "datetime", "decimal", "enum",
    "functools", "ipaddress", "itertools", "operator", "re", "string", "struct", "typing",
}  # fmt: skip


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_source_root_is_no_package() -> None:
    assert not (ROOT / "milter" / "__init__.py").exists(), "it would hide pymilter's C module `milter`"


@pytest.mark.parametrize("path", PURE_SOURCES, ids=name_of)
def test_core_and_wire_import_only_what_is_pure(path: Path) -> None:
    own = "earmark.wire" if path.parts[-2] == "wire" else "earmark.core"
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            assert module.startswith(own) or module.partition(".")[0] in PURE, f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= 400, f"{name_of(path)} is over 400 lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{name_of(path)}: {node.name} is over 60 lines"


ONE_FILE_EACH = {
    "aiosmtpd": {"demo"},
    "clamd": {"clients/clamd_health.py"},
    "dkim": {"clients/dkim"},
    "dns": {"clients/dns"},
    "milter": {"fronts/libmilter.py"},
    "Milter": {"fronts/libmilter.py"},
    "msgspec": {"serial.py"},
    "publicsuffixlist": {"config/suffixes.py"},
    "jinja2": {"cluster/templates.py"},
    "pydantic": {"config", "cluster/inventory.py", "cluster/migration/request.py", "cluster/simulate_table.py"},
    "redis": {"stores/redis.py"},
    "spanned_toml": {"config"},
    "sqlite3": {"stores"},
    "uvloop": {"service", "demo", "cli"},
}


def test_each_dependency_stands_behind_one_place() -> None:
    for path in SOURCES:
        imported = set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE))
        for module in imported & ONE_FILE_EACH.keys():
            place = str(path.relative_to(PACKAGE))
            assert any(place.startswith(allowed) for allowed in ONE_FILE_EACH[module]), f"{place} imports {module}"


def _is_fixed(pattern: ast.expr) -> bool:
    """Whether a pattern is written in the code: text, and of what is not text only constants and what is escaped."""
    if isinstance(pattern, ast.JoinedStr):
        inserted = [part.value for part in pattern.values if isinstance(part, ast.FormattedValue)]
        return all(ast.unparse(value).isupper() or ast.unparse(value).startswith("re.escape(") for value in inserted)
    return isinstance(pattern, ast.Constant)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_regular_expression_is_written_in_the_code(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and called.startswith("re.") and called != "re.escape":
            assert _is_fixed(node.args[0]), f"{name_of(path)}:{node.lineno}: a file could bring a slow one"


def test_nobody_replaces_code_under_test() -> None:
    word = "|".join(["unittest" + r"\.mock", "mock" + "er", "monkeypatch" + r"\.setattr", "mock" + r"\.patch"])
    for path in PYTHON:
        assert not re.search(rf"\b({word})\b", path.read_text()), (
            f"{name_of(path)}: a fake is a literal or a small server"
        )


def test_no_note_to_self_is_left() -> None:
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    for path in [*PYTHON, *ROOT.glob("docs/**/*.md"), ROOT / "dev", ROOT / "README.md"]:
        assert not words.search(path.read_text()), name_of(path)


def test_help_starts_fast_because_heavy_modules_are_imported_late() -> None:
    code = "import sys, earmark.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "dns", "aiosmtpd", "uvloop", "sqlite3"} & set(loaded)
