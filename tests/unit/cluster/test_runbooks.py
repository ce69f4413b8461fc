import re
import subprocess
from pathlib import Path

import pytest

from earmark.cluster.cib import render_cib
from earmark.cluster.inventory import Inventory, load_inventory, read_inventory
from earmark.cluster.render import render
from earmark.cluster.runbooks import NAMES, commands, render_runbooks

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy" / "cluster" / "inventory.example.toml"
GROUP = '[group]\naddress = "192.0.2.25"\ndisk = 40\nmemory = 4096\n'


def _group() -> Inventory:
    text = EXAMPLE.read_text()
    guest = text[text.index("[guest]") : text.index("# Without virtual machines")]
    return read_inventory("inventory.toml", text.replace(guest, GROUP).encode())[0]


SHAPES = {"guest": load_inventory(EXAMPLE)[0], "group": _group()}
ALL = [(shape, name) for shape in SHAPES for name in NAMES]


def runbook(shape: str, name: str) -> str:
    return render_runbooks(SHAPES[shape])[f"cluster/runbooks/{name}.md"].text


@pytest.mark.parametrize(("shape", "name"), ALL)
def test_each_command_names_a_machine_that_there_is_and_is_valid_shell(shape: str, name: str) -> None:
    typed = list(commands(runbook(shape, name)))
    assert typed
    for command in typed:
        assert command.machine in {"here", "hosta", "hostb", "arbiter"} | ({"mail"} if shape == "guest" else set())
        asked = subprocess.run(["sh", "-nc", command.line], capture_output=True, text=True, check=False)
        assert not asked.returncode, f"{command}: {asked.stderr}"


@pytest.mark.parametrize(("shape", "name"), ALL)
def test_each_resource_that_is_named_is_one_of_the_cluster(shape: str, name: str) -> None:
    resources = re.findall(r'<(?:primitive|group|clone) id="([^"]+)"', render_cib(SHAPES[shape]))
    for command in commands(runbook(shape, name)):
        for named in re.findall(r"(?:--resource|--query) (\S+)", command.line):
            assert named in resources, command


def test_the_commands_of_one_section_can_be_had_alone() -> None:
    move = list(commands(runbook("guest", "planned-move"), "Move"))
    assert [command.machine for command in move] == ["hosta", "hosta"]
    assert move[0].line == "crm_standby --node hosta --update on"
    with pytest.raises(KeyError):
        list(commands(runbook("guest", "planned-move"), "Elsewhere"))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_host_is_fenced_by_each_of_its_devices_and_never_by_its_own_hand(shape: str) -> None:
    text = runbook(shape, "fence-test")
    for host in SHAPES[shape].hosts:
        cut = [command for command in commands(text, host.name) if "--reboot" in command.line]
        assert len(cut) == len(host.fencing)
        assert all(command.machine == SHAPES[shape].peer(host.name).name for command in cut)


def test_the_guests_volume_group_is_the_one_that_it_is_built_with() -> None:
    request = render(SHAPES["guest"])["cluster/guest-build.toml"].text
    group = re.search(r'volume_group = "(\w+)"', request)
    assert group
    assert f"--resizefs {group[1]}/root" in runbook("guest", "growing")
