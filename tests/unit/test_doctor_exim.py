"""What `earmark doctor` makes of Exim's settings, from what `exim -bP` prints."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from earmark.service.doctor.diagnosis import Diagnosis, State
from earmark.service.doctor.exim import Doors, Exim, diagnose_exim, examine_exim, read_exim, read_pairs
from earmark.service.doctor.programs import ProgramError

DOORS = Doors(
    ("inet:127.0.0.1:8891", "unix:/run/earmark/policy"), ("inet:127.0.0.1:8892", "inet:[::1]:8892"), 6.0, 60.0
)
CONTENT = "127.0.0.1 8892 variant=rspamd tmo=120s"
SHIPPED = dict(
    re.findall(
        r"^(EARMARK_\w+) = (.*)$", (Path(__file__).parents[2] / "deploy" / "exim" / "main").read_text(), re.MULTILINE
    )
)


def diagnosed(
    spamd_address: str = CONTENT, macros: Mapping[str, str] = {}, doors: Doors = DOORS
) -> dict[str, Diagnosis]:
    found = list(diagnose_exim(Exim(spamd_address, {**SHIPPED, **macros}), doors))
    assert len({one.check for one in found}) == len(found)
    assert all(bool(one.mend) == (one.state is not State.PASS) for one in found)
    return {one.check.removeprefix("exim "): one for one in found}


def test_with_the_shipped_macros_every_check_passes() -> None:
    found = diagnosed()
    assert {one.state for one in found.values()} == {State.PASS}
    assert sorted(found) == ["content door", "policy door", "time after DATA", "time at RCPT"]


@pytest.mark.parametrize(
    "value", [f"192.0.2.1 783 : {CONTENT}", "::::1 8892 variant=rspamd", "localhost 8892 variant=rspamd"]
)
def test_other_right_content_doors_pass(value: str) -> None:
    assert {one.state for one in diagnosed(value).values()} == {State.PASS}


@pytest.mark.parametrize(
    ("spamd_address", "macros", "check", "state", "seen"),
    [
        ("127.0.0.1 783", {}, "content door", State.FAIL, "does not name us"),
        ("", {}, "content door", State.FAIL, "does not name us"),
        ("127.0.0.1 8892", {}, "content door", State.FAIL, "without variant=rspamd"),
        ("127.0.0.1 8892 variant=rspamd tmo=89s", {}, "time after DATA", State.FAIL, "our scan_budget is 60 s"),
        ("127.0.0.1 8892 variant=rspamd tmo=long", {}, "time after DATA", State.FAIL, "'long' is no time"),
        (CONTENT, {"EARMARK_RCPT_WITHIN": "8s"}, "time at RCPT", State.FAIL, "gives up on us"),
        (CONTENT, {"EARMARK_RCPT_WITHIN": ""}, "time at RCPT", State.FAIL, "no time"),
        (CONTENT, {"EARMARK_POLICY_DOOR": "inet:127.0.0.1:8890"}, "policy door", State.FAIL, "does not name us"),
        (CONTENT, {"EARMARK_POLICY_DOOR": ""}, "policy door", State.WARN, "nobody is refused at RCPT"),
        (CONTENT, {"EARMARK_IF_DOWN_AT_RCPT": "accept"}, "EARMARK_IF_DOWN_AT_RCPT", State.WARN, "nothing is refused"),
        (CONTENT, {"EARMARK_IF_DOWN_AFTER_DATA": "accept"}, "EARMARK_IF_DOWN_AFTER_DATA", State.WARN, "is marked"),
    ],
)
def test_each_wrong_value_is_named(
    spamd_address: str, macros: dict[str, str], check: str, state: State, seen: str
) -> None:
    one = diagnosed(spamd_address, macros)[check]
    assert one.state is state
    assert seen in one.seen


def test_a_unix_socket_is_a_door_as_well() -> None:
    assert diagnosed(macros={"EARMARK_POLICY_DOOR": "/run/earmark/policy"})["policy door"].state is State.PASS
    doors = DOORS._replace(content=("unix:/run/earmark/content",))
    assert diagnosed("/run/earmark/content variant=rspamd", doors=doors)["content door"].state is State.PASS


def test_without_scanners_the_budget_counts_after_data() -> None:
    value = "127.0.0.1 8892 variant=rspamd tmo=9s"
    assert diagnosed(value, doors=DOORS._replace(scan_budget=0.0))["time after DATA"].state is State.PASS


def test_where_server_toml_has_no_door_for_exim_it_is_not_looked_at() -> None:
    assert not list(examine_exim(DOORS._replace(content=()), None))


def test_what_exim_prints_is_read() -> None:
    assert read_pairs("spamd_address = 127.0.0.1 8892 tmo=1s\nA=b=c\nno pair\n") == {
        "spamd_address": "127.0.0.1 8892 tmo=1s",
        "A": "b=c",
    }


def test_an_exim_that_says_no_or_nothing_is_told(tmp_path: Path) -> None:
    program = tmp_path / "exim"
    program.write_text("#!/bin/sh\necho '  LOG: MAIN PANIC DIE'\necho '  no such file'\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(ProgramError, match="exim: no such file"):
        read_exim(str(program), None)
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    with pytest.raises(ProgramError, match=r"no answer within 0\.1 s"):
        read_exim(str(program), None, patience=0.1)
    with pytest.raises(ProgramError, match="No such file"):
        read_exim(str(tmp_path / "none"), None)
