"""Real processes, real files, a real rsync; below a private directory."""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from earmark.cluster.migration import edits
from earmark.cluster.migration.actions import Command, Edit, Link, Remove
from earmark.cluster.migration.execution import Machines
from earmark.cluster.migration.processes import MOST_OUTPUT, TIMED_OUT, Last
from earmark.cluster.migration.progress import Progress, parse
from earmark.cluster.migration.request import Request
from earmark.cluster.migration.runner import Runner
from earmark.cluster.migration.ssh import by_ssh, rsync_source
from earmark.cluster.migration.steps import plan_of
from fakes.migration import Memory, example, facts

HERE = Machines({})


def upper(text: str) -> str:
    return text.upper()


def test_a_command_says_how_it_ended_and_what_it_printed() -> None:
    assert HERE.run(Command(("sh", "-c", "cat; echo no >&2; exit 3"), stdin="yes")) == (3, "yes", "no\n")


def test_a_program_that_is_not_there_is_said() -> None:
    answer = HERE.run(Command(("no-such-program",)))
    assert (answer.status, answer.errors) == (127, "no-such-program: No such file or directory")


def test_a_command_ends_by_its_deadline() -> None:
    assert HERE.run(Command(("sleep", "600"), seconds=0.2)).status == TIMED_OUT


def test_what_is_heard_ends_by_its_deadline_too() -> None:
    heard: list[str] = []
    answer = HERE.run(Command(("sh", "-c", "echo begun; exec sleep 600"), seconds=0.5), heard.append)
    assert answer == (TIMED_OUT, "", "did not end within 0.5 s")


def test_of_an_endless_stream_the_last_part_is_kept_and_no_more_is_held() -> None:
    last = Last(4)
    for piece in (b"abc", b"defgh", b"ij", b"klmnopqrstuvwxyz"):
        last.add(piece)
    assert last.kept == b"wxyz"


def test_a_command_that_prints_without_measure_keeps_how_it_ended() -> None:
    script = f"head -c {2 * MOST_OUTPUT + 1000} /dev/zero | tr '\\0' x; echo the end; exit 3"
    answer = HERE.run(Command(("sh", "-c", script)))
    assert answer.status == 3
    assert answer.output.endswith("xxthe end\n")
    assert len(answer.output) == MOST_OUTPUT


def test_what_is_written_to_a_command_that_does_not_read_is_not_waited_for() -> None:
    assert HERE.run(Command(("true",), stdin="x" * 1_000_000)).status == 0
    assert HERE.run(Command(("wc", "-c"), stdin="x" * 1_000_000)).output == "1000000\n"


def test_output_that_is_no_text_comes_back_whole() -> None:
    answer = HERE.run(Command(("printf", r"\351\n")))
    assert answer.output.encode("utf-8", "surrogateescape") == b"\xe9\n"


def test_lines_that_are_written_over_are_heard_one_by_one() -> None:
    heard: list[str] = []
    HERE.run(Command(("printf", r"1\r2\r3\nrest")), heard.append)
    assert [line for line in heard if line] == ["1", "2", "3"]


WORDS = ("printf", "%s|", "a b", "it's", '"', "$HOME", "`id`", "*", "", "a;b", "\\", "ü", "-n", "--", "\n")


def test_each_word_reaches_the_other_machine_as_it_is() -> None:
    *ssh, line = by_ssh("root@198.51.100.25", WORDS)
    assert ssh[-2:] == ["--", "root@198.51.100.25"]
    remote = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert remote.stdout.decode() == "".join(f"{word}|" for word in WORDS[2:])


def test_rsync_uses_the_same_ssh() -> None:
    shell, place = rsync_source("root@198.51.100.25")
    assert shell.startswith("--rsh=ssh ")
    assert "BatchMode=yes" in shell
    assert place == "root@198.51.100.25:/"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    return tmp_path / "root"


def test_an_edit_keeps_mode_and_bytes(root: Path) -> None:
    path = root / "etc" / "f"
    path.write_bytes(b"caf\xe9\n")
    path.chmod(0o640)
    assert HERE.change(Edit(str(root), "/etc/f", upper)) == ""
    assert path.read_bytes() == b"CAF\xe9\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (root / "etc").iterdir()] == ["f"]


def test_a_file_that_is_not_there_is_made_only_where_that_is_meant(root: Path) -> None:
    assert HERE.change(Edit(str(root), "/etc/f", edits.securetty)) == ""
    assert not (root / "etc" / "f").exists()
    assert HERE.change(Edit(str(root), "/etc/d/f", edits.securetty, create=True)) == ""
    assert (root / "etc" / "d" / "f").read_text() == "ttyS0\n"


@pytest.mark.parametrize("link", ["/etc", "../../outside"])
def test_a_link_that_leads_out_of_the_copy_is_not_followed(root: Path, tmp_path: Path, link: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "fstab").write_text("ours\n")
    (root / "etc" / "sub").symlink_to(tmp_path / "outside" if link == "/etc" else link)
    why = HERE.change(Edit(str(root), "/etc/sub/fstab", upper))
    assert "a link leads out of" in why
    assert "a link leads out of" in HERE.change(Link(str(root), "/etc/sub/x", "/y"))
    assert "a link leads out of" in HERE.change(Remove(str(root), "/etc/sub/fstab"))
    assert (tmp_path / "outside" / "fstab").read_text() == "ours\n"


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "ours").write_text("ours\n")
    (root / "etc" / "fstab").write_text("a\n")
    (root / "etc" / ".fstab.earmark").symlink_to(tmp_path / "ours")
    assert HERE.change(Edit(str(root), "/etc/fstab", upper)) == ""
    assert (root / "etc" / "fstab").read_text() == "A\n"
    assert (tmp_path / "ours").read_text() == "ours\n"


