from pathlib import Path
from typing import Any

import pytest
import yaml

from earmark.cluster.inventory import load_inventory, read_inventory
from earmark.cluster.playbook import render_playbook
from earmark.cluster.render import render

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
INVENTORIES = {"guest": ROOT / "deploy" / "cluster" / "inventory.example.toml", "group": HERE / "group.toml"}


def children(name: str) -> dict[str, dict[str, Any]]:
    machines: dict[str, dict[str, Any]]
    machines = yaml.safe_load(render_playbook(load_inventory(INVENTORIES[name])[0]))["all"]["children"]
    return machines


def test_a_guest_is_a_machine_with_contents() -> None:
    machines = children("guest")
    assert list(machines["cluster_hosts"]["hosts"]) == ["hosta", "hostb"]
    assert list(machines["arbitrator"]["hosts"]) == ["arbiter"]
    assert machines["guest"]["hosts"]["mail"]["earmark_contents"] == ["clamd", "spamd", "unbound"]
    assert "group" not in machines


def test_units_of_a_group_are_on_both_hosts_and_left_to_the_cluster() -> None:
    machines = children("group")
    assert set(machines["group"]["hosts"]) == set(machines["cluster_hosts"]["hosts"])
    assert machines["group"]["vars"]["earmark_starts"] is False
    assert machines["group"]["vars"]["earmark_contents"] == ["unbound"]
    assert "guest" not in machines
    assert "arbitrator" not in machines


@pytest.mark.parametrize("name", INVENTORIES)
def test_each_thing_that_can_be_contained_has_its_role_and_its_undo(name: str) -> None:
    playbook = (ROOT / "deploy" / "ansible" / "cluster.yml").read_text()
    for machine in children(name).values():
        for settings in [machine.get("vars", {}), *machine["hosts"].values()]:
            for role in (settings or {}).get("earmark_contents", []):
                assert f"role: {role}" in playbook
                assert (ROOT / "deploy" / "ansible" / "roles" / str(role) / "tasks" / "undo.yml").is_file()


@pytest.mark.parametrize("word", ["null", "no", "true"])
def test_a_name_stays_a_name_whatever_yaml_takes_it_for(word: str) -> None:
    text = INVENTORIES["guest"].read_text().replace('"hosta"', f'"{word}"').replace('"vg_host"', '"010"')
    read = yaml.safe_load(render_playbook(read_inventory("inventory.toml", text.encode())[0]))["all"]
    assert list(read["children"]["cluster_hosts"]["hosts"]) == [word, "hostb"]
    assert read["vars"]["earmark_volume_group"] == "010"


def plays() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROOT / "deploy" / "ansible" / "cluster.yml").read_text())
    return found


def test_the_cluster_gets_a_guest_that_has_been_built_filled_and_shut_down() -> None:
    named = [play["name"] for play in plays()]
    wanted = ["Hosts", "The guest, where it has never been", "What runs in the guest", "The guest is the cluster's",
              "Members of the cluster"]  # fmt: skip
    assert [name for name in named if name in wanted] == wanted
    with_cluster = [play["name"] for play in plays() if {"role": "cluster"} in play.get("roles", [])]
    assert with_cluster == ["Members of the cluster"]


def test_the_guest_is_built_on_one_host_and_given_up_there() -> None:
    building = [play["hosts"] for play in plays() if play["name"].startswith("The guest")]
    assert building == ["cluster_hosts[0]", "cluster_hosts[0]"]
    undo = (ROOT / "deploy" / "ansible" / "undo.yml").read_text()
    assert "loop: [cluster, guest, storage, host]" in undo


def test_the_request_names_the_places_where_the_role_puts_what_it_needs() -> None:
    role = (ROOT / "deploy" / "ansible" / "roles" / "guest" / "tasks" / "build.yml").read_text()
    request = render(load_inventory(INVENTORIES["guest"])[0])["cluster/guest-build.toml"].text
    for name in ("files", "authorized_keys"):
        assert f'{name} = "/var/lib/earmark-guest/{name}"' in request
        assert f"dest: /var/lib/earmark-guest/{name}" in role
    assert "cluster/guest-build.toml" not in render(load_inventory(INVENTORIES["group"])[0])


def test_a_guest_that_was_built_lets_root_in_and_nobody_is_asked_about_its_key() -> None:
    guest = children("guest")["guest"]["hosts"]["mail"]
    assert guest["ansible_user"] == "root"
    assert guest["ansible_ssh_common_args"] == "-o StrictHostKeyChecking=accept-new"
