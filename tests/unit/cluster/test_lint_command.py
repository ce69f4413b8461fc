from pathlib import Path

from typer.testing import CliRunner, Result

from earmark.cli.app import app
from earmark.cluster.files import write_files
from earmark.cluster.render import render
from fakes.cluster_defects import EXAMPLE, NINE, Change, changed, example


def lint(*words: object) -> Result:
    return CliRunner().invoke(app, ["cluster", "lint", *map(str, words)])


def inventory_file(directory: Path, *changes: Change) -> Path:
    text = EXAMPLE.read_text()
    for change in changes:
        text = text.replace(change.old, change.new, 1)
    path = directory / "inventory.toml"
    path.write_text(text)
    return path


def test_the_example_is_well() -> None:
    done = lint(EXAMPLE)
    assert (done.exit_code, done.stdout) == (0, "")


def test_what_is_refused_is_said_with_its_place_and_code(tmp_path: Path) -> None:
    path = inventory_file(tmp_path, Change("memory = 16384", "memory = 4608"))
    done = lint(path)
    assert done.exit_code == 1
    lines = path.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "4608" in text)
    assert done.stdout.startswith(f"{path}:{line}:1: memory-too-small: hosta has 4608 MiB")


def test_an_inventory_of_which_no_files_can_be_made_is_refused_all_the_same(tmp_path: Path) -> None:
    path = inventory_file(tmp_path, Change('name = "hostb"', 'name = "hosta"'))
    done = lint(path)
    assert done.exit_code == 1
    assert "name-twice" in done.stdout
    done = CliRunner().invoke(app, ["cluster", "render", str(path), "--to", str(tmp_path / "out")])
    assert (done.exit_code, done.exception.__class__, (tmp_path / "out").exists()) == (1, SystemExit, False)
    assert "name-twice" in done.stderr


def test_a_warning_is_said_and_not_refused(tmp_path: Path) -> None:
    done = lint(inventory_file(tmp_path, Change(', "192.0.2.53"', "")))
    assert done.exit_code == 0
    assert ": warning: ping-single: " in done.stdout


def test_files_that_were_edited_are_looked_at(tmp_path: Path) -> None:
    inventory, _ = example(NINE)
    name = "hosta/etc/corosync/corosync.conf"
    write_files(changed(render(inventory), name, Change("token:", "tokn:")), tmp_path / "out")
    done = lint(inventory_file(tmp_path, NINE), "--files", tmp_path / "out")
    assert done.exit_code == 1
    assert any(line.startswith(f"{name}:") and "corosync-key-unknown" in line for line in done.stdout.splitlines())


def test_a_directory_without_files_is_not_called_well(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = lint(EXAMPLE, "--files", empty)
    assert done.exit_code == 1
    assert "file-missing" in done.stdout


def test_a_directory_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    done = lint(EXAMPLE, "--files", tmp_path / "nowhere")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no such directory" in done.stderr


def test_an_inventory_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    done = lint(inventory_file(tmp_path, Change("vcpu = 2", "vcpus = 2")))
    assert done.exit_code == 1
    assert "guest.vcpus: unknown setting" in done.stderr


def test_check_refuses_an_inventory_before_it_starts_anything(tmp_path: Path) -> None:
    path = inventory_file(tmp_path, Change("memory = 16384", "memory = 4608"))
    done = CliRunner().invoke(app, ["cluster", "check", str(path)])
    assert done.exit_code == 1
    assert "memory-too-small" in done.stdout
