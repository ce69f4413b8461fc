"""`earmark quarantine`: what is held is shown, let go once and to whom it was meant for, and deleted."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from earmark.cli import quarantine
from earmark.cli.quarantine_release import release
from earmark.config import load
from earmark.config.files import copy_shipped
from earmark.core.evidence import (
    CheckHost,
    DomainListing,
    Fact,
    HostAddress,
    Listing,
    MailHosts,
    Question,
    ReverseName,
    SpamScan,
    Status,
    VirusScan,
)
from earmark.log import Log
from earmark.service.policy_tests import failures
from earmark.stores.history import FILE_NAME, History
from earmark.stores.quarantine import DIRECTORY
from earmark.stores.quarantine_index import State
from earmark.stores.sqlite import StoreError
from fakes.held import BOB, EVE, ID, MESSAGE, content, held, keep_all, messages, quiet, recipient, rows
from fakes.held import quarantine as served
from fakes.records import record
from fakes.submission_server import SubmissionServer, submission_server

APP = typer.Typer()
quarantine.register(APP)
APP.command("other")(lambda: None)

SPAM = "00000000000A"
NOW = 4e9
HOSTILE = "\x1b[31m\u202eevil\r\n250 ok"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir()
    keep_all(
        made,
        held(ID, recipient(), recipient(EVE), at=NOW),
        held(SPAM, recipient(infected=False), at=NOW - 86400, sender=""),
    )
    return made


@pytest.fixture
def server(state: Path) -> Iterator[SubmissionServer]:
    with submission_server(state / DIRECTORY) as made:
        yield made


@pytest.fixture
def configuration(tmp_path: Path, state: Path, server: SubmissionServer) -> Path:
    made = tmp_path / "configuration"
    copy_shipped(made)
    text = f'schema = 1\nstate = "{state}"\n[quarantine]\nsubmission = "inet:127.0.0.1:{server.port}"\n'
    (made / "policies" / "server.toml").write_text(text)
    return made


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(APP, ["quarantine", *map(str, words)], env={"COLUMNS": "200"})


def states(state: Path) -> dict[tuple[str, str], str]:
    return {(row.id, row.recipient): row.state for row in rows(state / DIRECTORY)}


def test_what_is_held_is_listed_a_line_for_each_recipient_the_newest_first(state: Path) -> None:
    head, first, second, third = run("list", "--state", state).stdout.splitlines()
    assert head.split() == ["id", "since", "recipient", "sender", "bytes", "until", "state", "why"]
    assert first.split()[0::2][:2] == [ID, BOB]
    assert first.endswith("held   VIRUS: ClamAV found Win.Test")
    assert second.split()[2] == EVE
    assert "(none)" in third


def test_the_list_can_be_narrowed_and_read_by_programs(state: Path) -> None:
    told = json.loads(run("list", "--state", state, "--json", "--domain", "EXAMPLE.net.").stdout)
    assert told["v"] == 1
    (row,) = told["held"]
    assert row == {
        "id": ID, "recipient": EVE, "domain": "example.net", "policy": "example.net", "would": "quarantine",
        "infected": True, "why": ["VIRUS: ClamAV found Win.Test"], "sender": "a@example.net",
        "subject": "folded once", "at": NOW, "expires": NOW + 30 * 86400, "size": len(MESSAGE), "state": "held",
    }  # fmt: skip
    assert run("list", "--state", state, "--since", "1s").stdout == run("list", "--state", state).stdout, (
        "in the future"
    )
    assert run("list", "--state", state, "--since", "soon").exit_code == 2


def test_where_nothing_is_held_that_is_said(tmp_path: Path) -> None:
    assert run("list", "--state", tmp_path).stdout == "nothing is held\n"
    gone = run("list", "--state", tmp_path / "nowhere")
    assert (gone.exit_code, gone.stderr) == (1, f"{tmp_path}/nowhere: No such file or directory\n")


def test_a_message_is_shown_with_where_it_came_from_and_why_it_is_held(state: Path) -> None:
    shown = run("show", ID.lower(), "--state", state).stdout.splitlines()
    assert shown[:6] == [
        "client: 192.0.2.7",
        "helo: mail.example.net",
        "sender: a@example.net",
        "user: ",
        "queue id: 4XyzQ",
        "message id: <m1@example.net>",
    ]
    assert f"size: {len(MESSAGE)}" in shown
    assert any(line.startswith(f"{BOB}: held until 20") for line in shown)
    assert "  VIRUS: ClamAV found Win.Test" in shown
    told = json.loads(run("show", ID, "--state", state, "--json").stdout)
    assert (told["v"], told["subject"], [one["recipient"] for one in told["recipients"]]) == (
        1,
        "folded once",
        [BOB, EVE],
    )


def test_the_message_itself_comes_byte_for_byte(state: Path) -> None:
    assert run("show", ID, "--raw", "--state", state).stdout_bytes == MESSAGE


@pytest.mark.parametrize("name", ["ZZZZZZZZZZZZ", "../index", "index.sqlite", "'; DROP", HOSTILE, ""])
def test_a_message_that_is_not_there_is_said_whatever_it_is_called(state: Path, name: str) -> None:
    for words in (["show"], ["show", "--raw"], ["delete"]):
        gone = run(*words, "--state", state, "--", name)
        assert gone.exit_code == 1
        assert "no such message" in gone.stderr or "No such file" in gone.stderr
        assert "\x1b" not in gone.stderr


def test_what_mail_says_steers_no_terminal(tmp_path: Path) -> None:
    what = held(ID, recipient(f"{HOSTILE}@example.org"), sender=HOSTILE)._replace(helo=HOSTILE, user=HOSTILE)
    keep_all(tmp_path, what)
    for words in (["list"], ["show", ID], ["delete", ID, "nobody"], ["delete", ID]):
        result = run(*words, "--state", tmp_path)
        assert all(character == "\n" or " " <= character <= "~" for character in result.output), result.output


def test_whoever_comes_second_to_release_is_told_so_in_printable_words(tmp_path: Path) -> None:
    keep_all(tmp_path, held(ID, recipient(f"{HOSTILE}@example.org"), recipient(EVE)))
    (row,) = (row for row in rows(tmp_path / DIRECTORY) if row.recipient != EVE)
    assert run("delete", ID, row.recipient, "--state", tmp_path).exit_code == 0
    with pytest.raises(StoreError) as caught:
        release(tmp_path / DIRECTORY, quiet(), row, ("127.0.0.1", 1), again=False)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_a_release_goes_to_the_one_recipient_as_it_came_and_once(
    state: Path, configuration: Path, server: SubmissionServer
) -> None:
    released = run("release", SPAM, "-c", configuration)
    assert released.stdout == f"{SPAM} to {BOB}: released: 250 2.0.0 Ok: queued as 4Released\n"
    assert released.exit_code == 0, released.output
    (envelope,) = server.taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("<>", [BOB])
    assert server.bodies() == [MESSAGE]
    assert states(state)[SPAM, BOB] == "released"
    assert messages(state / DIRECTORY) == [ID], "nobody needs it any more"
    again = run("release", SPAM, "-c", configuration, "--again", "--infected")
    assert (again.exit_code, len(server.taken)) == (1, 1)
    assert f"held for nobody any more: {BOB} (released)" in again.stderr


def test_a_virus_is_released_only_when_that_is_said(state: Path, configuration: Path, server: SubmissionServer) -> None:
    kept = run("release", ID, EVE, "-c", configuration)
    assert (kept.exit_code, server.taken) == (1, [])
    assert kept.stderr.startswith(f"{ID} is infected: VIRUS: ClamAV found Win.Test\n--infected")
    assert run("release", ID, EVE.upper(), "-c", configuration, "--infected").exit_code == 0
    assert [envelope.rcpt_tos for envelope in server.taken] == [[EVE]]
    assert states(state)[ID, BOB] == "held", "it was asked for one recipient"
    assert messages(state / DIRECTORY) == [SPAM, ID]


def test_of_several_recipients_one_has_to_be_named_and_only_those_can_be(
    configuration: Path, server: SubmissionServer
) -> None:
    unsaid = run("release", ID, "-c", configuration, "--infected")
    assert (unsaid.exit_code, unsaid.stderr) == (2, f"say to whom: {BOB} (held), {EVE} (held)\n")
    other = run("release", ID, BOB, "mallory@example.com", "-c", configuration, "--infected")
    assert other.exit_code == 1
    assert f"is not held for mallory@example.com, but for {BOB} (held)" in other.stderr
    assert not server.taken
    both = run("release", ID, BOB, EVE, "-c", configuration, "--infected")
    assert both.exit_code == 0, both.output
    assert [envelope.rcpt_tos for envelope in server.taken] == [[BOB], [EVE]]


@pytest.mark.parametrize("at", ["rcpt", "data"])
def test_what_the_mta_refuses_stays_held_and_its_words_are_shown(
    state: Path, configuration: Path, server: SubmissionServer, at: str
) -> None:
    server.does[at] = "452 4.3.1 Insufficient system storage"
    refused = run("release", SPAM, "-c", configuration)
    assert refused.exit_code == 1
    assert refused.stderr == f"{SPAM} to {BOB}: not released, still held: 452 4.3.1 Insufficient system storage\n"
    assert states(state)[SPAM, BOB] == "held"
    server.does = {}
    assert run("release", SPAM, "-c", configuration).exit_code == 0
    assert len(server.taken) == 1


def test_an_mta_that_is_not_there_or_goes_before_the_message_changes_nothing(
    state: Path, configuration: Path, server: SubmissionServer
) -> None:
    server.does["rcpt"] = "break"
    assert "still held: Connection unexpectedly closed" in run("release", SPAM, "-c", configuration).stderr
    text = (configuration / "policies" / "server.toml").read_text()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        (configuration / "policies" / "server.toml").write_text(text.replace(str(server.port), str(port)))
        refused = run("release", SPAM, "-c", configuration).stderr
        assert f"still held: 127.0.0.1 port {port}: Connection refused" in refused
    assert states(state)[SPAM, BOB] == "held"


def test_a_connection_that_breaks_after_the_message_is_a_doubt_that_is_said(
    state: Path, configuration: Path, server: SubmissionServer
) -> None:
    server.does["data"] = "break"
    broken = run("release", SPAM, "-c", configuration)
    assert broken.exit_code == 1
    assert (
        f"{SPAM} to {BOB}: may have been delivered: the connection broke when all of it had been sent" in broken.stderr
    )
    assert states(state)[SPAM, BOB] == "releasing"
    server.does = {}
    kept = run("release", SPAM, "-c", configuration)
    assert (kept.exit_code, len(server.taken)) == (1, 1)
    assert "may have been delivered to bob@example.org already; --again" in kept.stderr
    assert run("release", SPAM, "-c", configuration, "--again").exit_code == 0
    assert len(server.taken) == 2


def test_a_release_that_earmark_did_not_see_is_told(state: Path, configuration: Path, server: SubmissionServer) -> None:
    server.recognises = False
    unseen = run("release", SPAM, "-c", configuration)
    assert unseen.exit_code == 1
    assert "handed over (250 2.0.0 Ok: queued as 4Released), but earmark did not see it as a release" in unseen.stderr
    assert states(state)[SPAM, BOB] == "released", "it is with the MTA"


def test_two_who_release_at_once_deliver_once(configuration: Path, server: SubmissionServer) -> None:
    """CliRunner replaces standard output for the whole process, so these are processes."""
    words = [sys.executable, "-m", "earmark", "quarantine", "release", SPAM, "-c", str(configuration)]
    several = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [(one.communicate(timeout=60), one.returncode) for one in several]
    assert sorted(code for _, code in ended) == [0, 1, 1], ended
    assert len(server.taken) == 1


async def keep_odd(state: Path) -> bytes:
    body = b"..\r\n.\r\nbare LF\nx\x00\xff\r\n" + b"y" * 200_000 + b"\r\n.end without line end"
    async with served(state) as store:
        assert (
            await store.keep(held("00000000000B", recipient("b\u00f6b@example.org", infected=False)), content(body))
            == ""
        )
    return body


async def test_a_body_of_every_kind_goes_out_as_smtp_has_it(
    state: Path, configuration: Path, server: SubmissionServer
) -> None:
    body = await keep_odd(state)
    released = run("release", "00000000000B", "-c", configuration)
    assert released.exit_code == 0, released.output
    (sent,) = server.bodies()
    assert sent.partition(b"\r\n\r\n")[2] == body.replace(b"bare LF\n", b"bare LF\r\n") + b"\r\n"
    assert server.taken[0].rcpt_tos == ["b\u00f6b@example.org"]
    assert server.taken[0].smtp_utf8


def test_a_message_is_deleted_for_one_recipient_or_for_all(state: Path) -> None:
    assert run("delete", ID, EVE, "--state", state).stdout == f"deleted: {ID} for {EVE}\n"
    assert messages(state / DIRECTORY) == [SPAM, ID]
    assert run("delete", ID, "--state", state).stdout == f"deleted: {ID} for {BOB}\n"
    assert messages(state / DIRECTORY) == [SPAM]
    assert {key[1]: value for key, value in states(state).items() if key[0] == ID} == {
        BOB: State.DELETED,
        EVE: State.DELETED,
    }
    assert run("delete", ID, "--state", state).exit_code == 1
    assert "deleted" in run("show", ID, "--state", state).stdout


def test_what_has_a_file_and_no_row_is_listed_too(state: Path) -> None:
    (state / DIRECTORY / "index.sqlite").unlink()
    listed = run("list", "--state", state)
    assert listed.stdout.count(ID) == 2
    assert listed.stderr.count("quarantine_found") == 2


def test_a_broken_file_keeps_nobody_from_the_others(state: Path) -> None:
    (state / DIRECTORY / "ZZZZZZZZZZZZ").write_bytes(b"{")
    listed: Any = run("list", "--state", state)
    assert listed.exit_code == 0
    assert len(listed.stdout.splitlines()) == 4
    assert "ZZZZZZZZZZZZ: is no message of the quarantine" in listed.stderr


def remembered(state: Path) -> None:
    """Have the history know the verdict that held SPAM, which came by an odd host with odd words."""
    facts: list[tuple[Question, Fact]] = [
        (ReverseName("192.0.2.7"), Fact(Status.PASS, ("mail.example.net",))),
        (HostAddress("mail.example.net"), Fact(Status.PASS, ("192.0.2.7",))),
        (MailHosts("example.net"), Fact(Status.PASS, ("192.0.2.8", "2001:db8::8"))),
        (Listing("zen.spamhaus.org", "203.0.113.7"), Fact(Status.FAIL, ("127.0.0.4",))),
        (CheckHost("192.0.2.7", "example.net", "a@example.net", "h"), Fact(Status.SOFTFAIL, ("a step",))),
        (DomainListing("dbl.spamhaus.org", "example.net"), Fact(Status.NONE)),
        (VirusScan(SPAM, "25000000"), Fact(Status.FAIL, ("Heuristics.Encrypted.Zip",))),
        (SpamScan(SPAM, "", "500000", "whole"), Fact(Status.PASS, ("6.50", "192.0.2.7", "RULE=6.50"))),
    ]
    fields = [("from", ' "\xe4\\" <a@example.net>\n\tfolded'), ("dkim-signature", "")]
    received = [" from [203.0.113.7] by mail.example.net with ESMTP id 1; Mon, 02 Nov 2026 09:00:00 +0000"]
    pairs = [((*question[:-1], question[-1]), fact) for question, fact in facts]
    one = record(SPAM, facts=pairs, fields=fields, received=received, helo="mail.example.net\x7f\U0001f4a9")
    history = History(state / FILE_NAME, Log(io.BytesIO()))
    history.add(one)
    assert history.close(10)


def test_what_was_released_is_kept_as_a_test_of_the_policies(state: Path, configuration: Path) -> None:
    remembered(state)
    policy = configuration / "policies" / "domains" / "example.org.toml"
    policy.write_text('domains = ["example.org"]\n[content]\nvirus_heuristic = "quarantine"\n')
    released = run("release", SPAM, "-c", configuration, "--as-test", policy)
    assert released.exit_code == 0, released.output
    assert f"{policy}: has a test more" in released.stdout
    (problem,) = failures(load(configuration))
    assert problem.key == "test[0].action"
    assert problem.reason.startswith(f"Released from quarantine: {SPAM}: expected mark, came quarantine")
    for found in ("VIRUS_HEURISTIC", "SPAMASSASSIN: SpamAssassin gives 6.50", "RECEIVED_ZEN_XBL", "SPF_SOFTFAIL"):
        assert found in problem.reason
    assert not {"NO_PTR", "SENDER_NO_MX", "HELO_UNRESOLVABLE"} & set(problem.reason.replace(":", "").split())
    policy.write_text(policy.read_text().replace('virus_heuristic = "quarantine"', 'virus_heuristic = "mark"'))
    assert failures(load(configuration)) == []


def test_without_a_record_there_is_no_test_and_nothing_is_released(
    state: Path, configuration: Path, server: SubmissionServer
) -> None:
    History(state / FILE_NAME, Log(io.BytesIO())).close(10)
    remembered(state)
    kept = run("release", ID, BOB, "--infected", "-c", configuration, "--as-test", "-")
    assert (kept.exit_code, server.taken) == (1, [])
    assert kept.stderr == f"the history does not remember verdict {ID}: no test can be made of it\n"
    assert states(state)[ID, BOB] == "held"
    printed = run("release", SPAM, "-c", configuration, "--as-test", "-").stdout
    assert "[[test]]" in printed
    assert all(character == "\n" or " " <= character <= "~" for character in printed)
