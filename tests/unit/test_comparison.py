"""What a shadow would have changed: the comparison of records, and `earmark compare`."""

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from earmark.cli import compare
from earmark.core.comparison import CHANGES, Comparison, Difference, differences
from earmark.core.evidence import Fact, Finding, Listing, Origin, Points, Question, Status
from earmark.core.mail import parse_path
from earmark.core.policy import Mode, Policy
from earmark.core.recipients import Recipient
from earmark.core.record import Record, Shadowed, make_record
from earmark.core.verdict import Action, Outcome
from earmark.log import Log
from earmark.stores.history import History
from earmark.stores.sqlite import open_for_writing
from fakes.policies import policy
from fakes.records import FINDING, judged

OTHER = Listing("other.example", "192.0.2.7")
OTHER_FACT = Fact(Status.FAIL, ("127.0.0.2",), 60, 1_700_000_000.0, "127.0.0.1:53")
FOUND = Finding("OTHER", Origin.CONNECTION, Points(800), "192.0.2.7 is listed by other.example", "zones.OTHER", OTHER)


def outcome(action: Action, *findings: Finding, would: Action | None = None) -> Outcome:
    score = sum(finding.score for finding in findings)
    return Outcome(action, score, score, findings, (), action if would is None else would)


def record(
    *pairs: tuple[Outcome, Outcome],
    mode: Mode = Mode.ENFORCE,
    shadow_mode: Mode = Mode.ENFORCE,
    to: str = "example.org",
    shadow: str = "beef" * 16,
    at: float = 1_700_000_000.0,
    facts: dict[Question, Fact] | None = None,
    verdict_id: str = "0123456789AB",
) -> Record:
    """A transaction whose recipients each have an outcome in force and one of the shadow."""
    both: list[list[Recipient]] = [[], []]
    sides: tuple[Policy, Policy] = (policy(mode=mode), policy("next", mode=shadow_mode))
    for number, pair in enumerate(pairs):
        for side, asked, one in zip(both, sides, pair, strict=True):
            side.append(Recipient(parse_path(f"<u{number}@{to}>".encode()), asked, one))
    made = replace(judged(verdict_id, at=at), recipients=tuple(both[0]))
    if shadow:
        made = replace(made, shadow=Shadowed(shadow, tuple(both[1]), facts or {}))
    return make_record(made)


def changed(*pairs: tuple[Outcome, Outcome], **settings: Any) -> list[Difference]:
    return [difference for _, difference in differences(record(*pairs, **settings)) if difference]


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (Action.ACCEPT, Action.REJECT, "newly refused"),
        (Action.MARK, Action.REJECT, "newly refused"),
        (Action.DEFER, Action.REJECT, "newly refused"),
        (Action.MARK, Action.DEFER, "newly deferred"),
        (Action.ACCEPT, Action.MARK, "newly marked"),
        (Action.REJECT, Action.ACCEPT, "no longer refused"),
        (Action.REJECT, Action.MARK, "no longer refused"),
        (Action.REJECT, Action.DEFER, "no longer refused"),
        (Action.DEFER, Action.MARK, "no longer deferred"),
        (Action.MARK, Action.ACCEPT, "no longer marked"),
    ],
)
def test_a_change_is_named_after_the_harsher_of_the_two(before: Action, after: Action, change: str) -> None:
    assert [found.change for found in changed((outcome(before), outcome(after)))] == [change]
    assert change in CHANGES


@pytest.mark.parametrize("action", list(Action))
def test_the_same_action_is_no_change_whatever_was_found(action: Action) -> None:
    assert changed((outcome(action, FINDING), outcome(action, FOUND))) == []


def test_where_both_only_observe_it_is_what_they_would_have_done_that_is_compared() -> None:
    pair = (outcome(Action.ACCEPT), outcome(Action.ACCEPT, would=Action.REJECT))
    (found,) = changed(pair, mode=Mode.OBSERVE, shadow_mode=Mode.OBSERVE)
    assert found.change == "newly refused"
    assert changed(pair, mode=Mode.OBSERVE, shadow_mode=Mode.MARK) == []


def test_a_difference_tells_findings_and_the_facts_they_rest_on() -> None:
    lighter = FINDING._replace(score=Points(400))
    pair = (outcome(Action.ACCEPT, lighter), outcome(Action.REJECT, FINDING, FOUND))
    (found,) = changed(pair, facts={OTHER: OTHER_FACT})
    assert [(each.name, each.before, each.after) for each in found.findings] == [
        ("ZEN_XBL", 4.0, 8.0),
        ("OTHER", None, 8.0),
    ]
    said = [each.evidence["data"] for each in found.findings if each.evidence]
    assert said == [["127.0.0.4"], ["127.0.0.2"]], "of what both asked, and of what only the shadow did"
    assert (found.before["action"], found.before["refuse_score"]) == ("accept", 4.0)
    assert (found.after["action"], found.after["refuse_score"], found.after["policy"]) == ("reject", 16.0, "next")


def test_a_finding_that_both_weigh_alike_is_left_out() -> None:
    (found,) = changed((outcome(Action.MARK, FINDING), outcome(Action.REJECT, FINDING)))
    assert found.findings == ()