def test_a_pipe_in_the_place_of_a_file_is_said_and_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "etc" / "fstab")
    assert "not a plain file" in HERE.change(Edit(str(root), "/etc/fstab", upper))


def test_a_link_within_the_copy_is_followed(root: Path) -> None:
    (root / "etc" / "real").write_text("a\n")
    (root / "etc" / "f").symlink_to("real")
    assert HERE.change(Edit(str(root), "/etc/f", upper)) == ""
    assert (root / "etc" / "real").read_text() == "A\n"
    assert (root / "etc" / "f").is_symlink()


def test_links_are_made_and_files_removed_again_and_again(root: Path) -> None:
    for _ in range(2):
        assert HERE.change(Link(str(root), "/etc/a/b", "/lib/b")) == ""
        assert (root / "etc" / "a" / "b").readlink() == Path("/lib/b")
    for _ in range(2):
        assert HERE.change(Remove(str(root), "/etc/a/b")) == ""


class Silent:
    def __init__(self) -> None:
        self.heard: list[Progress] = []

    def step(self, *_: object) -> None:
        pass

    def line(self, text: str) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        self.heard.append(progress)


def xen_tree(tree: Path) -> None:
    for name in (
        "etc/network",
        "etc/udev/rules.d",
        "dev/pts",
        "proc/1",
        "sys/block",
        "run/lock",
        "var/spool",
        "swapdir",
        "lib",
    ):
        (tree / name).mkdir(parents=True)
    (tree / "etc/fstab").write_text("/dev/xvda1 / ext3 errors=remount-ro 0 1\n/swapdir/swap none swap sw 0 0\n")
    (tree / "etc/inittab").write_text("id:2:initdefault:\nhvc0:2345:respawn:/sbin/getty 38400 hvc0\n")
    rule = 'SUBSYSTEM=="net", ATTR{address}=="00:16:3e:11:22:33", NAME="eth0"\n'
    (tree / "etc/udev/rules.d/70-persistent-net.rules").write_text(rule)
    for name in ("dev/console", "dev/sda", "dev/pts/0", "proc/1/maps", "sys/block/x", "run/lock/x", "swapdir/swap"):
        (tree / name).write_text(name)
    (tree / "var/spool/mail").write_text("mail\n")
    os.link(tree / "var/spool/mail", tree / "var/spool/hard")
    if os.geteuid() == 0:
        os.chown(tree / "var/spool/mail", 4711, 4712)


def copying(request: Request) -> tuple[Runner, Memory, Silent]:
    """Return a runner of the steps that need no disk: the copies and the edits."""
    steps = plan_of(request, facts(request, fstab=Path(request.source.at, "etc/fstab").read_text()))
    record, heard = Memory(), Silent()
    wanted = {"first-copy", "final-copy", "fstab", "console", "network"}
    return Runner(tuple(step for step in steps if step.name in wanted), Machines({}), record, heard), record, heard


@pytest.mark.skipif(not shutil.which("rsync") or not shutil.which("findmnt"), reason="needs rsync and findmnt")
def test_a_xen_tree_is_copied_and_told_of_its_new_machine(tmp_path: Path) -> None:
    tree, mount = tmp_path / "xen", tmp_path / "mnt"
    xen_tree(tree)
    request = example(
        at=f'at = "{tree}"',
        kernel=f'kernel = "outside"\nmount = "{mount}"',
    )
    copy = mount / "mail"
    copy.mkdir(parents=True)
    runner, _, heard = copying(request)
    assert runner.run(until="first-copy").why == ""
    assert heard.heard
    mail = (copy / "var/spool/mail").stat()
    assert mail.st_nlink == 2
    assert os.geteuid() != 0 or (mail.st_uid, mail.st_gid) == (4711, 4712)
    (tree / "var/spool/new").write_text("new")
    (tree / "var/spool/hard").unlink()
    (copy / "proc/kept").write_text("not looked at")
    assert runner.run().why == ""
    found = {str(path.relative_to(copy)) for path in copy.rglob("*") if not path.is_dir()}
    assert found == {
        "dev/console", "etc/fstab", "etc/inittab", "etc/sysctl.d/60-earmark-arp.conf", "proc/kept", "var/spool/mail",
        "etc/udev/rules.d/70-persistent-net.rules", "var/spool/new",
    }  # fmt: skip
    assert (copy / "etc/fstab").read_text().startswith("/dev/mapper/vg_mail-root / ext4 errors=remount-ro 0 1\n")
    assert "\nT0:2345:respawn:/sbin/getty -L ttyS0" in (copy / "etc/inittab").read_text()
    assert "52:54:00:c0:02:25" in (copy / "etc/udev/rules.d/70-persistent-net.rules").read_text()
    assert "00:16:3e" in (tree / "etc/udev/rules.d/70-persistent-net.rules").read_text()


@pytest.mark.skipif(not shutil.which("rsync"), reason="needs rsync")
def test_what_rsync_prints_here_is_understood(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_bytes(bytes(3_000_000))
    read: list[Progress | None] = []
    words = ("rsync", "-a", "--info=progress2", "--no-inc-recursive", f"{tmp_path}/a/", f"{tmp_path}/b/")
    assert HERE.run(Command(words, shows_progress=True), lambda line: read.append(parse(line))).status == 0
    progress = [found for found in read if found]
    assert progress[-1].done == 3_000_000
    assert progress[-1].percent == 100


def test_an_edit_is_named_by_its_function_and_what_it_is_given() -> None:
    change = partial(edits.net_link, interface="eth0", mac="52:54:00:c0:02:25")
    assert str(Edit("/m", "/etc/x", change)) == "edit /m/etc/x: net_link(interface=eth0, mac=52:54:00:c0:02:25)"
