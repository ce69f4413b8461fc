"""`earmark migrate` as a command, with a tree here as the source and programs that only print their names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = """
schema = 1
name = "mail"
[source]
at = "{tree}"
kind = "xen"
[target]
device = "/dev/drbd0"
size = 4
volume_group = "vg_mail"
kernel = "installed"
mount = "{mount}"
[guest]
mac = "52:54:00:c0:02:25"
"""
PROGRAMS = {
    "blockdev": "echo 4294967296",
    "du": "echo 4194",
    "kpartx": "touch $MARKS/mapped",
    "test": "exit 0",
    "vgscan": "exit 0",
    "vgchange": "exit 0",
    "udevadm": "exit 0",
    "mount": "touch $MARKS/mounted",
    "umount": "rm -f $MARKS/mounted",
    "rsync": 'test ! -e $MARKS/broken || { echo "disk full" >&2; exit 11; }\n'
    'echo "  100 100%  1.00MB/s  0:00:00 (xfr#1, to-chk=0/2)"',
    "findmnt": 'case "$*" in *SOURCE*) test -e $MARKS/mounted && echo /dev/mapper/vg_mail-root;; *) exit 1;; esac',
}
"""What each program does instead; the file system of this machine is not to be mounted anywhere."""


class Command:
    def __init__(self, directory: Path) -> None:
        self.marks = directory / "marks"
        self.file = directory / "migration.toml"
        tree, mount, self.journals, programs = (directory / name for name in ("tree", "mount", "journals", "bin"))
        for path in (self.marks, tree / "etc", mount / "mail", programs):
            path.mkdir(parents=True)
        (tree / "etc" / "fstab").write_text("/dev/xvda1 / ext3 defaults 0 1\n")
        self.file.write_text(FILE.format(tree=tree, mount=mount))
        for name, script in PROGRAMS.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "MARKS": str(self.marks)}

    def __call__(self, *words: str) -> tuple[int, str, str]:
        state = () if words[0] == "plan" else ("--journals", str(self.journals))
        ended = subprocess.run(
            [sys.executable, "-m", "earmark", "migrate", *words, *state, str(self.file)],
            capture_output=True, text=True, env=self.environment, check=False, timeout=60,
        )  # fmt: skip
        return ended.returncode, ended.stdout, ended.stderr

    def events(self) -> list[str]:
        lines = (self.journals / "mail.jsonl").read_text().splitlines()
        return [f"{event['event']} {event.get('step', '')}".strip() for event in map(json.loads, lines)]


@pytest.fixture
def migrate(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_a_plan_is_printed_and_nothing_is_done(migrate: Command) -> None:
    status, printed, _ = migrate("plan")
    assert status == 0
    assert " 1 map: " in printed
    assert "vgchange --quiet --config OPENED --activate y vg_mail" in printed
    assert not list(migrate.marks.iterdir())


def test_what_forbids_a_move_ends_it_before_it_begins(migrate: Command) -> None:
    migrate.file.write_text(migrate.file.read_text().replace("/tree", "/elsewhere"))
    status, printed, _ = migrate("plan")
    assert status == 1
    assert "source-unreachable" in printed
    assert "GiB" not in printed, "what was not seen is not called empty"
    status, _, said = migrate("run")
    assert status == 1
    assert "source-unreachable" in said
    assert "nothing has been done" in said


def test_a_run_goes_to_the_end_and_a_second_has_nothing_to_do(migrate: Command) -> None:
    status, printed, said = migrate("run")
    assert status == 0, said
    assert "all steps are done" in printed
    assert "100 %" in printed
    assert migrate.events()[-1] == "done unmap"
    before = migrate.events()
    assert migrate("run")[0] == 0
    assert migrate.events() == before


def test_a_dry_run_says_what_is_left(migrate: Command) -> None:
    assert migrate("run", "--until", "mount")[0] == 0
    status, printed, _ = migrate("run", "--dry-run")
    assert status == 0
    assert "3 mount: is done" in printed
    assert "4 first-copy: while the source goes on" in printed
    assert migrate.events()[-1] == "done mount"


def test_a_dry_run_before_anything_leaves_no_plan_behind(migrate: Command) -> None:
    assert migrate("run", "--dry-run")[0] == 0
    assert migrate.events() == []


def test_a_step_that_fails_says_what_may_help_and_a_second_run_goes_on(migrate: Command) -> None:
    (migrate.marks / "broken").touch()
    status, _, said = migrate("run")
    assert status == 1
    assert "first-copy: " in said
    assert "ended with status 11:\ndisk full" in said
    assert "goes on here; earmark migrate undo" in said
    (migrate.marks / "broken").unlink()
    assert migrate("run")[0] == 0
    assert [event for event in migrate.events() if event.endswith(" map")] == ["begin map", "done map"]


def test_undo_unmounts_and_says_what_stays(migrate: Command) -> None:
    migrate("run", "--until", "first-copy")
    assert (migrate.marks / "mounted").exists()
    status, printed, said = migrate("undo")
    assert status == 0, said
    assert "stays until you delete it" in printed
    assert not (migrate.marks / "mounted").exists()


def test_a_step_that_there_is_not_is_wrong_use(migrate: Command) -> None:
    status, _, said = migrate("run", "--until", "mont")
    assert status == 2
    assert "there is no step mont: map, activate, mount" in said


def test_verify_says_what_it_could_not_look_at(migrate: Command) -> None:
    status, printed, _ = migrate("verify")
    assert status == 0
    assert "log: not looked at" in printed


def test_a_file_with_a_mistake_is_told_with_its_place(migrate: Command) -> None:
    migrate.file.write_text(migrate.file.read_text().replace('kind = "xen"', 'kind = "vmware"'))
    status, _, said = migrate("plan")
    assert status == 1
    assert "migration.toml:6:1: source.kind: must be one of xen, kvm, physical" in said
