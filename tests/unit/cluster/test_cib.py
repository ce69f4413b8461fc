import xml.etree.ElementTree as ET

import pytest

from earmark.cluster.cib import GUEST_PROBE, PRODUCTION, Agent, Agents, render_cib
from fakes.cluster_defects import GROUP, NO_ARBITRATOR, Change, example

DRBD_BEST = 10_000
"""The promotion score that ocf:linbit:drbd gives a disk that is as good as it gets."""


def cib(*changes: Change, agents: Agents = PRODUCTION) -> ET.Element:
    inventory, _ = example(*changes)
    return ET.fromstring(render_cib(inventory, agents))  # noqa: S314 - rendered by us


def parameters(root: ET.Element, resource: str) -> dict[str, str]:
    pairs = root.findall(f".//primitive[@id='{resource}']/instance_attributes/nvpair")
    return {pair.get("name", ""): pair.get("value", "") for pair in pairs}


def properties(root: ET.Element) -> dict[str, str]:
    return {pair.get("name", ""): pair.get("value", "") for pair in root.findall(".//crm_config//nvpair")}


def test_the_guest_is_probed_and_never_migrated_live() -> None:
    root = cib()
    guest = root.find(".//primitive[@id='service']")
    assert guest is not None
    assert (guest.get("provider"), guest.get("type")) == ("heartbeat", "VirtualDomain")
    assert parameters(root, "service")["monitor_scripts"] == GUEST_PROBE
    assert guest.find("meta_attributes/nvpair[@name='allow-migrate'][@value='false']") is not None


def test_the_group_starts_its_units_in_the_order_of_the_inventory_after_disk_and_address() -> None:
    units = 'units = ["unbound.service", "earmark.service", "postfix@-.service"]\n'
    members = cib(Change(GROUP.old, GROUP.new + units)).findall(".//group[@id='service']/primitive")
    assert [member.get("type") for member in members] == ["Filesystem", "IPaddr2", "unbound", "earmark", "postfix@-"]
    assert [member.get("class") for member in members] == ["ocf", "ocf", "systemd", "systemd", "systemd"]


def test_a_unit_with_an_instance_keeps_its_name_and_gets_an_id() -> None:
    group = Change(GROUP.old, GROUP.new + 'units = ["postfix@-.service", "earmark-queue.timer"]\n')
    members = cib(group).findall(".//group/primitive[@class='systemd']")
    names = [(member.get("id"), member.get("type")) for member in members]
    assert names == [("postfix_-.service", "postfix@-"), ("earmark-queue.timer", "earmark-queue.timer")]


@pytest.mark.parametrize("changes", [(), (GROUP,), NO_ARBITRATOR], ids=["guest", "group", "no arbitrator"])
def test_every_host_is_fenced_in_two_levels_by_others_alone(changes: tuple[Change, ...]) -> None:
    root = cib(*changes)
    for host, other in (("hosta", "hostb"), ("hostb", "hosta")):
        levels = root.findall(f".//fencing-level[@target='{host}']")
        devices = [level.get("devices", "") for level in sorted(levels, key=lambda level: level.get("index", ""))]
        agents = [root.find(f".//primitive[@id='{device}']") for device in devices]
        assert [agent is not None and agent.get("type") for agent in agents] == ["fence_ipmilan", "fence_apc_snmp"]
        for device in devices:
            banned = root.findall(f".//rsc_location[@rsc='{device}'][@score='-INFINITY']")
            assert [constraint.get("node") for constraint in banned] == [host]
            assert other not in {constraint.get("node") for constraint in banned}
            assert parameters(root, device)["pcmk_host_list"] == host


def test_passwords_stand_in_no_cib() -> None:
    root = cib()
    assert parameters(root, "fence-hosta-1")["password_script"].startswith("/etc/pacemaker/")
    assert not root.findall(".//nvpair[@name='password']") + root.findall(".//nvpair[@name='passwd']")


def test_nothing_speaks_for_promotion_but_drbd_itself() -> None:
    root = cib()
    (rule,) = root.findall(".//rule[@role='Promoted']")
    assert -DRBD_BEST < int(rule.get("score", "")) < 0
    assert not root.findall(".//rsc_location[@rsc='storage-clone'][@score]")
    (preference,) = root.findall(".//rsc_location[@rsc='service']")
    (stickiness,) = root.findall(".//rsc_defaults//nvpair[@name='resource-stickiness']")
    assert preference.get("node") == "hosta"
    assert 0 < int(preference.get("score", "")) < int(stickiness.get("value", ""))


def test_no_preference_is_rendered_where_none_is_said() -> None:
    assert not cib(Change('prefer = "hosta"\n', "")).findall(".//rsc_location[@rsc='service']")


