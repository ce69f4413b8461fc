"""What `earmark doctor` makes of Postfix's settings, from what postconf prints."""

import pytest

from earmark.service.doctor.diagnosis import Diagnosis, State
from earmark.service.doctor.milters import leads_to, misspelt, read_milters
from earmark.service.doctor.postconf import Postfix, Server, read_seconds, read_servers, read_settings
from earmark.service.doctor.postfix import Needs, diagnose_postfix

LISTEN = ("inet:127.0.0.1:8890", "unix:/var/spool/postfix/earmark/socket")
NEEDS = Needs(LISTEN, 6.0)
MAIN = {
    "mail_version": "3.7.11",
    "queue_directory": "/var/spool/postfix",
    "mail_owner": "postfix",
    "smtpd_milters": "{ inet:127.0.0.1:8890, connect_timeout=5s, command_timeout=15s, default_action=tempfail }",
    "non_smtpd_milters": "",
    "milter_protocol": "6",
    "milter_default_action": "tempfail",
    "milter_command_timeout": "30s",
    "milter_content_timeout": "300s",
    "smtpd_forbid_bare_newline": "normalize",
}
MASTER = """\
smtp       inet  n       -       y       -       -       smtpd
pickup     unix  n       -       n       60      1       pickup
"""
SUBMISSION = MASTER + "submission inet  n       -       y       -       -       smtpd -o smtpd_milters={value}\n"


def diagnosed(main: dict[str, str], master: str = MASTER, own: str = "", needs: Needs = NEEDS) -> dict[str, Diagnosis]:
    output = "".join(f"{name} = {value}".rstrip() + "\n" for name, value in {**MAIN, **main}.items())
    settings = read_settings(output)
    postfix = Postfix(settings, tuple(read_servers(master, settings, read_settings(own))))
    found = list(diagnose_postfix(postfix, needs))
    by_check = {one.check: one for one in found}
    assert len(by_check) == len(found)
    assert all(bool(one.mend) == (one.state is not State.PASS) for one in found)
    return by_check


def test_with_the_recommended_settings_every_check_passes() -> None:
    found = diagnosed({})
    assert {one.state for one in found.values()} == {State.PASS}
    assert sorted(found) == [
        "postfix command_timeout of smtp",
        "postfix content_timeout of smtp",
        "postfix default action of smtp",
        "postfix line ends of smtp",
        "postfix milter of smtp",
        "postfix milter protocol of smtp",
    ]


@pytest.mark.parametrize(
    ("main", "check", "state", "seen"),
    [
        ({"smtpd_milters": ""}, "milter", State.FAIL, "smtpd_milters is empty"),
        ({"smtpd_milters": "inet:127.0.0.1:11332"}, "milter", State.FAIL, "it does not name us"),
        ({"smtpd_milters": "inet:8890@127.0.0.1"}, "milter", State.FAIL, "is how Sendmail spells it"),
        ({"smtpd_milters": "tcp:127.0.0.1:8890"}, "milter", State.FAIL, "not tcp:"),
        ({"smtpd_milters": "unix:/run/earmark.sock"}, "milter", State.FAIL, "it does not name us"),
        (
            {"smtpd_milters": "unix:/var/spool/postfix/earmark/socket"},
            "milter", State.FAIL, "is sought below /var/spool/postfix",
        ),
        ({"smtpd_milters": "{ inet:127.0.0.1:8890, default_action=accept }"}, "default action", State.WARN, "unjudged"),
        ({"smtpd_milters": LISTEN[0], "milter_default_action": "accept"}, "default action", State.WARN, "unjudged"),
        ({"smtpd_milters": LISTEN[0], "milter_default_action": "reject"}, "default action", State.FAIL, "all mail"),
        ({"smtpd_milters": LISTEN[0], "milter_default_action": "defer"}, "default action", State.FAIL, "no action"),
        ({"smtpd_milters": LISTEN[0], "milter_command_timeout": "11s"}, "command_timeout", State.FAIL, "gives up"),
        ({"smtpd_milters": "{inet:localhost:8890 command_timeout=5}"}, "command_timeout", State.FAIL, "5, and our"),
        ({"milter_content_timeout": "10s"}, "content_timeout", State.FAIL, "our budget is 6 s"),
        ({"milter_content_timeout": "soon"}, "content_timeout", State.FAIL, "'soon' is no time"),
        ({"milter_protocol": "2"}, "milter protocol", State.WARN, "version 2"),
        ({"milter_protocol": "seven"}, "milter protocol", State.FAIL, "'seven'"),
        ({"smtpd_forbid_bare_newline": "no"}, "line ends", State.FAIL, "SMTP smuggling is possible (CVE-2023-51764)"),
    ],
)  # fmt: skip
def test_each_wrong_value_is_named(main: dict[str, str], check: str, state: State, seen: str) -> None:
    found = diagnosed(main)
    one = found[f"postfix {check} of smtp"]
    assert one.state is state
    assert seen in one.seen


