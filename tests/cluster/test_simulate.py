"""The scenario table, played to the real crm_simulate; and that it would show it if the policy were another."""

import json
import shutil
import subprocess
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from earmark.cli.app import app
from earmark.cluster.cib import render_cib
from earmark.cluster.inventory import Inventory, load_inventory
from earmark.cluster.simulate import simulate
from earmark.cluster.simulate_run import Cluster
from earmark.cluster.simulate_table import load_scenarios, shipped_scenarios
from earmark.config import ConfigError
from fakes.cluster_defects import EXAMPLE, GROUP, NO_ARBITRATOR, Change, example

if shutil.which("crm_simulate", path="/usr/sbin:/usr/bin") is None:
    pytest.skip("no crm_simulate (pacemaker-cli-utils)", allow_module_level=True)

SHAPES: dict[str, tuple[Change, ...]] = {"guest": (), "group": (GROUP,)}
OTHER = Path(__file__).parents[1] / "unit" / "cluster" / "group.toml"
TABLE = {scenario.name: scenario for scenario in load_scenarios(shipped_scenarios())}


@cache
def differences(shape: str) -> dict[str, list[str]]:
    inventory, _ = example(*SHAPES[shape])
    return {result.scenario.name: result.differences for result in simulate(inventory, TABLE.values())}


@pytest.mark.parametrize(
    ("shape", "name"),
    [(shape, scenario.name) for scenario in TABLE.values() for shape in scenario.shapes],
)
def test_each_scenario_ends_as_the_table_says(shape: str, name: str) -> None:
    assert differences(shape)[name] == []


def test_the_table_has_as_many_scenarios_as_promised_each_with_a_name_of_its_own() -> None:
    assert len(TABLE) == len(load_scenarios(shipped_scenarios()))
    for shape in SHAPES:
        assert sum(shape in scenario.shapes for scenario in TABLE.values()) >= 16


def test_an_inventory_without_arbitrator_preference_and_second_fencing_level_differs_in_that_level_alone() -> None:
    inventory, _ = load_inventory(OTHER)
    names = ["the active host loses its power", "the host with the newer disk returns", "the arbitrator is gone"]
    names += ["the management board of the active host dies with its power supply"]
    found = [
        (result.scenario.name, result.differences) for result in simulate(inventory, [TABLE[name] for name in names])
    ]
    assert found == [(names[0], []), (names[1], []), (names[3], ["levels: expected 2, got 1"])]


def test_a_wrong_expectation_fails_with_what_differs() -> None:
    inventory, _ = example()
    scenario = TABLE["the active host loses its power"]
    wrong = scenario.expect.model_copy(update={"service": "active", "fenced": [], "stops": 1})
    (result,) = simulate(inventory, [scenario.model_copy(update={"expect": wrong})])
    assert result.differences == [
        "service: expected active, got passive",
        "promoted: expected active, got passive",
        "fenced: expected none, got active",
        "stops: expected 1, got 0",
    ]
    assert str(result.outcome) == "service passive, fenced active"


def differs(name: str, old: str, new: str, *changes: Change) -> bool:
    """Whether that scenario ends otherwise once the CIB has `new` for `old`."""

    def render(inventory: Inventory) -> str:
        text = render_cib(inventory)
        assert old in text, old
        return text.replace(old, new)

    inventory, _ = example(*changes)
    (result,) = simulate(inventory, [TABLE[name]], render)
    return bool(result.differences)


PREFERENCE = '<rsc_location id="service-prefers" rsc="service" node="hosta" score="50"/>'


HOST_PREFERRED = """<rsc_location id="service-prefers" rsc="storage-clone"><rule id="r" role="Promoted" score="100">
<expression id="e" attribute="#uname" operation="eq" value="hosta"/></rule></rsc_location>"""
NETWORK_PREFERRED = """<rsc_location id="service-prefers" rsc="storage-clone"><rule id="r" role="Promoted"
score-attribute="pingd"><expression id="e" attribute="pingd" operation="defined"/></rule></rsc_location>"""


