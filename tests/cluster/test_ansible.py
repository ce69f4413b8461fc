"""The roles, in roots entered by chroot: hosts, arbitrator and guest of the example. Services are not started there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_lab.roots.roots import Roots, Run, missing
from earmark.cluster.files import write_files
from earmark.cluster.inventory import load_inventory
from earmark.cluster.render import render

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "deploy" / "ansible"
EXAMPLE = ROOT / "deploy" / "cluster" / "inventory.example.toml"
MACHINES = ("hosta", "hostb", "arbiter", "mail")


class Site:
    """The example's machines, and what Ansible needs for them."""

    def __init__(self, top: Path) -> None:
        self.roots = Roots(top, MACHINES)
        self._top = top
        write_files(render(load_inventory(EXAMPLE)[0]), top / "rendered")
        (top / "machines.json").write_text(json.dumps({"all": {"hosts": self.roots.reached()}}))
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            top / "wheel",
            ROOT,
        ]
        subprocess.run(command, check=True, capture_output=True)

    def play(self, playbook: str) -> Run:
        wheel = next((self._top / "wheel").iterdir())
        return self.roots.play(
            ROLES / playbook,
            [self._top / "rendered" / "cluster" / "ansible.yml", self._top / "machines.json"],
            {"earmark_wheel": str(wheel)},
            within=900,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if reason := missing():
        pytest.skip(reason)
    top = tmp_path_factory.mktemp("ansible")
    yield Site(top)
    subprocess.run(
        ["rm", "-rf", "--one-file-system", top], check=True
    )  # some gigabytes, for which rmtree takes minutes


@pytest.fixture(scope="module")
def first(site: Site) -> Run:
    return site.play("cluster.yml")


def test_all_roles_come_to_their_end(first: Run) -> None:
    assert not first.status, first.output
    assert set(first.recap) == set(MACHINES)
    for machine, counted in first.recap.items():
        assert counted["changed"] > 1, f"{machine}: {counted}"
        assert counted["failed"] == counted["unreachable"] == 0, first.output


def test_a_second_time_nothing_changes(site: Site, first: Run) -> None:
    assert not first.status
    second = site.play("cluster.yml")
    assert not second.status, second.output
    assert second.changed == []
    assert {counted["changed"] for counted in second.recap.values()} == {0}


def test_key_and_certificate_are_the_same_on_both_hosts(site: Site, first: Run) -> None:
    assert not first.status
    one, other = (site.roots.root(host) for host in ("hosta", "hostb"))
    for name in ("etc/corosync/authkey", "etc/corosync/corosync.conf"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert (one / "etc/corosync/authkey").stat().st_mode & 0o777 == 0o400
    asked = ["certutil", "-L", "-d", "/etc/corosync/qdevice/net/nssdb", "-n", "Cluster Cert", "-a"]
    said = {subprocess.run(["chroot", root, *asked], capture_output=True, check=True).stdout for root in (one, other)}
    assert len(said) == 1


def test_no_other_account_can_plant_a_link_where_root_writes(site: Site, first: Run) -> None:
    assert not first.status
    named = {
        place
        for tasks in ROLES.rglob("*.yml")
        for found in re.findall(r"(?:dest|path|chdir|creates|cmd: [^/\n]*): *\"?(/[^\"{}\s,]+)", tasks.read_text())
        for place in (Path(found), Path(found).parent)
    }
    assert Path("/etc/corosync/qnetd/nssdb") in named
    assert len(named) > 10
    for machine in MACHINES:
        root = site.roots.root(machine)
        for directory in {place for below in named for place in (below, *below.parents)}:
            inside = root / directory.relative_to("/")
            if inside.is_dir() and not inside.is_symlink():
                found = inside.stat()
                assert found.st_uid == 0, f"{machine}: {directory}"
                assert not found.st_mode & (0o022 if found.st_gid else 0o002), (
                    f"{machine}: {directory} {found.st_mode:o}"
                )


def test_the_guest_has_a_filter_that_could_start_and_a_postfix_that_asks_it(site: Site, first: Run) -> None:
    assert not first.status
    guest = site.roots.root("mail")
    checked = subprocess.run(
        ["chroot", guest, "earmark", "config", "check"], capture_output=True, text=True, check=False
    )
    assert checked.stdout.startswith("ok: "), checked.stderr
    milters = subprocess.run(
        ["chroot", guest, "postconf", "-h", "smtpd_milters"], capture_output=True, text=True, check=True
    )
    assert "default_action=tempfail" in milters.stdout


def test_what_was_done_is_taken_back(site: Site, first: Run) -> None:
    assert not first.status
    undone = site.play("undo.yml")
    assert not undone.status, undone.output
    guest = site.roots.root("mail")
    assert not (guest / "opt/earmark").exists()
    assert (guest / "etc/earmark/policies").is_dir(), "what nobody can make again stays"
    assert "earmark" not in (guest / "etc/postfix/main.cf").read_text()


def test_the_roles_are_as_ansible_lint_wants_them() -> None:
    command: list[str | Path] = [sys.executable, "-m", "ansiblelint", "--offline", "--nocolor", "-q", ROLES]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not linted.returncode, linted.stdout
