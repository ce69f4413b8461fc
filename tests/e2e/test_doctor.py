"""`earmark doctor` beside the running lab: what is in order there, and what is wrong in a copy of its files."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e_lab.clamd import ClamdServer
from e2e_lab.clamd import missing as clamd_is_missing
from e2e_lab.lab import Lab
from e2e_lab.processes import service_account
from e2e_lab.redis import Redis
from e2e_lab.redis import missing as redis_is_missing
from e2e_lab.service import EARMARK
from e2e_lab.spamd import Spamd
from e2e_lab.spamd import missing as spamd_is_missing

ERRORS = "errors.lab.test"
Checks = Mapping[str, Mapping[str, Any]]


class Patient:
    """Copies of the lab's configurations, which a test may spoil; the servers run with the originals."""

    def __init__(self, lab: Lab, top: Path) -> None:
        self._lab = lab
        self.earmark = top / "earmark"
        self.postfix = top / "postfix"
        shutil.copytree(lab.service.configuration, self.earmark)
        shutil.copytree(lab.postfix.configuration, self.postfix)
        # in the lab the lists of the shipped policy do not answer, and one of its own answers errors
        self.change("policies/default.toml", r"^zones = .*$", "zones = []")
        self.change("policies/default.toml", r"(?s)^\[\[test\]\]$.*", "")
        for file in (self.earmark / "policies" / "domains").iterdir():
            if ERRORS in file.read_text():
                file.unlink()
        # nor are the lab's scanners as they should be
        server = self.earmark / "policies" / "server.toml"
        server.write_text(re.sub(r"(?ms)^\[(?:clamd|spamd)\]$.*?(?=^\[|\Z)", "", server.read_text()))

    def change(self, name: str, pattern: str, new: str) -> None:
        """Replace what must be there in a file of either configuration."""
        file = next(found for found in (self.earmark / name, self.postfix / name) if found.exists())
        text, times = re.subn(pattern, new, file.read_text(), flags=re.MULTILINE)
        assert times, pattern
        file.write_text(text)

    def add(self, section: str) -> None:
        """Add a section to server.toml."""
        self.change("policies/server.toml", r"^\[site\]$", f"{section}\n\n[site]")

    def doctor(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self._lab.service.run("doctor", "-c", str(self.earmark), "--postfix-config", str(self.postfix), *words)

    def checks(self) -> Checks:
        told = self.doctor("--json")
        assert not told.stderr
        found: dict[str, dict[str, Any]] = {one["check"]: one for one in json.loads(told.stdout)["checks"]}
        assert told.returncode == any(one["state"] == "fail" for one in found.values())
        return found


@pytest.fixture
def patient(lab: Lab, tmp_path: Path) -> Patient:
    return Patient(lab, tmp_path)


def failing(checks: Checks) -> set[str]:
    return {name for name, one in checks.items() if one["state"] == "fail"}


def test_the_lab_fails_in_nothing(lab: Lab, patient: Patient) -> None:
    checks = patient.checks()
    assert not failing(checks), checks
    smtp = lab.postfix.smtp
    passing = {name for name, one in checks.items() if one["state"] == "pass"}
    assert passing >= {
        "clock", "configuration", "service", "history", "store", "list bl.lab.test", "list names.lab.test",
        f"socket inet:127.0.0.1:{lab.service.port}", f"postfix milter of {smtp}", f"postfix command_timeout of {smtp}",
        f"postfix default action of {smtp}", f"postfix line ends of {smtp}", f"resolver 127.0.0.1:{lab.lists.port}",
    }  # fmt: skip
    assert checks["generation in force"]["state"] == "warn", "the service runs with the original"
    (plain,) = (one for name, one in checks.items() if name.startswith(f"postfix milter of {lab.postfix.plain}"))
    assert plain["state"] == "warn", "nobody judges what comes in there"


def test_a_list_that_refuses_us_or_does_not_answer_fails(lab: Lab) -> None:
    told = lab.service.run("doctor", "--postfix-config", str(lab.postfix.configuration))
    assert told.returncode == 1
    wrong = {line.split()[2].rstrip(":") for line in told.stdout.splitlines() if line.startswith("fail     list ")}
    assert wrong >= {ERRORS, "zen.spamhaus.org"}
    assert f"list {ERRORS}: resolver is a public one: error code 127.255.255.254" in told.stdout


def test_wrong_settings_of_postfix_are_named_with_what_mends_them(lab: Lab, patient: Patient) -> None:
    patient.change("main.cf", "command_timeout=15s", "command_timeout=3s")
    patient.change("main.cf", "default_action=tempfail", "default_action=accept")
    patient.change("main.cf", "^smtpd_forbid_bare_newline = normalize", "smtpd_forbid_bare_newline = no")
    patient.change("main.cf", "^non_smtpd_milters =", "non_smtpd_milters = $earmark_socket")
    checks, smtp = patient.checks(), lab.postfix.smtp
    assert f"postfix command_timeout of {smtp}" in failing(checks)
    assert checks[f"postfix command_timeout of {smtp}"]["seen"].startswith("3s, and our budget is 2 s")
    assert f"postfix line ends of {smtp}" in failing(checks)
    assert checks[f"postfix line ends of {smtp}"]["mend"] == "set smtpd_forbid_bare_newline = normalize in main.cf"
    assert checks[f"postfix default action of {smtp}"]["state"] == "warn"
    assert checks["postfix local mail"]["state"] == "warn"


def test_a_socket_as_sendmail_spells_it_is_named_with_the_right_spelling(lab: Lab, patient: Patient) -> None:
    patient.change("main.cf", "^earmark_socket = .*", f"earmark_socket = inet:{lab.service.port}@127.0.0.1")
    checks = patient.checks()
    wrong = f"postfix milter of {lab.postfix.smtp}"
    assert wrong in failing(checks)
    assert checks[wrong]["mend"] == f"write inet:127.0.0.1:{lab.service.port}"


def test_a_misspelt_list_has_no_test_entry(patient: Patient) -> None:
    patient.change("rules/lab.toml", "bl.lab.test", "bl.lba.test")
    for file in (patient.earmark / "policies" / "domains").iterdir():
        file.write_text(file.read_text().replace("bl.lab.test", "bl.lba.test"))
    checks = patient.checks()
    assert failing(checks) == {"list bl.lba.test"}
    assert checks["list bl.lba.test"]["seen"].startswith("no test entry")
    assert "misspelt" in checks["list bl.lba.test"]["mend"]


def test_a_public_resolver_is_named_as_one(patient: Patient) -> None:
    """In a network of its own, so that no query leaves this machine: none is answered there."""
    apart = ("unshare", "--net")
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    patient.change("policies/server.toml", "^resolvers = .*", 'resolvers = ["8.8.8.8"]')
    told = subprocess.run(
        [*apart, *EARMARK, "doctor", "-c", patient.earmark, "--postfix-config", patient.postfix],
        capture_output=True, text=True, timeout=30, check=False, cwd="/",
    )  # fmt: skip
    assert told.returncode == 1
    (line,) = [line for line in told.stdout.splitlines() if "resolver 8.8.8.8" in line]
    assert line.startswith("fail     resolver 8.8.8.8: ")
    assert line.endswith("; it is a public one besides")


def test_a_broken_configuration_is_told_and_nothing_is_said_of_the_rest(patient: Patient) -> None:
    patient.change("policies/server.toml", "^budget", "bugdet")
    told = patient.doctor()
    assert told.returncode == 1
    assert "fail     configuration: policies/server.toml:" in told.stdout
    assert "did you mean" in told.stdout
    assert told.stdout.endswith("1 fail, 0 warn, 1 unknown, 1 pass\n")


def test_a_postfix_configuration_that_is_not_there_fails(patient: Patient) -> None:
    shutil.rmtree(patient.postfix)
    checks = patient.checks()
    assert failing(checks) == {"postfix"}
    assert checks["postfix"]["seen"] == f"postconf: fatal: open {patient.postfix}/main.cf: No such file or directory"


@pytest.mark.skipif(bool(clamd_is_missing()), reason=clamd_is_missing() or "clamd is here")
def test_limits_of_a_clamd_that_let_viruses_pass_are_named(patient: Patient) -> None:
    server = ClamdServer(StreamMaxLength="1M", MaxFileSize="5M", AlertExceedsMax="no")
    right = ClamdServer(MaxThreads="12")
    try:
        patient.add(f'[clamd]\nendpoints = ["{server.unix}", "{right.tcp}"]')
        checks = patient.checks()
    finally:
        server.stop()
        right.stop()
    assert failing(checks) == {f"size limit of clamd {server.unix}", f"other limits of clamd {server.unix}"}
    assert "StreamMaxLength is below the 25000000 bytes" in checks[f"size limit of clamd {server.unix}"]["seen"]
    assert "AlertExceedsMax yes" in checks[f"other limits of clamd {server.unix}"]["mend"]
    assert checks[f"threads of clamd {server.unix}"]["state"] == "warn"
    assert checks[f"threads of clamd {server.unix}"]["seen"].startswith("4 at most, 0 messages in its queue")
    assert {checks[f"{what} of clamd {right.tcp}"]["state"] for what in ("size limit", "other limits", "threads")} == {
        "pass"
    }
    assert checks[f"signatures of clamd {right.tcp}"]["state"] == "warn", "the lab's signatures have no day"


@pytest.mark.skipif(bool(clamd_is_missing()), reason=clamd_is_missing() or "clamd is here")
def test_a_clamd_that_passes_over_large_files_in_archives_is_named(patient: Patient) -> None:
    server = ClamdServer(MaxFileSize="5M")
    try:
        patient.add(f'[clamd]\nendpoints = ["{server.unix}"]')
        found = patient.checks()[f"other limits of clamd {server.unix}"]
    finally:
        server.stop()
    assert found["state"] == "warn"
    assert found["mend"].startswith("set MaxFileSize and MaxScanSize")


@pytest.mark.skipif(bool(spamd_is_missing()), reason=spamd_is_missing() or "spamd is here")
def test_a_spamd_without_our_report_is_named(lab: Lab, patient: Patient, local_spamd: Spamd) -> None:
    other = Spamd(lab.top / "spamd-of-another-form", children=1, rules="clear_report_template\nreport Spam? _YESNO_\n")
    try:
        other.wait_ready()
        patient.add(f'[spamd]\nendpoints = ["{local_spamd.endpoint}", "{other.endpoint}"]')
        checks = patient.checks()
    finally:
        other.stop()
    assert failing(checks) == {f"report of spamd {other.endpoint}"}
    assert checks[f"report of spamd {other.endpoint}"]["mend"].startswith("copy deploy/spamassassin/earmark.cf")
    assert checks[f"report of spamd {local_spamd.endpoint}"]["seen"].startswith("in our form, and it sees the client")


def test_scanners_that_need_more_time_or_an_account_that_is_not_there_are_told_of_postfix(
    lab: Lab, patient: Patient
) -> None:
    patient.add('[clamd]\nendpoints = ["unix:/nowhere/clamd.ctl"]')
    budgets = r"^budget = (.*)\n(?:scan_budget = .*\n)?"
    patient.change("policies/server.toml", budgets, "budget = \\1\nscan_budget = 61.0\n")
    patient.change("policies/default.toml", "^mixed_marks = .*", 'mixed_marks = "detail"')
    patient.change("main.cf", r"\Z", "recipient_delimiter =\n")
    checks, smtp = patient.checks(), lab.postfix.smtp
    assert failing(checks) == {"clamd unix:/nowhere/clamd.ctl", f"postfix content_timeout of {smtp}"}
    assert checks["postfix recipient delimiter"]["state"] == "warn"
    assert checks[f"postfix content_timeout of {smtp}"]["seen"].startswith("120s, and our scan_budget is 61 s")


def test_it_changes_nothing(lab: Lab, patient: Patient) -> None:
    def files() -> dict[Path, tuple[int, int, int]]:
        tops = (patient.earmark, patient.postfix, lab.service.configuration, lab.postfix.configuration)
        found = [file for top in tops for file in (top, *top.rglob("*"))]
        return {file: (file.stat().st_mode, file.stat().st_uid, file.stat().st_mtime_ns) for file in found}

    before, stored = files(), {file.name for file in lab.service.state.iterdir()}
    patient.checks()
    assert files() == before
    assert {file.name for file in lab.service.state.iterdir()} == stored


@pytest.mark.skipif(bool(redis_is_missing()), reason=redis_is_missing() or "redis is here")
@pytest.mark.parametrize(("password", "state"), [("right-sekret", "pass"), ("wrong-sekret", "fail")])
def test_a_redis_is_asked_with_its_password_which_is_never_shown(patient: Patient, password: str, state: str) -> None:
    redis = Redis("requirepass right-sekret")
    secret = patient.earmark / "password"
    secret.write_text(password)
    shutil.chown(secret, service_account())
    secret.chmod(0o600)
    try:
        store = f'[store]\nurl = "{redis.url}"\npassword_file = "{secret}"\n\n[site]'
        patient.change("policies/server.toml", r"^\[site\]$", store)
        checks = patient.checks()
    finally:
        redis.stop()
    assert checks["store"]["state"] == state
    assert checks["store"]["seen"].startswith(redis.url)
    assert "sekret" not in json.dumps(checks)
