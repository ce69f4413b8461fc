"""What keeps the laboratory from harming the machine it runs on, and two hosts from sharing a disk unseen."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from cluster_lab import cluster as laboratory
from cluster_lab.containment import NAMESPACES, NotContainedError, refuse_unless_contained
from cluster_lab.machine import Machine
from cluster_lab.mail_service import Disk
from cluster_lab.namespaces import NETWORK, Namespaces
from cluster_lab.switch import Switch
from e2e_lab.processes import wait_until

NODE = 77


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc in which process 77 has namespaces of its own, and /proc/sysrq-trigger there is the null device."""
    for process, number in (("self", 1), (str(NODE), 2)):
        (tmp_path / process / "ns").mkdir(parents=True)
        for name in NAMESPACES:
            (tmp_path / process / "ns" / name).symlink_to(f"{name}:[{number}]")
    inside = tmp_path / str(NODE) / "root" / "proc"
    inside.mkdir(parents=True)
    (inside / "sysrq-trigger").symlink_to("/dev/null")
    return tmp_path


def test_a_node_of_its_own_with_a_masked_trigger_is_contained(proc: Path) -> None:
    refuse_unless_contained(NODE, proc)


def test_a_kernel_without_sysrq_needs_no_mask(proc: Path) -> None:
    _trigger(proc).unlink()
    refuse_unless_contained(NODE, proc)


@pytest.mark.parametrize("device", ["", "/dev/zero"])
def test_a_node_that_could_reboot_the_machine_is_refused(proc: Path, device: str) -> None:
    _trigger(proc).unlink()
    if device:
        _trigger(proc).symlink_to(device)
    else:
        _trigger(proc).touch()
    with pytest.raises(NotContainedError, match="sysrq-trigger is not masked"):
        refuse_unless_contained(NODE, proc)


@pytest.mark.parametrize("name", NAMESPACES)
def test_a_node_that_shares_a_namespace_with_the_machine_is_refused(proc: Path, name: str) -> None:
    link = proc / str(NODE) / "ns" / name
    link.unlink()
    link.symlink_to((proc / "self" / "ns" / name).readlink())
    with pytest.raises(NotContainedError, match=f"shares the machine's namespaces: {name}$"):
        refuse_unless_contained(NODE, proc)


def _trigger(proc: Path) -> Path:
    return proc / str(NODE) / "root" / "proc" / "sysrq-trigger"


@pytest.fixture
def real() -> None:
    """Skip where there are no namespaces."""
    if os.geteuid() != 0:
        pytest.skip("no namespaces: they need root")
    if reason := laboratory.missing():
        pytest.skip(f"no cluster: {reason}")


@pytest.mark.usefixtures("real")
def test_a_process_with_a_network_alone_is_no_node(tmp_path: Path) -> None:
    inside = Namespaces(["sleep", "infinity"], NETWORK, tmp_path / "log")
    try:
        with pytest.raises(NotContainedError, match="pid, mnt"):
            refuse_unless_contained(inside.pid)
    finally:
        inside.kill()


KILLED = """
import signal, sys
from pathlib import Path
from cluster_lab.namespaces import NETWORK, Namespaces
inside = Namespaces(["sleep", "infinity"], NETWORK, Path(sys.argv[1]))
beside = inside.start(Path(sys.argv[1]), "sleep", "infinity")
print(inside.pid, beside.pid, flush=True)
signal.pause()
"""


@pytest.mark.usefixtures("real")
def test_tests_that_are_killed_leave_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    words = [sys.executable, "-c", KILLED, str(tmp_path / "log")]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        pids = tests.stdout.readline().split()
        assert all(_runs(pid) for pid in pids)
        tests.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(map(_runs, pids)), "what they started has ended")


def _runs(pid: str) -> bool:
    """Return whether a process runs; one that has ended may still have to be collected by its parent."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def machines(real: None, tmp_path: Path) -> Iterator[list[Machine]]:  # noqa: ARG001 - it may skip
    """Two machines without a cable between them."""
    switch = Switch(IPv4Interface("192.0.2.1/24"), tmp_path / "switch.log")
    both = [Machine(name, tmp_path / name, switch, []) for name in ("hosta", "hostb")]
    try:
        for machine in both:
            machine.boot()
        yield both
    finally:
        for machine in both:
            if machine.running:
                machine.lose_power()
        switch.stop()


def test_a_second_host_that_opens_the_disk_fails_and_is_written_down(machines: list[Machine], tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    first, second = machines
    _open(first, disk)
    with pytest.raises(subprocess.CalledProcessError):
        _open(second, disk)
    assert [line.split()[1:] for line in disk.opened_twice()] == [["hostb", "open", "elsewhere"]]


def test_a_host_without_power_holds_no_disk(machines: list[Machine], tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    first, second = machines
    _open(first, disk)
    first.lose_power()
    _open(second, disk)
    assert not disk.opened_twice()


def _open(machine: Machine, disk: Disk) -> None:
    parameters = [f"OCF_RESKEY_device={disk.top}", "OCF_RESKEY_directory=/run/earmark-disk", "OCF_ROOT=/usr/lib/ocf"]
    machine.run("env", *parameters, "/usr/lib/ocf/resource.d/lab/disk", "start")
