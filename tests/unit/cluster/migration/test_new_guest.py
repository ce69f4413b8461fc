"""A guest that begins empty: the same disk and boot loader, and no source. EARMARK_UPDATE=1 writes the plan anew."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from earmark.cluster.inventory import load_inventory, read_inventory
from earmark.cluster.lint_inventory import LEAST_GUEST_DISK
from earmark.cluster.migration.actions import Command, Plan, Step
from earmark.cluster.migration.edits_new import hostname, security
from earmark.cluster.migration.execution import Machines
from earmark.cluster.migration.facts import Answer, Facts, read_facts
from earmark.cluster.migration.journal import State
from earmark.cluster.migration.preflight import preflight
from earmark.cluster.migration.probes import probes
from earmark.cluster.migration.progress import Progress
from earmark.cluster.migration.request import Request, read_request
from earmark.cluster.migration.runner import Ended, Runner
from earmark.cluster.migration.shown import shown_plan
from earmark.cluster.migration.steps import plan_of
from earmark.cluster.migration.verify import checks
from earmark.cluster.render import render
from earmark.config.problems import ConfigError
from fakes.migration import EXAMPLE, GIB, WHEEZY, CrashError, Lab, Memory

EXPECTED = Path(__file__).parent / "new_guest.expected"
INVENTORY = EXAMPLE.with_name("inventory.example.toml")
TEXT = render(load_inventory(INVENTORY)[0])["cluster/guest-build.toml"].text
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExample admin@example.org\n"
HOST: Mapping[str, str] = {
    "machine": "x86_64\n",
    "tools": WHEEZY["tools"],
    "keys": KEY,
    "files": "hosts\nsystemd\n",
}


def request(*changes: tuple[str, str]) -> Request:
    text = TEXT
    for good, bad in changes:
        assert good in text
        text = text.replace(good, bad, 1)
    return read_request("guest-build.toml", text.encode())


def facts(asked: Request, **changes: str | None) -> Facts:
    texts = {**HOST, **changes}
    return read_facts(asked, {name: Answer(1 if text is None else 0, text or "") for name, text in texts.items()})


def plan() -> Plan:
    return plan_of(request(), facts(request()))


class Silent:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, step: Step, what: str) -> None:
        pass

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, progress: Progress) -> None:
        pass


def host() -> Lab:
    """A host whose replicated disk is up to date and empty, as the role "storage" leaves it."""
    lab = Lab()
    lab.disk |= {"volume", "metadata", "first data"}
    return lab


def run(lab: Lab, journal: Memory, until: str = "") -> Ended:
    return Runner(plan(), lab, journal, Silent()).run(until=until)


def test_the_example_of_an_inventory_becomes_this_plan() -> None:
    seen = facts(request())
    text = "".join(f"{line}\n" for line in shown_plan(request(), seen, preflight(request(), seen, plan()), plan()))
    if os.environ.get("EARMARK_UPDATE"):
        EXPECTED.write_text(text)
    assert text == EXPECTED.read_text()


def test_nobody_is_asked_stopped_or_copied() -> None:
    asked = [*probes(request()).values()]
    asked += [action for step in plan() for action in step.actions if isinstance(action, Command)]
    assert {command.on for command in asked} == {"here"}
    assert not any(step.outage for step in plan())
    assert not {"first-copy", "final-copy", "stop-mta", "hold-source"} & {step.name for step in plan()}


def test_the_boot_loader_sees_the_rendered_console_and_the_disk_is_let_go_last() -> None:
    order = [step.name for step in plan()]
    wanted = ["mount", "skeleton", "files", "machine", "access", "initramfs", "boot-loader", "leave", "unmap"]
    assert [name for name in order if name in wanted] == wanted
    assert order[-1] == "unmap"


def test_a_definition_has_it_started_too() -> None:
    asked = request(("[guest]\n", '[guest]\ndomain = "/etc/pacemaker/mail.xml"\n'))
    assert [step.name for step in plan_of(asked, facts(asked))][-2:] == ["define", "boot"]


def test_without_rendered_files_none_are_laid_over_it() -> None:
    asked = request(('files = "/var/lib/earmark-guest/files"\n', ""))
    assert "files" not in {step.name for step in plan_of(asked, facts(asked))}
    assert "files" not in probes(asked)


@pytest.mark.parametrize("restarted", [False, True], ids=["process", "host"])
@pytest.mark.parametrize("happened", [False, True], ids=["before", "after"])
def test_a_crash_at_any_change_and_going_on_gives_the_same_guest(*, happened: bool, restarted: bool) -> None:
    whole = host()
    assert run(whole, Memory()) == Ended("unmap")
    assert whole.memory == {"up", "primary"}
    for number in range(whole.changes):
        lab, journal = host(), Memory()
        lab.crash_at = (number, happened)
        with pytest.raises(CrashError):
            run(lab, journal)
        lab.crash_at = None
        if restarted:
            lab.restart()
        assert run(lab, journal).why == "", number
        assert lab.disk == whole.disk, number
        assert not lab.memory - {"up", "primary"}, number
    assert whole.changes > 25


@pytest.mark.parametrize("step", plan(), ids=lambda step: step.name)
def test_undo_lets_the_disk_go_and_deletes_nothing_and_it_can_be_begun_again(step: Step) -> None:
    whole, lab, journal, heard = host(), host(), Memory(), Silent()
    run(whole, Memory())
    assert run(lab, journal, until=step.name).step == step.name
    done = len(lab.ran)
    assert Runner(plan(), lab, journal, heard).undo().why == ""
    assert not lab.memory - {"up"}
    assert not {line.split()[1] for line in lab.ran[done:]} & {"lvremove", "wipefs", "vgremove", "pvremove", "rm", "dd"}
    if "partition" in lab.disk:
        assert "partition stays; by hand: wipefs --all /dev/drbd0" in heard.lines
    assert run(lab, journal).why == ""
    assert lab.disk == whole.disk


def test_a_debootstrap_that_was_broken_off_is_begun_anew_and_one_that_ended_is_left_as_it_is(tmp_path: Path) -> None:
    kernel = 'kernel = "debootstrap"\n'
    asked = request((kernel, f'{kernel}mount = "{tmp_path}"\n'))
    steps = tuple(step for step in plan_of(asked, facts(asked)) if step.name == "afresh")
    root = tmp_path / "mail"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "hostname").touch()
    journal = Memory()
    assert Runner(steps, Machines({}), journal, Silent()).run() == Ended("afresh")
    assert (root / "etc" / "hostname").exists()
    (root / "debootstrap").mkdir()
    (root / "debootstrap" / "debootstrap.log").touch()
    assert Runner((*steps, Step("skeleton", "", ())), Machines({}), journal, Silent()).run() == Ended("skeleton")
    assert list(root.iterdir()) == []


def test_a_disk_that_holds_something_is_not_written_to() -> None:
    lab = host()
    lab.fails = lambda words: Answer(0, "ext4") if words == "here: blkid --probe /dev/drbd0" else None
    ended = run(lab, Memory())
    assert ended.step == "partition"
    assert "partition" not in lab.disk


def test_the_example_has_nothing_against_it() -> None:
    assert preflight(request(), facts(request()), plan()) == []


@pytest.mark.parametrize(("size", "fits"), [(LEAST_GUEST_DISK - 1, False), (LEAST_GUEST_DISK, True)])
def test_the_least_disk_that_lint_lets_pass_is_the_least_that_is_begun_with(*, size: int, fits: bool) -> None:
    asked = request(("size = 40", f"size = {size}"))
    known = facts(asked, device=f"{size * GIB}\n")
    found = {finding.code for finding in preflight(asked, known, plan_of(asked, known))}
    assert ("disk-too-small" not in found) is fits


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"keys": None}, "no-key"),
        ({"keys": "# ssh-ed25519 AAAAC3Nz\n"}, "no-key"),
        ({"keys": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n"}, "no-key"),
        ({"files": None}, "no-files"),
        ({"machine": "aarch64\n"}, "architecture-here"),
        ({"device": f"{2 * GIB}\n"}, "disk-too-small"),
        ({"tools": "/sbin/rsync\n"}, "no-tool"),
    ],
)
def test_what_stands_against_a_guest_is_found(changes: dict[str, str | None], code: str) -> None:
    found = preflight(request(), facts(request(), **changes), plan())
    assert {finding.code for finding in found if finding.refuses} == {code}


@pytest.mark.parametrize("kind", ["ssh-rsa AAAAB3Nz", 'from="192.0.2.0/24" sk-ssh-ed25519@openssh.com AAAAGnNr'])
def test_each_kind_of_key_is_one(kind: str) -> None:
    assert facts(request(), keys=f"# ours\n{kind}\n").keys


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ('kind = "new"', 'kind = "new"\nat = "root@192.0.2.25"', "source: a new guest comes from nowhere"),
        ('kind = "new"', 'kind = "kvm"', "source: at is missing"),
        ('kind = "new"', 'kind = "kvm"\nat = "/srv/old"', 'source: files and authorized_keys are for kind = "new"'),
        ('authorized_keys = "/var/lib/earmark-guest/authorized_keys"\n', "", "source: authorized_keys is missing"),
        ('kernel = "debootstrap"', 'kernel = "source"', 'a new guest has [target] kernel = "debootstrap"'),
        ('volume_group = "vg_mail"', 'volume_group = "vg-mail"', "target.volume_group: "),
    ],
)
def test_what_is_wrong_with_a_file_is_said(good: str, bad: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        request((good, bad))
    assert any(said in line for line in raised.value.lines), raised.value.lines


def test_a_hyphen_in_the_guests_name_is_none_in_its_volume_group() -> None:
    text = INVENTORY.read_text().replace('name = "mail"', 'name = "mail-in"')
    written = render(read_inventory("inventory.toml", text.encode())[0])["cluster/guest-build.toml"].text
    assert read_request("guest-build.toml", written.encode()).target.volume_group == "vg_mail_in"


def test_of_a_new_guest_the_network_alone_is_looked_at() -> None:
    lab = Lab()
    found = list(checks(request(), facts(request()), State(), lab))
    assert [(check.name, check.well) for check in found] == [("network", True)]
    lab.fails = lambda words: Answer(1, "") if "ping" in words else None
    assert [check.well for check in checks(request(), facts(request()), State(), lab)] == [False]


def test_its_name_and_its_updates_do_not_depend_on_what_stood_there() -> None:
    for before in ("", "hosta\n"):
        assert hostname(before, name="mail") == "mail\n"
        line = "deb https://deb.debian.org/debian-security bookworm-security main\n"
        assert security(before, mirror="https://deb.debian.org/debian-security", suite="bookworm") == line


@pytest.mark.skipif(not shutil.which("rsync"), reason="needs rsync")
def test_files_and_keys_have_the_modes_that_sshd_and_networkd_want(tmp_path: Path) -> None:
    files, mount, keys = tmp_path / "files", tmp_path / "mnt", tmp_path / "authorized_keys"
    (files / "etc" / "systemd").mkdir(parents=True, mode=0o700)
    (files / "etc" / "systemd" / "10.network").write_text("[Match]\n")
    (files / "etc" / "systemd" / "10.network").chmod(0o600)
    (mount / "mail" / "etc").mkdir(parents=True)
    (mount / "mail" / "root").mkdir()
    (mount / "mail" / "etc" / "fstab").write_text("theirs\n")
    keys.write_text(KEY)
    asked = request(
        ("/var/lib/earmark-guest/files", str(files)),
        ("/var/lib/earmark-guest/authorized_keys", str(keys)),
        ('kernel = "debootstrap"', f'kernel = "debootstrap"\nmount = "{mount}"'),
    )
    wanted = {step.name: step.actions for step in plan_of(asked, facts(asked))}
    for action in (*wanted["files"], *wanted["access"][:2]):
        assert isinstance(action, Command)
        assert Machines({}).run(action).status == 0
    root = mount / "mail"
    modes = {name: (root / name).stat().st_mode & 0o777 for name in ("etc", "etc/systemd", "etc/systemd/10.network")}
    assert modes == {"etc": 0o755, "etc/systemd": 0o755, "etc/systemd/10.network": 0o644}
    assert (root / "etc/fstab").read_text() == "theirs\n"
    assert (root / "root/.ssh/authorized_keys").read_text() == KEY
    assert (root / "root/.ssh").stat().st_mode & 0o777 == 0o700


def test_a_new_guest_that_has_been_started_is_not_undone(tmp_path: Path) -> None:
    file = tmp_path / "guest-build.toml"
    file.write_text(TEXT.replace("[guest]\n", '[guest]\ndomain = "/etc/pacemaker/mail.xml"\n'))
    events = [
        {"v": 1, "event": "seen", "answers": {"machine": [0, "x86_64\n", ""]}},
        {"v": 1, "event": "done", "step": "boot", "digest": "0"},
    ]
    (tmp_path / "mail.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    words = [sys.executable, "-m", "earmark", "migrate", "undo", "--journals", str(tmp_path), str(file)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "has nothing to go back to" in ended.stderr
