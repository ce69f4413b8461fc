"""docs/cluster-policy.md says of every scenario what the table says, and of every property and constraint why."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from earmark.cluster.cib import render_cib
from earmark.cluster.simulate_table import Scenario, load_scenarios, shipped_scenarios
from fakes.cluster_defects import GROUP, NO_ARBITRATOR, example

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cluster-policy.md").read_text()


def row(scenario: Scenario) -> str:
    expect = scenario.expect
    kinds = "" if len(scenario.shapes) > 1 else f" ({scenario.shapes[0]} only)"
    place: str = expect.service
    if expect.promoted not in {"", expect.service}:
        place += f"; disk {expect.promoted}"
    power = ", ".join([*expect.fenced, *(f"{host} asked for, not done" for host in expect.unclean)]) or "-"
    stops = f"{expect.stops}" + ("" if expect.settles else ", then tries on")
    return f"| {scenario.name}{kinds} | {place} | {power} | {stops} | {scenario.why} |"


@pytest.mark.parametrize("scenario", load_scenarios(shipped_scenarios()), ids=lambda scenario: scenario.name)
def test_each_scenario_stands_in_the_page_with_what_comes_of_it(scenario: Scenario) -> None:
    assert row(scenario) in PAGE.splitlines(), f"add to docs/cluster-policy.md:\n{row(scenario)}"


def test_each_property_and_constraint_stands_in_the_page() -> None:
    for changes in ((), (GROUP,), NO_ARBITRATOR):
        inventory, _ = example(*changes)
        root = ET.fromstring(render_cib(inventory))  # noqa: S314 - rendered by us
        names = [
            pair.get("name") for path in ("crm_config", "rsc_defaults") for pair in root.findall(f".//{path}//nvpair")
        ]
        names += [found.get("id") for found in root.findall(".//constraints/*") if "fence-" not in found.get("id", "")]
        missing = [name for name in names if f"`{name}`" not in PAGE]
        assert not missing
