"""`earmark explain`: of a message that is only supposed, and of a past verdict."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from earmark.cli import explain
from earmark.cli.explanation import explanation
from earmark.cli.flips import flips
from earmark.cli.render import lines, show
from earmark.config import Generation, load, shipped
from earmark.core.mail import Header, Hop, parse_path
from earmark.core.record import make_record
from earmark.log import Log
from earmark.playing import Player, answers, play_message
from earmark.stores.history import History
from fakes.records import MARKED, REFUSED, judged, record

ZONE = """
7.2.0.192.zen.spamhaus.org. A 127.0.0.4
9.100.51.198.zen.spamhaus.org. A 127.0.0.4
9.2.0.192.zen.spamhaus.org. A 127.255.255.254
mail.example.net. A 192.0.2.20
20.2.0.192.in-addr.arpa. PTR mail.example.net.
9.2.0.192.in-addr.arpa. PTR mail.example.com.
mail.example.com. A 192.0.2.9
example.net. MX 10 mail.example.net.
"""
MESSAGE = (
    b"Received: from home (h.example [198.51.100.9])\r\n\tby mail.example.net with ESMTP id 1;"
    b" Mon, 6 Jan 2025 10:00:00 +0000\r\nSubject: hi\r\nX-Spam-Flag: NO\r\nMessage-ID: <m1@example.net>\r\n\r\nbody\r\n"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "zone.txt").write_text(ZONE)
    (tmp_path / "m.eml").write_bytes(MESSAGE)
    return tmp_path


def run(*arguments: str) -> Any:
    app = typer.Typer()
    explain.register(app)
    return CliRunner().invoke(app, [*arguments, "-c", str(shipped())], env={"COLUMNS": "80"})


def of_file(place: Path, *arguments: str) -> Any:
    return run(str(place / "m.eml"), "--dns", str(place / "zone.txt"), *arguments)


def as_json(place: Path, *arguments: str) -> dict[str, Any]:
    result = of_file(place, "--json", *arguments)
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = json.loads(result.output)
    return said


def test_a_file_that_is_not_there_is_said_by_its_name(place: Path) -> None:
    result = of_file(place, "--ip", "192.0.2.7", "--dns", str(place / "nothing"))
    assert (result.exit_code, result.stderr) == (1, f"{place}/nothing: No such file or directory\n")
    result = run(str(place / "nothing.eml"), "--ip", "192.0.2.7")
    assert (result.exit_code, result.stderr) == (1, f"{place}/nothing.eml: No such file or directory\n")


def test_a_listed_client_is_refused_and_the_finding_names_everything(place: Path) -> None:
    said = as_json(place, "--ip", "192.0.2.7", "--rcpt", "u@example.org")
    assert (said["v"], said["action"]) == (1, "reject")
    (recipient,) = said["recipients"]
    assert (recipient["address"], recipient["action"]) == ("u@example.org", "reject")
    assert recipient["refuse_score"] == round(sum(found["score"] for found in recipient["findings"]), 2)
    assert recipient["reply"].startswith("550 5.7.1 Refused: ")
    (found,) = [found for found in recipient["findings"] if found["name"] == "ZEN_XBL"]
    assert (found["origin"], found["score"]) == ("connection", 8.0)
    assert found["set_by"].startswith("rules/zones.toml:")
    assert found["evidence"]["status"] == "fail"
    assert found["evidence"]["data"] == ["127.0.0.4"]
    assert found["evidence"]["age"] >= 0
    assert "would not be refused without ZEN_XBL (8.00)" in recipient["flips"]


def test_a_listed_hop_marks_and_the_edits_are_told(place: Path) -> None:
    said = as_json(place, "--ip", "192.0.2.20", "--helo", "mail.example.net", "--from", "a@example.net")
    assert said["action"] == "mark"
    assert said["recipients"][0]["refuse_score"] == 0
    assert [hop["ip"] for hop in said["received"]] == ["198.51.100.9"]
    assert ["remove", "X-Spam-Flag", 1] in said["edits"]
    assert ["insert", "X-Spam-Flag", "YES"] in said["edits"]


def test_a_list_that_answers_with_an_error_is_unknown_and_scores_nothing(place: Path) -> None:
    said = as_json(place, "--ip", "192.0.2.9", "--helo", "mail.example.com")
    assert "list zen.spamhaus.org 192.0.2.9" in said["unknown"]
    assert not [found for found in said["recipients"][0]["findings"] if found["name"].startswith("ZEN")]


def test_several_recipients_are_each_told_and_the_harshest_counts(place: Path) -> None:
    said = as_json(place, "--ip", "192.0.2.7", "--rcpt", "u@example.org", "--rcpt", "postmaster@example.org")
    assert [(each["address"], each["action"]) for each in said["recipients"]] == [
        ("u@example.org", "reject"),
        ("postmaster@example.org", "mark"),
    ]
    assert said["action"] == "reject"


def test_an_exempt_session_is_said_in_the_first_line_with_its_proof(place: Path) -> None:
    result = of_file(place, "--ip", "192.0.2.7", "--auth", "bob")
    assert result.exit_code == 0
    assert result.output.splitlines()[0].startswith("exempt: authenticated as bob")
    assert as_json(place, "--ip", "192.0.2.7", "--auth", "bob")["exempt"] == "authenticated as bob"


def test_the_exit_status_maps_the_action_only_when_asked(place: Path) -> None:
    assert of_file(place, "--ip", "192.0.2.7").exit_code == 0
    assert of_file(place, "--ip", "192.0.2.7", "--exit-code").exit_code == 1
    assert of_file(place, "--ip", "192.0.2.20", "--ptr", "mail.example.net", "--exit-code").exit_code == 0


def test_text_without_a_terminal_has_no_colour_and_no_wrapped_lines(place: Path) -> None:
    result = of_file(place, "--ip", "192.0.2.7")
    assert "\x1b" not in result.output
    assert all(0x20 <= ord(character) < 0x7F or character == "\n" for character in result.output)
    assert "  refuse score 10.00 of 8.00, mark score 10.00 of 5.00" in result.output.splitlines()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["m.eml"], 2, "say with --ip"),
        (["m.eml", "--ip", "192.0.2"], 1, "not an IP address"),
        (["absent.eml", "--ip", "192.0.2.7"], 1, "No such file"),
        (["m.eml", "--ip", "192.0.2.7", "--dns", "m.eml"], 1, "expected NAME TYPE RDATA"),
        (["4Xyz", "--history", "absent.sqlite"], 1, "there is no history"),
    ],
)
def test_a_mistake_is_said_in_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, said: str
) -> None:
    monkeypatch.chdir(place)
    result = run(*arguments)
    assert result.exit_code == status
    assert said in result.stderr
    assert "Traceback" not in result.output


async def remember(place: Path, generation: Generation) -> str:
    """Play a message from the listed home user, keep it as the service does, and return its id."""
    with answers(generation, place / "zone.txt") as lookups:
        player = Player(generation, lookups)
        session = player.connect("192.0.2.20", "mail.example.net")
        session.helo(b"mail.example.net")
        session.queue_id = "4XyzQ"
        headers = [
            Header(b"Received", b" from home (h.example [198.51.100.9]) by mail.example.net with ESMTP id 1; date"),
            Header(b"Message-ID", b" <m1@example.net>"),
        ]
        await play_message(session, parse_path(b"<a@example.net>"), [parse_path(b"<u@example.org>")], headers)
    history = History(place / "history.sqlite", Log(io.BytesIO()))
    history.keep_generation(generation.id, generation.files)
    history.add(make_record(player.judged[0]))
    assert history.close(10)
    return player.judged[0].id


async def test_a_past_verdict_is_judged_again_and_agrees(place: Path) -> None:
    verdict_id = await remember(place, load(shipped()))
    for key in [verdict_id, verdict_id[:8].lower(), "m1@example.net", "<m1@example.net>"]:
        result = run(key, "--history", str(place / "history.sqlite"), "--json")
        said = json.loads(result.output)
        assert said["id"] == verdict_id
        assert said["action"] == "mark"
        assert said["rederived"] == {"exact": True, "obstacles": [], "differences": []}
        assert [hop["ip"] for hop in said["received"]] == ["198.51.100.9"]
    text = run(verdict_id, "--history", str(place / "history.sqlite")).output
    assert "judged again from the record: the same" in text


def test_a_verdict_whose_generation_is_gone_is_shown_as_stored(place: Path) -> None:
    path = place / "history.sqlite"
    history = History(path, Log(io.BytesIO()))
    history.add(record("0123456789AB", engine=99))
    assert history.close(10)
    said = json.loads(run("0123456789AB", "--history", str(path), "--json").output)
    assert said["action"] == "mark"
    assert not said["rederived"]["exact"]
    assert "the history has no files of generation" in said["rederived"]["obstacles"][0]
    assert "engine 99 judged" in said["rederived"]["obstacles"][1]
    assert "shown as stored" in run("0123456789AB", "--history", str(path)).output


def test_what_nobody_remembers_is_said(place: Path) -> None:
    path = place / "history.sqlite"
    history = History(path, Log(io.BytesIO()))
    history.add(record())
    assert history.close(10)
    result = run("4Absent", "--history", str(path))
    assert result.exit_code == 1
    assert result.stderr == f"{path}: no verdict, queue id or Message-ID 4Absent\n"


def report(outcome: str, **changes: Any) -> dict[str, Any]:
    made = make_record(judged(outcomes=(MARKED if outcome == "mark" else REFUSED,))).recipients[0]
    return {**made, **changes}


def test_what_would_flip_it_is_told_for_each_action() -> None:
    assert list(flips(report("mark"))) == ["would not be marked without ZEN_XBL (5.00)"]
    assert list(flips(report("reject"))) == ["would not be refused without ZEN_XBL (8.00)"]
    spread = [{**found, "score": 5.0} for found in report("reject")["findings"] * 3]
    told = list(flips(report("reject", findings=spread, refuse_score=15.0)))
    assert told == ["would not be refused with 7.01 points less"]
    told = list(
        flips(report("mark", mode="observe", action="accept", would="reject", mark_score=1.0, refuse_score=2.5))
    )
    assert told[0] == "mode = enforce would reject"
    assert told[1] == "would be marked with 4.00 points more"
    assert told[2].startswith("would be refused with 5.50 points more")
    deferred = report("reject", action="defer", would="defer", unknown=["list zen.example 192.0.2.7"])
    assert list(flips(deferred)) == ["would not be deferred with an answer from list zen.example 192.0.2.7"]


def test_what_would_flip_a_greylisting_is_told() -> None:
    found = {**report("reject")["findings"][0], "name": "GREYLISTED", "score": 0.0, "defer_at": 0.0}
    deferred = report("reject", action="defer", would="defer", refuse_score=0.0, findings=[found])
    assert list(flips(deferred)) == ["would not be deferred without GREYLISTED"]


def test_what_would_flip_a_refusal_after_data_is_the_opt_in() -> None:
    refused = report("reject", refuse_score=0.9, mark_score=5.9)
    assert list(flips(refused)) == ['would not be refused with dmarc = "weigh"']


def worded(name: str, word: str, does: str | None) -> dict[str, Any]:
    return {**report("mark")["findings"][0], "name": name, "score": 0.0, "opt_in": word, "after_data": does}


VIRUS, SPAM = worded("VIRUS", "virus", "reject"), worded("SPAM_CONFIRMED", "spam_reject_score", "reject")
QUIET = {"refuse_score": 0.0, "mark_score": 0.0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"action": "reject", "would": "reject", "findings": [VIRUS, SPAM, worded("DMARC_REJECT", "dmarc", None)]},
            ['would not be refused with content.virus = "quarantine" and content.spam_reject_score = 0.00'],
        ),
        (
            {"action": "quarantine", "would": "quarantine", "findings": [{**VIRUS, "after_data": "quarantine"}]},
            ['would not be held with content.virus = "mark"'],
        ),
        (
            {"action": "quarantine", "would": "reject", "findings": [VIRUS]},
            [
                "would be refused alone; the policy of another recipient has it otherwise",
                'would not be held with content.mixed_refusals = "mark"',
            ],
        ),
        (
            {"action": "defer", "would": "reject", "findings": [VIRUS]},
            ["would be refused alone; the policy of another recipient has it otherwise"],
        ),
        (
            {"action": "defer", "would": "defer", "findings": [worded("VIRUS_UNSCANNED", "virus_unscanned", "defer")]},
            ['would not be deferred with content.virus_unscanned = "stamp"'],
        ),
        (
            {"action": "defer", "would": "accept", "findings": []},
            ["would be accepted if the quarantine could have taken what is to be held of the message"],
        ),
        (
            {"action": "defer", "would": "defer", "findings": [], "reply": "452 4.5.3 alone", "unknown": ["host a"]},
            ["would not be deferred in a message of its own"],
        ),
        (
            {"action": "mark", "would": "mark", "findings": [{**VIRUS, "after_data": "mark"}]},
            ["would not be marked without VIRUS"],
        ),
        (
            {"action": "mark", "would": "mark", "mark_score": 5.5, "findings": [{**VIRUS, "after_data": "mark"}]},
            ["would not be marked without VIRUS and with 0.51 points less"],
        ),
        (
            {"action": "mark", "would": "quarantine", "mode": "mark", "findings": [VIRUS]},
            ["mode = enforce would quarantine"],
        ),
    ],
    ids=lambda value: f"{value['action']}-{value['would']}" if isinstance(value, dict) else "",
)
def test_what_a_word_of_the_content_did_after_data_is_told_by_its_setting(
    changes: dict[str, Any], told: list[str]
) -> None:
    assert list(flips(report("mark", **{**QUIET, **changes}))) == told


def test_what_a_relay_of_ours_is_spared_is_told() -> None:
    held = report("mark", **QUIET, action="quarantine", would="reject", findings=[VIRUS])
    assert next(flips(held, "own relay")) == "would be refused from anybody but a relay of ours"


def test_what_the_administrator_released_is_told() -> None:
    released = report("mark", **QUIET, action="accept", would="quarantine", findings=[worded("X", "released", None)])
    assert next(flips(released)) == "would be held had the administrator not released it"


def test_where_only_the_mode_keeps_a_refusal_back_no_points_are_missing() -> None:
    kept = report("reject", mode="observe", action="accept", would="reject", mark_score=8.0)
    assert list(flips(kept)) == ["mode = enforce would reject"]


def test_hostile_text_in_a_record_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hop = Hop("192.0.2.8", "\x1b[2J", "", "by\r\nline", "ESMTP", authenticated=False, trusted=False, why="[bold]x[/]")
    explained = explanation(record(helo="\x1b]0;x\x07[red]", user="a\nb"), [hop])
    show(explained)
    out = capsys.readouterr().out
    assert all(0x20 <= ord(character) < 0x7F or character == "\n" for character in out)
    assert "[bold]x[/]" in out
    assert len(out.splitlines()) == len(list(lines(explained)))


def test_the_explanation_has_the_fields_of_its_schema() -> None:
    explained = explanation(record(), [])
    assert list(explained) == [
        "v", "id", "generation", "engine", "at", "ended", "client", "helo", "sender", "user", "queue_id", "message_id",
        "exempt", "relay", "action", "recipients", "unknown", "facts", "received", "received_cut", "edits", "rederived",
            "shadow",
    ]  # fmt: skip
    assert list(explained["recipients"][0]) == [
        "address", "policy", "mode", "action", "would", "refuse_score", "refuse_at", "mark_score", "mark_at", "reply",
        "findings", "unknown", "flips",
    ]  # fmt: skip
    assert explained["recipients"][0]["findings"][0]["evidence"]["age"] == 5.0


def test_answers_that_no_finding_shows_are_told_where_they_say_something() -> None:
    explained = explanation(record(), [])
    (shown,) = explained["recipients"][0]["findings"]
    fact = shown["evidence"]
    signature = "permerror example.com @example.com s rsa-sha256 0 no key"
    explained["facts"] = {
        shown["question"]: fact,
        "dkim 0123456789AB": {**fact, "status": "permerror", "data": [signature], "why": "no key"},
        "mx example.net": {**fact, "status": "none", "data": []},
    }
    told = [line.text for line in lines(explained)]
    begin = told.index("also answered:") + 1
    assert told[begin].startswith("  dkim 0123456789AB: permerror (no key), 5 s old, from")
    assert told[begin + 1] == f"    {signature}"
    assert not any("mx example.net" in line for line in told)


def test_how_a_result_of_spf_came_about_is_told_one_step_a_line(place: Path) -> None:
    (place / "zone.txt").write_text(ZONE + 'a.example. TXT "v=spf1 a:mail.example.net -all"\n')
    result = of_file(place, "--ip", "192.0.2.9", "--from", "x@a.example", "--rcpt", "u@example.org")
    assert result.exit_code == 0, result.output
    told = [line.strip() for line in result.output.splitlines()]
    at = told.index("a.example: v=spf1 a:mail.example.net -all")
    assert told[at + 1 : at + 3] == [
        "a.example: a:mail.example.net: no match (mail.example.net)",
        "a.example: -all: fail",
    ]
