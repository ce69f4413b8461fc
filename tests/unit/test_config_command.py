"""`earmark config`: check, show, init."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from earmark.cli import config
from earmark.config import load, shipped

APP = typer.Typer()
config.register(APP)
APP.command("other")(lambda: None)


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(APP, ["config", *map(str, arguments)])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "earmark"
    assert _run("init", made).exit_code == 0
    return made


def _write_domain(directory: Path, text: str) -> None:
    (directory / "policies/domains/example.org.toml").write_text(text)


def test_what_init_writes_is_ok(directory: Path) -> None:
    checked = _run("check", "-c", directory)
    generation = load(directory)
    assert checked.exit_code == 0
    counts = f"1 policy, 0 domains, {len(generation.zones)} lists, {len(generation.tests)} tests"
    assert checked.stdout == f"ok: {counts}, generation {generation.id[:12]}\n"
    assert generation.id == load(shipped()).id


def test_libmilter_without_pymilter_is_one_line_that_says_what_to_install(directory: Path, tmp_path: Path) -> None:
    server = directory / "policies/server.toml"
    server.write_text(server.read_text().replace('# engine = "native"', 'engine = "libmilter"'))
    (tmp_path / "milter.py").write_text('raise ImportError("not built")')
    command = [sys.executable, "-m", "earmark", "config", "check", "-c", str(directory)]
    checked = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False, cwd="/"
    )
    assert checked.returncode == 1
    (line,) = checked.stderr.splitlines()
    assert line.startswith("policies/server.toml:")
    assert "milter.engine: pymilter is not here (not built): install gcc, libmilter-dev and python3-dev" in line


def test_init_overwrites_nothing(directory: Path) -> None:
    (directory / "rules/zones.toml").unlink()
    (directory / "policies/server.toml").write_text("mine")
    again = _run("init", directory)
    assert again.exit_code == 1
    assert again.stderr.endswith("exists; nothing was copied\n")
    assert not (directory / "rules/zones.toml").exists()
    assert (directory / "policies/server.toml").read_text() == "mine"


def test_check_prints_every_problem_to_stderr_and_fails(directory: Path) -> None:
    _write_domain(directory, 'domains = ["example.org"]\nrefuse_att = 9\nmark_at = nan\n')
    checked = _run("check", "--config", directory)
    assert checked.exit_code == 1
    assert checked.stdout == ""
    assert checked.stderr.splitlines() == [
        'policies/domains/example.org.toml:2:1: refuse_att: unknown setting; did you mean "refuse_at"?',
        "policies/domains/example.org.toml:3:1: mark_at: must be a finite number, not NaN",
    ]


def test_check_warns_of_files_that_everybody_can_change(directory: Path) -> None:
    (directory / "policies/default.toml").chmod(0o666)
    checked = _run("check", "-c", directory)
    assert checked.exit_code == 0
    assert "policies/default.toml can be changed by everybody" in checked.stderr


def test_what_show_prints_is_toml_with_the_values_of_default_toml(directory: Path) -> None:
    shown = tomllib.loads(_run("show", "-c", directory).stdout)
    written = tomllib.loads((directory / "policies/default.toml").read_text())
    assert shown.pop("server")["milter"]["listen"] == ["inet:127.0.0.1:8890"]
    for section in ("listings", "domain_listings", "received"):
        assert written[section].pop("weights") == {}
    assert written.pop("test")
    assert shown == written


def test_show_prints_the_policy_of_a_domain_with_the_origin_of_each_value(directory: Path) -> None:
    _write_domain(directory, 'domains = ["*.example.org"]\n\nmark_at = 4\n[listings]\nweights.ZEN_PBL = 1\n')
    lines = _run("show", "-c", directory, "--domain", "Mail.Example.ORG", "--origin").stdout.splitlines()
    assert lines[0] == "# the policy for Mail.Example.ORG: *.example.org"
    assert "mark_at = 4.00  # policies/domains/example.org.toml:3" in lines
    assert "ZEN_PBL = 1.00  # policies/domains/example.org.toml:5" in lines
    assert any(line.startswith("refuse_at = 8.00  # policies/default.toml:") for line in lines)


@pytest.mark.parametrize("domain", ["bad domain", "bob@example.org", "*", "-.example"])
def test_show_refuses_what_is_no_domain(directory: Path, domain: str) -> None:
    refused = _run("show", "-c", directory, "--domain", domain)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f'--domain: "{domain}" is not a domain name')


def test_show_n_prints_only_what_differs(directory: Path) -> None:
    _write_domain(directory, 'domains = ["example.org"]\nmark_at = 5.00\nmode = "mark"\n[helo]\nours = 0.00\n')
    shown = _run("show", "-c", directory, "--domain", "example.org", "-n").stdout
    assert shown == '# the policy for example.org: example.org\nmode = "mark"\n\n[helo]\nours = 0.00\n'
    assert _run("show", "-n", "-c", directory).stdout == '[server.site]\ndomains = ["example.org"]\n'


def test_show_prints_the_servers_mode_where_it_is_milder(directory: Path) -> None:
    server = directory / "policies/server.toml"
    server.write_text('schema = 1\nmode = "observe"\n')
    shown = _run("show", "-c", directory, "--domain", "example.org", "--origin").stdout
    assert 'mode = "observe"  # policies/server.toml:2' in shown