@pytest.mark.parametrize(
    ("old", "new", "scenario"),
    [
        # What many examples have, and what it does.
        ('score="-5000"', 'score="-INFINITY"', "the gateway and all other ping targets are gone for both hosts"),
        (PREFERENCE, HOST_PREFERRED, "the preferred host has the outdated disk when the other is lost"),
        (PREFERENCE, NETWORK_PREFERRED, "the active host is lost while the other disk is outdated"),
        # Every other line that decides something.
        ('score="-5000"', 'score="-1"', "the gateway and all other ping targets are gone for the active host"),
        ('"resource-stickiness" value="200"', '"resource-stickiness" value="0"', "no move back when standby ends"),
        ('"migration-threshold" value="3"', '"migration-threshold" value="1"',
         "the service fails its monitor for the first time"),
        ('"failure-timeout" value="600s"', '"failure-timeout" value="0"',
         "the third failure comes when the first two are forgotten"),
        ('"no-quorum-policy" value="stop"', '"no-quorum-policy" value="ignore"', "quorum is lost with all hosts heard"),
        ('"stonith-enabled" value="true"', '"stonith-enabled" value="false"',
         "the active host is lost and fencing is refused"),
        ('"cluster-recheck-interval" value="60s"', '"cluster-recheck-interval" value="900s"',
         "fencing was refused so often that Pacemaker has given up"),
        ('devices="fence-hosta-2"', 'devices="fence-hostb-2"',
         "the management board of the active host dies with its power supply"),
        ('with-rsc-role="Promoted" ', "", "the gateway and all other ping targets are gone for the active host"),
        ('kind="Mandatory"', 'kind="Optional"', "the disk of the active host fails its monitor once"),
        ('node="hosta" score="50"', 'node="hosta" score="500"', "no move back when the lost host returns"),
    ],
)  # fmt: skip
def test_a_line_of_the_policy_that_is_changed_is_shown_by_a_scenario(old: str, new: str, scenario: str) -> None:
    assert differs(scenario, old, new)


def test_a_filter_that_may_move_the_group_by_mistake_is_shown_by_a_scenario() -> None:
    name = "the group's filter is broken on both hosts"
    assert differs(name, '"migration-threshold" value="INFINITY"', '"migration-threshold" value="3"', GROUP)


@pytest.mark.parametrize("changes", [(), (GROUP,), NO_ARBITRATOR], ids=["guest", "group", "no arbitrator"])
def test_crm_verify_has_nothing_to_say(changes: tuple[Change, ...], tmp_path: Path) -> None:
    inventory, _ = example(*changes)
    cluster = Cluster(ET.fromstring(render_cib(inventory)))  # noqa: S314 - rendered by us
    cluster.inject("--node-up=hosta", "--node-up=hostb")
    path = tmp_path / "cib.xml"
    ET.ElementTree(cluster.cib).write(path)
    said = subprocess.run(
        ["crm_verify", "-VV", f"--xml-file={path}"], capture_output=True, text=True, check=False, timeout=30
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def table(path: Path, *scenarios: str) -> Path:
    path.write_text("\n".join(f"[[scenarios]]\n{scenario}\n" for scenario in scenarios))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["cluster", "simulate", *map(str, arguments)])


def test_the_command_says_what_differs_and_fails(tmp_path: Path) -> None:
    scenarios = table(
        tmp_path / "scenarios.toml",
        'name = "all is well"\nsteps = [{}]\nexpect = { service = "active" }',
        'name = "a wish"\nsteps = [{ lost = ["active"] }]\nexpect = { service = "active", fenced = ["active"] }',
    )
    result = run(EXAMPLE, "--scenarios", scenarios)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "ok       all is well: service active",
        "DIFFERS  a wish: service passive, fenced active",
        "         service: expected active, got passive",
        "         promoted: expected active, got passive",
        "2 scenarios, 1 of them other than expected",
    ]


def test_the_command_prints_json(tmp_path: Path) -> None:
    scenarios = table(tmp_path / "t.toml", 'name = "all is well"\nsteps = [{}]\nexpect = { service = "active" }')
    result = run(EXAMPLE, "--scenarios", scenarios, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["v"] == 1
    assert report["scenarios"] == [
        {"name": "all is well", "service": "active", "promoted": "active", "fenced": [], "unclean": [], "stops": 0,
         "settles": True, "levels": 0, "wait": 0, "differences": []}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ('{ lots = ["active"] }', "steps[0].lots: unknown setting"),
        ("", "scenarios[0].steps"),
        ('{ lost = ["hosta"] }', "must be one of active, passive"),
        ('{ fails = [{ resource = "web", operation = "monitor", host = "active" }] }', "web: no such resource"),
    ],
)
def test_a_table_that_says_nothing_sensible_is_refused_with_the_reason(steps: str, said: str, tmp_path: Path) -> None:
    scenario = f'name = "x"\nsteps = [{steps}]\nexpect = {{ service = "active" }}'
    result = run(EXAMPLE, "--scenarios", table(tmp_path / "t.toml", scenario))
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_table_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_scenarios(tmp_path / "none.toml")
