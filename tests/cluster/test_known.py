"""deploy/cluster/known.toml against the agents and programs that are installed here."""

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from earmark.cluster.known import agents, fence_agents, known

OCF = Path("/usr/lib/ocf/resource.d")
PACEMAKER = Path("/usr/lib/pacemaker")


def parameters(command: list[str], *, all_of_them: bool) -> set[str]:
    """Return the parameters in a program's metadata: all, or those that must be given and are not deprecated."""
    done = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=60, check=True,
        env={**os.environ, "OCF_ROOT": "/usr/lib/ocf"},
    )  # fmt: skip
    return {
        element.get("name", "")
        for element in ET.fromstring(done.stdout).iter("parameter")  # noqa: S314 - the text of a program of Debian's
        if all_of_them or (element.get("required") == "1" and element.get("deprecated") != "1")
    }


def command_of(agent: str) -> list[str]:
    standard, _, rest = agent.partition(":")
    if standard == "stonith":
        return [f"/usr/sbin/{rest}", "-o", "metadata"]
    provider, _, kind = rest.partition(":")
    return [str(OCF / provider / kind), "meta-data"]


@pytest.mark.parametrize("agent", sorted(agents()))
def test_the_parameters_that_lint_knows_are_those_of_the_agent(agent: str) -> None:
    command = command_of(agent)
    if not Path(command[0]).exists():
        pytest.skip(f"{command[0]} is not installed")
    there = parameters(command, all_of_them=True)
    pacemakers = set(known()["pacemaker"]["device_parameters"])
    optional_here = {"switch", "telnet_path"}  # some agents of a family have them
    assert agents()[agent].parameters - pacemakers - optional_here <= there
    # Pacemaker itself gives `action`, and `plug` where the device is told by pcmk_host_list which host it is for.
    assert parameters(command, all_of_them=False) - {"action", "plug", "username"} <= agents()[agent].required


def test_every_fence_agent_that_is_installed_is_known_by_name() -> None:
    there = {path.name for path in Path("/usr/sbin").glob("fence_*")}
    if not there:
        pytest.skip("fence-agents is not installed")
    assert there <= fence_agents()


@pytest.mark.parametrize("daemon", ["pacemaker-schedulerd", "pacemaker-controld", "pacemaker-based"])
def test_every_cluster_property_of_pacemaker_is_known(daemon: str) -> None:
    program = PACEMAKER / daemon
    if not program.exists():
        pytest.skip(f"{program} is not installed")
    assert parameters([str(program), "metadata"], all_of_them=True) <= set(known()["pacemaker"]["properties"])


def test_every_fencing_parameter_of_pacemaker_is_known() -> None:
    program = PACEMAKER / "pacemaker-fenced"
    if not program.exists():
        pytest.skip(f"{program} is not installed")
    assert parameters([str(program), "metadata"], all_of_them=True) <= set(known()["pacemaker"]["device_parameters"])


def test_the_programs_that_a_drbd_handler_may_name_are_there() -> None:
    if shutil.which("drbdadm", path="/usr/sbin:/sbin") is None:
        pytest.skip("drbd-utils is not installed")
    missing = [name for name in known()["drbd"]["programs"] if not Path("/usr/lib/drbd", name).exists()]
    assert missing == []