@pytest.mark.parametrize(
    "main",
    [
        {"smtpd_milters": "inet:localhost:8890"},
        {"smtpd_milters": "inet:127.0.0.1:11332 inet:mail.example.org:8890"},
        {"smtpd_milters": "unix:earmark/socket"},
        {"smtpd_milters": "unix:/earmark/socket"},
        {"smtpd_milters": "{inet:127.0.0.1:8890, {default_action = quarantine}}"},
        {"smtpd_milters": "{ inet:127.0.0.1:8890, command_timeout=12s }", "milter_command_timeout": "1s"},
        {"milter_content_timeout": "1m"},
        {"smtpd_milters": LISTEN[0], "milter_default_action": "shutdown"},
        {"smtpd_forbid_bare_newline": "yes"},
        {"smtpd_forbid_bare_newline": "Reject"},
        {"smtpd_forbid_bare_newline": "note"},
    ],
)
def test_every_other_right_value_passes(main: dict[str, str]) -> None:
    assert {one.state for one in diagnosed(main).values()} == {State.PASS}


@pytest.mark.parametrize(("timeout", "state"), [("119s", State.FAIL), ("120s", State.PASS)])
def test_the_end_of_a_message_must_leave_time_for_the_scanners(timeout: str, state: State) -> None:
    main = {"milter_content_timeout": timeout, "milter_command_timeout": "30s", "smtpd_milters": LISTEN[0]}
    found = diagnosed(main, needs=NEEDS._replace(scan_budget=60.0))
    assert found["postfix content_timeout of smtp"].state is state
    assert found["postfix content_timeout of smtp"].seen.startswith(f"{timeout}, and our scan_budget is 60 s")
    assert found["postfix command_timeout of smtp"].state is State.PASS


@pytest.mark.parametrize(
    ("value", "state"), [("", State.WARN), ("-", State.WARN), ("+", State.PASS), ("-+", State.PASS)]
)
def test_who_is_readdressed_to_user_and_junk_must_be_found_there(value: str, state: State) -> None:
    main = {"recipient_delimiter": value}
    assert "postfix recipient delimiter" not in diagnosed(main)
    assert diagnosed(main, needs=NEEDS._replace(readdresses=True))["postfix recipient delimiter"].state is state


def test_a_postfix_that_makes_one_recipient_of_two_loses_mail_when_one_is_taken_away() -> None:
    name = "postfix original recipients"
    assert name not in diagnosed({"enable_original_recipient": "yes"})
    assert diagnosed({"enable_original_recipient": "no"})[name].state is State.FAIL


def test_a_postfix_too_old_to_forbid_bare_newlines_is_to_be_updated() -> None:
    main = {name: value for name, value in MAIN.items() if name != "smtpd_forbid_bare_newline"}
    server = Server("smtp", chroot=True, settings={**main, "mail_version": "3.5.6"})
    found = {one.check: one for one in diagnose_postfix(Postfix(main, (server,)), NEEDS)}
    assert found["postfix line ends of smtp"].state is State.FAIL
    assert found["postfix line ends of smtp"].mend.startswith("update it to 3.5.24")


def test_the_mend_of_a_misspelt_socket_is_the_right_spelling() -> None:
    assert diagnosed({"smtpd_milters": "inet:8890@localhost"})["postfix milter of smtp"].mend == (
        "write inet:localhost:8890"
    )


def test_a_server_of_master_cf_without_us_is_a_warning() -> None:
    found = diagnosed({}, SUBMISSION, "submission/inet/smtpd_milters =\n")
    assert found["postfix milter of smtp"].state is State.PASS
    assert found["postfix milter of submission"].state is State.WARN
    assert "is not judged" in found["postfix milter of submission"].seen
    assert found["postfix line ends of submission"].state is State.PASS


def test_what_master_cf_overrides_counts_for_that_server() -> None:
    own = "submission/inet/smtpd_milters = { inet:127.0.0.1:8890, command_timeout=2s }\nsmtp/unix/smtpd_milters = x\n"
    found = diagnosed({}, SUBMISSION, own)
    assert found["postfix command_timeout of smtp"].state is State.PASS
    assert found["postfix command_timeout of submission"].state is State.FAIL


def test_servers_with_the_same_settings_are_told_of_once() -> None:
    found = diagnosed({}, MASTER + "smtpd      pass  -       -       y       -       -       smtpd\n")
    assert "postfix milter of smtp, smtpd" in found
    assert len(found) == 6


def test_where_a_content_filter_gives_mail_back_no_milter_is_missed() -> None:
    back = "127.0.0.1:10025 inet n   -       n       -       -       smtpd -o smtpd_milters=\n"
    found = diagnosed({}, MASTER + back, "127.0.0.1:10025/inet/smtpd_milters =\n")
    assert not [check for check in found if "10025" in check]


