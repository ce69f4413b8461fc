"""[[test]] in policy files: played offline, and what a test that fails says."""

import time
from pathlib import Path

import pytest

from earmark.config import ConfigError, Problem, compile_generation, read_files, shipped
from earmark.config.files import copy_shipped
from earmark.service.policy_tests import failures, load_tested

SHIPPED = read_files(shipped())
DEFAULT = "policies/default.toml"
DOMAIN = "policies/domains/example.org.toml"
LISTED = '"66.100.51.198.zen.spamhaus.org A 127.0.0.4"'


def told(files: dict[str, bytes | str]) -> list[Problem]:
    """What the tests of these files say, beside those of the shipped default."""
    mine = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    return failures(compile_generation({**SHIPPED, **mine}))


def domain(test: str, settings: str = "") -> dict[str, bytes | str]:
    return {DOMAIN: f'domains = ["example.org"]\n{settings}\n[[test]]\nabout = "a test"\n{test}\n'}


def test_the_shipped_tests_hold_and_take_less_than_two_seconds() -> None:
    generation = compile_generation(SHIPPED)
    assert len(generation.tests) >= 16
    began = time.monotonic()
    assert failures(generation) == []
    assert time.monotonic() - began < 2.0, "the budget that docs/policy-tests.md promises"


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ("refuse_at = 8.00", "refuse_at = 8.01", "A listed address that connects"),
        ("refuse_at = 8.00", "refuse_at = 8.01", "Two lists of different owners"),
        ("refuse_at = 8.00\n", "refuse_at = 10.00\n", "One list and an envelope"),
        ("refuse_at = 8.00\n", "refuse_at = 7.00\n", "The worst envelope"),
        ("mark_at = 5.00", "mark_at = 4.00", "One list that may err"),
        ("mark_at = 5.00", "mark_at = 2.00", "The same, where the provider says"),
        ("all_at_most = 5.00", "all_at_most = 4.99", "A user at home"),
        ("authenticated_share = 50", "authenticated_share = 100", "The same, where the provider says"),
        ('on_error = "stamp"', 'on_error = "defer"', "A list that is dead"),
        ('on_error = "stamp"', 'on_error = "mark"', "A list that refuses to answer us"),
        ('on_error = "stamp"', 'on_error = "mark"', "A resolver that answers everything"),
        ('mode = "enforce"', 'mode = "mark"', "A listed address that connects"),
        ('dmarc = "weigh"', 'dmarc = "reject"', "What DMARC says weighs"),
        ("dmarc_reject = 5.00", "dmarc_reject = 4.99", "What DMARC says weighs"),
        ("[domain_listings.weights]", "[domain_listings.weights]\nDBL_SPAM = 8.00", "A sender's domain on a list"),
        ("\nfail = 0.90", "\nfail = 5.00", "A forwarder breaks SPF"),
        ("[received.weights]", "[received.weights]\nZEN_SBL = 2.00", "A user at home"),
    ],
)
def test_a_default_that_breaks_a_promise_of_readme_fails_its_test(old: str, new: str, broken: str) -> None:
    text = SHIPPED[DEFAULT].decode()
    assert old in text
    problems = told({DEFAULT: text.replace(old, new, 1)})
    assert any(problem.reason.startswith(broken) for problem in problems), problems


def test_a_failing_test_names_its_place_what_was_expected_and_what_came() -> None:
    test = f"""client = "198.51.100.66"
helo = "[198.51.100.66]"
dns = [{LISTED}]
action = "accept"
findings = ["ZEN_XLB", "HELO_LITERAL"]
refuse_score = 0.50"""
    (problem,) = told(domain(test))
    assert str(problem).startswith(
        "policies/domains/example.org.toml:8:1: test[0].action: a test: expected accept, came reject;"
        ' expected ZEN_XLB, not found; did you mean "ZEN_XBL"?; found NO_PTR, not expected;'
        " found ZEN_XBL, not expected; expected a refuse score of 0.50, came 10.00;"
        " refuse score 10.00 of 8.00; mark score 10.00 of 5.00;"
        " 1.50 NO_PTR: 198.51.100.66 has no reverse name; 8.00 ZEN_XBL: 198.51.100.66 is listed by zen.spamhaus.org"
    )


def test_a_finding_that_is_not_there_is_told_at_its_own_place() -> None:
    (problem,) = told(domain('client = "127.0.0.1"\naction = "accept"\nfindings = ["NO_PTR",\n  "HELO_OURS"]'))
    assert (problem.key, problem.line, problem.column) == ("test[0].findings[0]", 7, 13)


def test_what_a_list_did_not_answer_is_told() -> None:
    (problem,) = told(domain(f'client = "198.51.100.66"\naction = "reject"\ndns = [{LISTED[:-12]} TIMEOUT"]'))
    assert problem.reason.endswith("unknown: list zen.spamhaus.org 198.51.100.66")


def test_the_findings_need_not_be_told_and_an_empty_list_means_none() -> None:
    test = 'client = "198.51.100.66"\naction = "accept"\n'
    assert told(domain(test)) == []
    assert [problem.key for problem in told(domain(test + "findings = []"))] == ["test[0].findings"]


@pytest.mark.parametrize("mode", ["observe", "mark", "enforce"])
def test_this_machines_mode_is_put_aside_and_the_policys_own_is_tested(mode: str) -> None:
    server = f'schema = 1\nmode = "{mode}"\n'
    test = f'client = "198.51.100.66"\ndns = [{LISTED}]\naction = "mark"'
    assert told({"policies/server.toml": server, **domain(test, 'mode = "mark"')}) == []


