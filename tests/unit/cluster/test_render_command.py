import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from earmark.cli import cluster

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy" / "cluster" / "inventory.example.toml"
APP = typer.Typer()
cluster.register(APP)
APP.command("other")(lambda: None)


def render(inventory: Path, to: Path) -> Result:
    return CliRunner().invoke(APP, ["cluster", "render", str(inventory), "--to", str(to)])


def test_files_are_written_with_their_modes_and_named(tmp_path: Path) -> None:
    done = render(EXAMPLE, tmp_path / "files")
    assert done.exit_code == 0, done.output
    assert "new        hosta/etc/corosync/corosync.conf\n" in done.stdout
    assert "new        cluster/cib.xml\n" in done.stdout
    assert (tmp_path / "files/hosta/usr/local/sbin/earmark-guest-probe").stat().st_mode & 0o777 == 0o755
    assert done.stdout.endswith(" files, 0 of them unchanged\n")


def test_a_second_time_only_what_is_different_is_named(tmp_path: Path) -> None:
    render(EXAMPLE, tmp_path)
    (tmp_path / "hosta/etc/nftables.conf").write_text("flush ruleset\n")
    (tmp_path / "hostc").mkdir()
    (tmp_path / "hostc/file").write_text("")
    done = render(EXAMPLE, tmp_path)
    *lines, last = done.stdout.splitlines()
    assert lines == ["changed    hosta/etc/nftables.conf", "left over  hostc/file"]
    count, _, same, *_ = last.split()
    assert int(same) == int(count) - 1
    assert (tmp_path / "hostc/file").exists()


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("vcpu = 2", "vcpus = 2", "guest.vcpus: unknown setting"),
        ("[arbitrator]\n", "[arbiter]\n", "arbiter: unknown setting"),
        ("memory = 4096 ", "memory = 40960 ", "memory"),
    ],
)
def test_an_inventory_that_is_wrong_is_refused_with_the_place_and_nothing_is_written(
    tmp_path: Path, good: str, bad: str, said: str
) -> None:
    text = EXAMPLE.read_text()
    assert good in text
    inventory = tmp_path / "inventory.toml"
    inventory.write_text(text.replace(good, bad, 1))
    done = render(inventory, tmp_path / "files")
    assert done.exit_code == 1
    assert any(line.startswith(f"{inventory}:") and said in line for line in done.stderr.splitlines()), done.stderr
    assert not (tmp_path / "files").exists()


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = render(EXAMPLE, tmp_path / "file")
    assert done.exit_code == 1
    assert f"{tmp_path / 'file'}: " in done.stderr


@pytest.mark.parametrize("command", ["lint", "render", "check", "simulate"])
def test_without_jinja2_each_command_says_how_to_get_it(command: str) -> None:
    code = "import sys; sys.modules['jinja2'] = None; from earmark.cli.app import app; app(sys.argv[1:])"
    words = [sys.executable, "-c", code, "cluster", command, str(EXAMPLE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "jinja2 is missing: pip install '.[cluster]' where earmark's source is\n"