def test_without_any_smtpd_nothing_is_known() -> None:
    (one,) = diagnosed({}, "pickup     unix  n       -       n       60      1       pickup\n").values()
    assert one.state is State.UNKNOWN


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("inet:127.0.0.1:8890", State.WARN),
        ("unix:earmark/socket", State.WARN),
        ("inet:8890@localhost", State.FAIL),
        ("inet:127.0.0.1:11332", None),
    ],
)
def test_local_mail_that_is_shown_to_us_is_a_warning(value: str, state: State | None) -> None:
    one = diagnosed({"non_smtpd_milters": value}).get("postfix local mail")
    assert (one and one.state) == state


@pytest.mark.parametrize(
    ("value", "endpoints", "options"),
    [
        ("", [], {}),
        ("unix:a, inet:b:1\tinet:c:2", ["unix:a", "inet:b:1", "inet:c:2"], {}),
        ("{ inet:b:1, default_action=accept }", ["inet:b:1"], {"default_action": "accept"}),
        ("{inet:b:1 {command_timeout = 5s}}", ["inet:b:1"], {"command_timeout": "5s"}),
        ("{ inet:b:1 } {}", ["inet:b:1", ""], {}),
        ("{ inet:b:1", ["inet:b:1"], {}),
        ("}}inet:b:1", ["}}inet:b:1"], {}),
    ],
)
def test_lists_of_milters_are_read_as_postfix_reads_them(
    value: str, endpoints: list[str], options: dict[str, str]
) -> None:
    milters = read_milters(value)
    assert [milter.endpoint for milter in milters] == endpoints
    assert all(milter.options == (options if milter.endpoint == endpoints[0] else {}) for milter in milters)


@pytest.mark.parametrize(
    ("endpoint", "meant"),
    [
        ("inet:8890@localhost", "inet:localhost:8890"),
        ("tcp:localhost:8890", "inet:localhost:8890"),
        ("localhost:8890", "inet:localhost:8890"),
        ("/run/earmark/socket", "unix:/run/earmark/socket"),
        ("earmark", ""),
        ("inet:", ""),
        ("", ""),
    ],
)
def test_a_misspelt_socket_is_known_and_corrected(endpoint: str, meant: str) -> None:
    assert misspelt(endpoint)[0]
    assert misspelt(endpoint)[1] == meant


@pytest.mark.parametrize("endpoint", ["inet:localhost:8890", "inet:8890", "unix:/a", "local:a", "INET:[::1]:8890"])
def test_what_postfix_understands_is_not_misspelt(endpoint: str) -> None:
    assert misspelt(endpoint) == ("", "")


@pytest.mark.parametrize(
    ("endpoint", "listening", "chroot", "leads"),
    [
        ("inet:127.0.0.1:8890", "inet:127.0.0.1:8890", False, True),
        ("inet:127.0.0.1:8891", "inet:127.0.0.1:8890", False, False),
        ("inet:8890", "inet:127.0.0.1:8890", False, True),
        ("inet:localhost:8890", "inet:[::1]:8890", False, True),
        ("inet:localhost:8890", "inet:192.0.2.1:8890", False, False),
        ("inet:192.0.2.2:8890", "inet:192.0.2.1:8890", False, False),
        ("inet:192.0.2.1:8890", "inet:0.0.0.0:8890", False, True),
        ("inet:[2001:db8::1]:8890", "inet:[2001:DB8::1]:8890", False, True),
        ("inet:filters.example.org:8890", "inet:192.0.2.1:8890", False, True),
        ("unix:/run/a", "unix:/run/a", False, True),
        ("unix:/run/a", "unix:/run/a", True, False),
        ("unix:/a", "unix:/queue/a", True, True),
        ("unix:../queue/a", "unix:/queue/a", False, True),
        ("unix:a", "unix:/queue/a", False, True),
        ("unix:/run/a", "inet:127.0.0.1:8890", False, False),
    ],
)
def test_a_socket_is_ours_when_it_leads_where_we_listen(
    endpoint: str, listening: str, chroot: bool, leads: bool  # noqa: FBT001 - a column of the table
) -> None:  # fmt: skip
    assert leads_to(endpoint, listening, "/queue", chroot=chroot) is leads


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("15", 15), ("15s", 15), ("2m", 120), ("1h", 3600), ("1w", 604800), ("", None), ("s", None), ("-1", None),
     ("1.5s", None), ("9" * 5000, None), ("\u0661s", None)],
)  # fmt: skip
def test_times_are_read_as_postfix_writes_them(value: str, seconds: int | None) -> None:
    assert read_seconds(value) == seconds


def test_what_postconf_says_by_itself_is_no_setting() -> None:
    output = "postconf: warning: main.cf: unused parameter: a = b\nmilter_protocol = 6\nnon_smtpd_milters =\n"
    assert read_settings(output) == {"milter_protocol": "6", "non_smtpd_milters": ""}