def test_a_test_is_about_a_recipient_of_its_own_file() -> None:
    test = 'client = "127.0.0.1"\naction = "accept"\nrcpt = "bob@example.net"'
    (problem,) = told(domain(test))
    assert str(problem) == (
        f"{DOMAIN}:7:1: test[0].rcpt: a test: the policy of \"bob@example.net\" is not this file's, but default's"
    )


@pytest.mark.parametrize("domains", ['"example.org"', '"*.example.org", "example.org"', '"*.example.org"'])
@pytest.mark.parametrize("rcpt", ["", 'rcpt = "bob"', 'rcpt = "postmaster"'])
def test_a_recipient_without_a_domain_has_one_of_the_file(domains: str, rcpt: str) -> None:
    test = f'[[test]]\nabout = "x"\nclient = "127.0.0.1"\naction = "accept"\n{rcpt}\n'
    assert told({DOMAIN: f"domains = [{domains}]\n{test}"}) == []


def test_postmaster_has_the_files_policy_without_refusals() -> None:
    test = f'client = "198.51.100.66"\ndns = [{LISTED}]\nrcpt = "postmaster"\naction = "mark"'
    assert told(domain(test)) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("example.net", "expected NAME TYPE RDATA or NAME STATUS with one of"),
        ("example.net A 192.0.2", "192.0.2"),
        ('example.net TXT "v=spf1', "a quote that does not end"),
    ],
)
def test_a_line_that_is_no_dns_answer_is_told_at_its_own_place(line: str, reason: str) -> None:
    quoted = f"'{line}'"
    test = f'client = "127.0.0.1"\naction = "accept"\ndns = [\n  "example.org A 192.0.2.1",\n  {quoted},\n]'
    (problem,) = told(domain(test))
    assert (problem.key, problem.line, problem.column) == ("test[0].dns[1]", 9, 3)
    assert reason in problem.reason


def test_received_values_and_the_header_of_a_message_are_read() -> None:
    listed = '"77.113.0.203.zen.spamhaus.org A 127.0.0.2"'
    ordinary = 'client = "192.0.2.20"\nhelo = "h.example"\naction = "mark"\nrefuse_score = 2.50'
    hop = "from pc (unknown [203.0.113.77]) by mail.example.net with ESMTP id 1; Sun, 1 Nov 2026 10:00:00 +0100"
    assert told(domain(f'{ordinary}\ndns = [{listed}]\nreceived = ["{hop}"]')) == []
    message = f'"""\nSubject: Hello\nReceived: {hop}\n\nReceived: {hop.replace("77", "78")}\n"""'
    assert told(domain(f"{ordinary}\ndns = [{listed}]\nmessage = {message}")) == []
    assert told(domain(f"{ordinary}\ndns = [{listed}]"))[0].key == "test[0].action"


@pytest.mark.parametrize(
    ("settings", "says", "action"),
    [
        ("", 'virus = "Win.Test"', "quarantine"),
        ("", 'virus = "Heuristics.Encrypted.Zip"', "mark"),
        ('[content]\nvirus = "reject"', 'virus = "Win.Test"', "reject"),
        ("", "spam = 4.99", "accept"),
        ("", "spam = 5.00", "mark"),
        ("[content]\nspam_reject_score = 5.00", "spam = 5.00", "reject"),
        ('[content]\nvirus_unscanned = "defer"\nspam_unscanned = "defer"', "spam = -3.00", "accept"),
    ],
)
def test_a_test_says_what_the_scanners_find_which_is_nothing_unless_it_does(
    settings: str, says: str, action: str
) -> None:
    dns = '"20.2.0.192.in-addr.arpa PTR h.example", "h.example A 192.0.2.20", "example.net A 192.0.2.20"'
    known = f'client = "192.0.2.20"\nhelo = "h.example"\nfrom = "a@example.net"\ndns = [{dns}]'
    message = 'message = "From: a@example.net"'
    assert told(domain(f'{known}\n{message}\n{says}\naction = "{action}"', settings)) == []


def test_a_directory_whose_tests_fail_is_not_loaded(tmp_path: Path) -> None:
    copy_shipped(tmp_path)
    assert load_tested(tmp_path).generation.tests
    default = tmp_path / DEFAULT
    default.write_text(default.read_text().replace("all_at_most = 5.00", "all_at_most = 4.99"))
    with pytest.raises(ConfigError) as caught:
        load_tested(tmp_path)
    assert [problem.reason.partition(",")[0] for problem in caught.value.problems] == [
        "A user at home with a listed address"
    ]
    _, last = caught.value.lines
    assert last == (
        "the tests in policies/default.toml ship with it: whoever means the change that breaks one"
        " changes or removes the test together with the setting (docs/policy-tests.md)"
    )


def test_a_test_of_an_administrators_own_gets_no_advice_on_the_shipped_ones(tmp_path: Path) -> None:
    copy_shipped(tmp_path)
    test = '[[test]]\nabout = "mine"\nclient = "127.0.0.1"\naction = "reject"\n'
    (tmp_path / DOMAIN).write_text(f'domains = ["example.org"]\n{test}')
    with pytest.raises(ConfigError) as caught:
        load_tested(tmp_path)
    assert caught.value.lines == [str(problem) for problem in caught.value.problems]
    assert len(caught.value.lines) == 1