def counted(records: Iterable[Record], **settings: Any) -> Comparison:
    comparison = Comparison(**settings)
    for each in records:
        comparison.add(each)
    return comparison


REFUSED = (outcome(Action.ACCEPT), outcome(Action.REJECT, FOUND))
SAME = (outcome(Action.ACCEPT), outcome(Action.ACCEPT))


def test_recipients_are_counted_by_domain_and_examples_are_bounded() -> None:
    records = [record(REFUSED, SAME), record(REFUSED, to="example.net"), *[record(REFUSED)] * 9]
    found = counted(records, examples=2)
    assert found.transactions == 11
    assert found.differs
    assert {name: domain.recipients for name, domain in found.domains.items()} == {"example.org": 11, "example.net": 1}
    assert found.domains["example.org"].changes == {"newly refused": 10}
    assert len(found.domains["example.org"].examples["newly refused"]) == 2


def test_only_one_domain_is_counted_where_one_is_asked_for() -> None:
    found = counted([record(REFUSED), record(REFUSED, to="example.net")], domain="example.net")
    assert list(found.domains) == ["example.net"]
    assert found.transactions == 1


def test_what_no_shadow_or_an_earlier_one_judged_is_left_out() -> None:
    found = counted([record(SAME, shadow=""), record(SAME, shadow="new"), record(REFUSED, shadow="old")])
    assert (found.transactions, found.of_earlier_shadows, found.differs) == (1, 1, False)
    assert found.shadow_generation == "new"


APP = typer.Typer()
compare.register(APP)
APP.command("other")(lambda: None)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(APP, ["compare", *map(str, arguments)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


def written(path: Path, *records: Record) -> None:
    with (path.parent / "log").open("ab") as stream:
        log = Log(stream)
        open_for_writing(path, log).close()
        history = History(path, log)
        for number, each in enumerate(records):
            history.add(replace(each, id=f"{number:012}"))
        assert history.close(10)


def test_it_lists_by_domain_what_would_change_and_exits_with_1(path: Path) -> None:
    now = time.time()
    fact: dict[Question, Fact] = {OTHER: OTHER_FACT}
    quiet = "mode enforce, refuse score 0.00 of 8.00, mark score 0.00 of 5.00"
    written(path, record(SAME, to="example.net", at=now), record(REFUSED, SAME, at=now, facts=fact))
    told = run("--history", path)
    assert told.exit_code == 1, told.stderr
    assert told.stdout.splitlines() == [
        "transactions in 24h: 2; generation f00df00df00d in force, shadow beefbeefbeef",
        "",
        "example.org, recipients: 2; 1 newly refused",
        "  newly refused: <u0@example.org> from <a@example.net> [192.0.2.7], verdict 000000000001",
        f"    accept, {quiet} -> reject, {quiet.replace('0.00 of', '8.00 of')}",
        "    OTHER none -> 8.00: 192.0.2.7 is listed by other.example",
        "      list other.example 192.0.2.7: fail 127.0.0.2",
        "",
        "example.net, recipients: 1; no difference",
    ]


def test_json_has_counts_and_examples(path: Path) -> None:
    now = time.time()
    written(path, record(REFUSED, at=now), record(REFUSED, at=now))
    told = json.loads(run("--history", path, "--json", "--examples", "1", "--domain", "EXAMPLE.org").stdout)
    assert told["v"] == 1
    assert told["transactions"] == 2
    (domain,) = told["domains"]
    assert domain["changes"] == {"newly refused": 2}
    (example,) = domain["examples"]
    assert example["recipient"] == "u0@example.org"
    assert [finding["name"] for finding in example["findings"]] == ["OTHER"]


def test_it_exits_with_0_where_nothing_differs(path: Path) -> None:
    written(path, record(SAME, at=time.time()))
    assert run("--history", path).exit_code == 0


def test_only_the_time_asked_for_is_compared(path: Path) -> None:
    now = time.time()
    written(path, record(REFUSED, at=now - 7200), record(SAME, at=now - 60), record(REFUSED, at=now - 3700))
    assert run("--history", path, "--since", "1h").exit_code == 0
    assert run("--history", path, "--since", "2d").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "1y"), "--since 1y: not a span of time"),
        (("--since", "-1h"), "--since -1h: not a span of time"),
        (("--since", "h"), "--since h: not a span of time"),
        ((), "no transaction of the last 24h was judged by a shadow as well; earmark serve --shadow DIR"),
    ],
)
def test_where_nothing_can_be_compared_it_says_why_and_exits_with_2(
    path: Path, arguments: tuple[str, ...], said: str
) -> None:
    written(path, record(SAME, shadow="", at=time.time()))
    told = run("--history", path, *arguments)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(said)


def test_a_history_that_is_not_there_is_trouble(path: Path) -> None:
    assert run("--history", path).exit_code == 2


def test_what_a_sender_wrote_cannot_steer_the_terminal(path: Path) -> None:
    hostile = record(REFUSED, at=time.time())
    hostile.sender = parse_path(b"<\x1b[2J@example.net>")
    written(path, hostile)
    assert "\x1b" not in run("--history", path).stdout
