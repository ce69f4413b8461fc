"""The rendered network, taken by a real systemd-networkd in a network namespace of its own."""

import subprocess
from pathlib import Path

import pytest

from earmark.cluster.files import write_files
from earmark.cluster.inventory import load_inventory
from earmark.cluster.namespaces import impossible
from earmark.cluster.render import render

NETWORKD = Path("/lib/systemd/systemd-networkd")
EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "cluster" / "inventory.example.toml"
PLAY = Path(__file__).with_name("rendered_network.sh")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the play showed, by the headings that it prints."""
    if why := impossible() or ("" if NETWORKD.exists() else "no systemd-networkd"):
        pytest.skip(why)
    files = tmp_path_factory.mktemp("network")
    write_files(render(load_inventory(EXAMPLE)[0]), files)
    words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL"]
    words += ["--mount-proc", "sh", str(PLAY), str(files / "hosta/etc/systemd/network")]
    log = files / "log"
    with log.open("w") as output:
        done = subprocess.run(words, stdout=output, stderr=output, stdin=subprocess.DEVNULL, timeout=120, check=False)
    text = log.read_text()
    assert done.returncode == 0, text
    parts = text.split("=== ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def test_the_backplane_has_its_address_while_the_other_host_is_off(seen: dict[str, str]) -> None:
    backplane = next(line for line in seen["the other host is off"].splitlines() if line.startswith("eno2"))
    assert "LOWERLAYERDOWN" in backplane
    assert "10.77.0.1/24" in backplane


def test_addresses_stay_when_the_cables_are_pulled(seen: dict[str, str]) -> None:
    assert "10.77.0.1/24" in seen["cables pulled"]
    assert "192.0.2.11/24" in seen["cables pulled"]


def test_the_bridge_keeps_its_hardware_address_when_guests_come_and_go(seen: dict[str, str]) -> None:
    for heading in ("the other host is off", "a guest has come", "the guest has gone"):
        assert "02:00:c0:00:02:11" in seen[heading].splitlines()[-1]
