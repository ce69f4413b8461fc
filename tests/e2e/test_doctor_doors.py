"""`earmark doctor` and the lab's real Postfix and Exim: how they ask the doors beside the milter."""

from e2e_lab.configuration import BUDGET, SCAN_BUDGET
from e2e_lab.exim import Exim
from e2e_lab.lab import Lab
from earmark.service.doctor.diagnosis import State
from earmark.service.doctor.exim import Doors, diagnose_exim, read_exim
from earmark.service.doctor.policy_service import ask_us, diagnose_policy_service
from earmark.service.doctor.postconf import find_postconf, read_postfix


def test_the_lab_exim_asks_both_doors_as_shipped(lab: Lab, exim: Exim) -> None:
    doors = Doors((f"inet:127.0.0.1:{lab.policy_door}",), (f"inet:127.0.0.1:{lab.content_door}",), BUDGET, SCAN_BUDGET)
    read = read_exim(str(exim.top / "exim4"), exim.top / "earmark.conf")
    found = {one.check: one.state for one in diagnose_exim(read, doors)}
    assert set(found.values()) == {State.PASS}
    assert len(found) == 4
    elsewhere = diagnose_exim(read, doors._replace(content=("inet:127.0.0.1:1",)))
    assert next(elsewhere).state is State.FAIL


def test_the_lab_postfix_asks_the_policy_door_as_shipped(lab: Lab) -> None:
    listen = [f"inet:127.0.0.1:{lab.policy_door}"]
    servers = [
        server for server in read_postfix(find_postconf(), lab.postfix.configuration).servers if ask_us(server, listen)
    ]
    assert servers
    found = list(diagnose_policy_service("x", servers[0], listen, BUDGET, has_milter=False))
    assert {one.state for one in found} == {State.PASS}
    assert len(found) == 3
