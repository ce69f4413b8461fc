"""What `earmark doctor` makes of Postfix's check_policy_service, from what postconf prints."""

import re
from pathlib import Path

import pytest

from earmark.service.doctor.diagnosis import Diagnosis, State
from earmark.service.doctor.postconf import Postfix, Server
from earmark.service.doctor.postfix import Needs, diagnose_postfix

SHIPPED = Path(__file__).parents[2] / "deploy" / "postfix" / "main.cf.earmark-delegation"
OURS = "inet:127.0.0.1:8891"
NEEDS = Needs(("inet:127.0.0.1:8890",), 6.0, policy=(OURS, "unix:/var/spool/postfix/private/earmark"))
MAIN = {
    "queue_directory": "/var/spool/postfix",
    "smtpd_milters": "",
    "milter_protocol": "6",
    "milter_command_timeout": "30s",
    "milter_content_timeout": "300s",
    "milter_default_action": "tempfail",
    "smtpd_policy_service_timeout": "100s",
    "smtpd_policy_service_default_action": "451 4.3.5 Server configuration problem",
    "smtpd_forbid_bare_newline": "normalize",
}
NAMES = ("policy service", "policy timeout", "policy default action")


def diagnosed(restrictions: str, **main: str) -> dict[str, Diagnosis]:
    settings = {**MAIN, "smtpd_recipient_restrictions": restrictions, **main}
    found = list(diagnose_postfix(Postfix(settings, (Server("smtp", chroot=True, settings=settings),)), NEEDS))
    assert len({one.check for one in found}) == len(found)
    assert all(bool(one.mend) == (one.state is not State.PASS) for one in found)
    return {one.check.removeprefix("postfix ").removesuffix(" of smtp"): one for one in found}


def test_with_the_shipped_lines_every_check_passes_and_no_milter_is_missed() -> None:
    (value,) = re.findall(r"^smtpd_recipient_restrictions =\n((?:    .*\n)+)", SHIPPED.read_text(), re.MULTILINE)
    found = diagnosed(value.replace("$earmark_policy_socket", OURS))
    assert {found[name].state for name in NAMES} == {State.PASS}
    assert found["policy timeout"].seen.startswith("15s")
    assert "milter" not in found


@pytest.mark.parametrize("place", [OURS, "inet:localhost:8891", "unix:private/earmark"])
def test_each_spelling_of_our_socket_is_ours(place: str) -> None:
    found = diagnosed(f"reject_unauth_destination, check_policy_service {place}, permit")
    assert found["policy service"].state is State.PASS
    assert place in found["policy service"].seen


@pytest.mark.parametrize(
    ("restrictions", "main", "check", "state", "seen"),
    [
        ("{OURS}", {"smtpd_policy_service_timeout": "11s"}, "policy timeout", State.FAIL, "gives up"),
        ("{{ {OURS}, timeout=5 }}", {}, "policy timeout", State.FAIL, "5, and our"),
        ("{{ {OURS}, timeout=soon }}", {}, "policy timeout", State.FAIL, "'soon' is no time"),
        ("{{ {OURS}, default_action=DUNNO }}", {}, "policy default action", State.WARN, "nobody is refused"),
        ("{{ {OURS}, {{ default_action = 554 5.7.1 no }} }}", {}, "policy default action", State.FAIL, "all mail"),
        ("{OURS}", {"smtpd_policy_service_default_action": "reject"}, "policy default action", State.FAIL, "all mail"),
        ("{OURS}", {"smtpd_milters": "inet:127.0.0.1:8890"}, "policy service", State.WARN, "smtpd_milters and "),
        ("{OURS}, check_policy_service {OURS}", {}, "policy service", State.WARN, "more than once"),
        ("{OURS}", {"smtpd_data_restrictions": f"check_policy_service {OURS}"}, "policy service", State.WARN, "_data_"),
    ],
)  # fmt: skip
def test_each_wrong_value_is_named(
    restrictions: str, main: dict[str, str], check: str, state: State, seen: str
) -> None:
    one = diagnosed("check_policy_service " + restrictions.format(OURS=OURS), **main)[check]
    assert one.state is state
    assert seen in one.seen


@pytest.mark.parametrize(
    "restrictions", ["", "permit", "check_policy_service", "check_policy_service inet:127.0.0.1:12525"]
)
def test_where_nobody_asks_us_the_milter_is_missed(restrictions: str) -> None:
    found = diagnosed(restrictions)
    assert not found.keys() & set(NAMES)
    assert found["milter"].state is State.FAIL