def test_fencing_waits_for_nobody_where_an_arbitrator_decides() -> None:
    root = cib()
    assert "priority-fencing-delay" not in properties(root)
    assert not root.findall(".//nvpair[@name='pcmk_delay_base']")


def test_the_host_that_serves_shoots_first_where_none_does() -> None:
    root = cib(*NO_ARBITRATOR)
    delayed = [pair.get("id") for pair in root.findall(".//nvpair[@name='pcmk_delay_base']")]
    assert delayed == ["fence-hosta-1-pcmk_delay_base", "fence-hosta-2-pcmk_delay_base"]
    base = int(parameters(root, "fence-hosta-1")["pcmk_delay_base"].removesuffix("s"))
    assert int(properties(root)["priority-fencing-delay"].removesuffix("s")) > 2 * base


def test_properties_hold_the_timers_of_the_inventory() -> None:
    timers = Change("token = 3000", "recheck = 90\nfencing = 45\nfencing_attempts = 70\nfailure = 300\ntoken = 3000")
    root = cib(timers)
    assert properties(root) == {
        "cluster-name": "earmark",
        "stonith-enabled": "true",
        "stonith-action": "reboot",
        "stonith-timeout": "45s",
        "stonith-max-attempts": "70",
        "concurrent-fencing": "true",
        "no-quorum-policy": "stop",
        "start-failure-is-fatal": "false",
        "cluster-recheck-interval": "90s",
    }
    assert root.find(".//rsc_defaults//nvpair[@name='failure-timeout'][@value='300s']") is not None
    assert root.find(".//primitive[@id='service']//op[@name='start'][@timeout='120s']") is not None
    assert root.find(".//primitive[@id='service']//op[@name='stop'][@timeout='180s']") is not None


def test_a_failing_filter_moves_the_group_only_where_the_inventory_says_so() -> None:
    kept = ".//primitive[@id='earmark.service']//nvpair[@name='migration-threshold'][@value='INFINITY']"
    assert cib(GROUP).find(kept) is not None
    assert cib(GROUP, Change('filter_failure = "alarm"', 'filter_failure = "move"')).find(kept) is None


def test_stand_ins_replace_agents_and_nothing_else() -> None:
    stand_in = Agent("ocf:pacemaker:Stateful", {"state": "/run/lab/storage"})
    laboratory = Agents({"storage": stand_in, "earmark.service": Agent("ocf:lab:unit", {})})
    real, lab = cib(GROUP), cib(GROUP, agents=laboratory)
    storage = lab.find(".//primitive[@id='storage']")
    assert storage is not None
    assert (storage.get("class"), storage.get("provider"), storage.get("type")) == ("ocf", "pacemaker", "Stateful")
    assert parameters(lab, "storage") == {"state": "/run/lab/storage"}
    for path in ("configuration/crm_config", "configuration/constraints", "configuration/rsc_defaults",
                 "configuration/fencing-topology"):  # fmt: skip
        assert ET.tostring(one(real, path)) == ET.tostring(one(lab, path))
    for tag in ("op", "meta_attributes"):
        of_real, of_lab = ([ET.tostring(found) for found in root.iter(tag)] for root in (real, lab))
        assert of_real == of_lab


def one(root: ET.Element, path: str) -> ET.Element:
    found = root.find(path)
    assert found is not None, path
    return found


def test_a_stand_in_for_what_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError, match="filesystem"):
        cib(agents=Agents({"filesystem": Agent("ocf:lab:mount", {})}))


def test_mail_is_sent_about_fencing_and_hosts_but_from_a_laboratory() -> None:
    alert = cib(Change('admin = "root"', 'admin = "ops@example.org"')).find(".//alert")
    assert alert is not None
    assert {found.tag for found in one(alert, "select")} == {"select_fencing", "select_nodes"}
    assert one(alert, "recipient").get("value") == "ops@example.org"
    assert cib(agents=Agents(alerts=False)).find(".//alert") is None


def test_only_who_asks_waits_less_for_the_other_hosts_at_start() -> None:
    assert "dc-deadtime" not in properties(cib())
    assert properties(cib(agents=Agents(dc_deadtime=5)))["dc-deadtime"] == "5s"


def test_what_an_inventory_says_stays_a_value() -> None:
    hostile = """plug = '1"/><x/>&amp;<'"""
    root = cib(Change('plug = "1"', hostile))
    assert parameters(root, "fence-hosta-2")["plug"] == '1"/><x/>&amp;<'


@pytest.mark.parametrize("changes", [(), (GROUP,)], ids=["guest", "group"])
def test_ids_are_unique(changes: tuple[Change, ...]) -> None:
    ids = [found.get("id") for found in cib(*changes).iter() if found.get("id") and found.tag != "node"]
    assert len(ids) == len(set(ids))
