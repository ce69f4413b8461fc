"""`earmark learn` and `earmark lessons`: what spamd is told, what the journal holds, and the bound."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from earmark.cli import learn, lessons
from fakes.scanners import CUT, ScriptedScanner, scanners

APP = typer.Typer()
learn.register(APP)
lessons.register(APP)

LEARNED = b"SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\n\r\n\r\n"
KNOWN = b"SPAMD/1.1 0 EX_OK\r\n\r\n\r\n"
REFUSED = b"SPAMD/1.0 69 Service Unavailable: TELL commands are not enabled, set the --allow-tell switch.\r\n"
END = b"the end\r\n"
PLAIN = b"Subject: plain\r\nMessage-ID:\r\n <1@sender.example>\r\n\r\nbody\r\n" + END
SERVER = 'schema = 1\n[spamd]\nendpoints = ["{endpoint}"]\n[learning]\njournal = "{journal}"\nper_hour = {per_hour}\n'


class Site:
    """A configuration and a journal of their own, and a spamd that says what it is told to."""

    def __init__(self, top: Path, spamd: ScriptedScanner) -> None:
        self.spamd = spamd
        self._top = top
        (top / "policies").mkdir()
        (top / "journal").mkdir()
        self.allow(100)

    def allow(self, per_hour: int) -> None:
        server = SERVER.format(endpoint=self.spamd.endpoint, journal=self._top / "journal", per_hour=per_hour)
        (self._top / "policies" / "server.toml").write_text(server)

    async def run(self, *words: str, message: bytes = PLAIN) -> Result:
        """Run a command in a thread, since spamd answers in this one."""
        arguments = [*words, "--config", str(self._top)]
        return await asyncio.to_thread(CliRunner().invoke, APP, arguments, input=message, env={"COLUMNS": "200"})

    async def teach(self, message_class: str, user: str = "bob@lab.test", message: bytes = PLAIN) -> Result:
        return await self.run("learn", message_class, f"--user={user}", message=message)

    async def taught(self, *words: str) -> list[dict[str, Any]]:
        told = json.loads((await self.run("lessons", "--json", *words)).stdout)
        assert told["v"] == 1
        found: list[dict[str, Any]] = told["lessons"]
        return found


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with scanners([LEARNED], END) as (spamd,):
        yield Site(tmp_path, spamd)


async def test_spamd_is_told_the_message_and_its_class(site: Site) -> None:
    result = await site.teach("spam")
    assert (result.exit_code, result.stdout) == (0, "learned as spam\n"), result.output
    head = b"TELL SPAMC/1.5\r\nContent-length: %d\r\nMessage-class: spam\r\nSet: local\r\n\r\n" % len(PLAIN)
    assert [bytes(request) for request in site.spamd.requests] == [head + PLAIN]


async def test_the_database_of_a_user_is_taught_where_that_is_said(site: Site) -> None:
    await site.run("learn", "ham", "--spam-user", "lab.test")
    assert b"\r\nUser: lab.test\r\n" in site.spamd.requests[0]
    assert [lesson["spam_user"] for lesson in await site.taught()] == ["lab.test"]


async def test_our_own_fields_are_not_taught_and_all_others_are(site: Site) -> None:
    ours = b"X-Spam-Flag: YES\r\nX-SPAM-Status: Yes,\r\n\ttests=A\r\nX-Earmark : v=1\r\nX-Spam-level: *\r\n"
    await site.teach("spam", message=ours + PLAIN)
    assert site.spamd.requests[0].endswith(b"Set: local\r\n\r\n" + PLAIN)


async def test_the_journal_says_who_taught_what(site: Site) -> None:
    await site.teach("spam")
    site.spamd.says = KNOWN
    result = await site.teach("spam", "eve@lab.test")
    assert result.stdout == "nothing new: SpamAssassin knew it as spam\n"
    assert [
        (lesson["teacher"], lesson["message_class"], lesson["message_id"], lesson["outcome"])
        for lesson in await site.taught()
    ] == [
        ("eve@lab.test", "spam", "<1@sender.example>", "unchanged"),
        ("bob@lab.test", "spam", "<1@sender.example>", "learned"),
    ]
    assert [lesson["teacher"] for lesson in await site.taught("--user", "bob@lab.test")] == ["bob@lab.test"]


async def test_the_same_lesson_is_given_once_and_its_opposite_every_time(site: Site) -> None:
    for message_class in ("spam", "spam", "ham", "ham", "spam"):
        assert (await site.teach(message_class)).exit_code == 0
    assert [b"class: spam" in request for request in site.spamd.requests] == [True, False, True]


async def test_a_lesson_that_somebody_else_has_undone_is_given_again(site: Site) -> None:
    for message_class, user in (("spam", "bob"), ("ham", "eve"), ("spam", "bob")):
        await site.teach(message_class, user)
    assert len(site.spamd.requests) == 3


async def test_over_the_bound_spamd_is_not_told_and_the_teacher_is_named(site: Site) -> None:
    site.allow(2)
    results = [await site.teach("spam", message=b"X: %d\r\n" % number + PLAIN) for number in range(3)]
    assert [result.exit_code for result in results] == [0, 0, 1]
    assert results[2].stderr == "bob@lab.test may give 2 lessons an hour: nothing is learnt\n"
    assert (await site.teach("spam", "eve@lab.test", b"X: 3\r\n" + PLAIN)).exit_code == 0, "others may"
    assert len(site.spamd.requests) == 3
    assert len(await site.taught()) == 3


async def test_teachers_at_the_same_time_share_the_bound_of_their_user(site: Site) -> None:
    site.allow(2)
    messages = [b"X: %d\r\n" % number + PLAIN for number in range(4)]
    command = ["--user=bob", "--config", str(site._top)]
    running = [await _earmark("learn", "spam", *command) for _ in messages]
    await asyncio.gather(*(child.communicate(message) for child, message in zip(running, messages, strict=True)))
    assert sorted(child.returncode or 0 for child in running) == [0, 0, 1, 1]
    assert len(site.spamd.requests) == 2


async def _earmark(*words: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "earmark", *words, stdin=pipe, stdout=pipe, stderr=pipe
    )


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (REFUSED, "it refuses: 69 Service Unavailable"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not of this protocol"),
        (CUT, "closed without an answer"),
    ],
)
async def test_what_spamd_does_not_take_is_a_failure_and_may_be_taught_again(site: Site, says: bytes, why: str) -> None:
    site.spamd.says = says
    result = await site.teach("spam")
    assert (result.exit_code, result.stdout) == (1, "")
    assert why in result.stderr
    assert "nothing is learnt" in result.stderr
    (lesson,) = await site.taught()
    assert lesson["outcome"] == "failed"
    assert why in lesson["why"]
    site.spamd.says = LEARNED
    assert (await site.teach("spam")).exit_code == 0


async def test_a_spamd_that_is_not_there_is_a_failure(site: Site) -> None:
    await site.spamd.stop()
    result = await site.teach("ham")
    assert (result.exit_code, result.stderr) == (
        1,
        f"{site.spamd.endpoint}: Connection refused: nothing is learnt, as far as is known\n",
    )


async def test_a_message_that_nobody_scans_is_not_taught(site: Site) -> None:
    result = await site.teach("spam", message=PLAIN + b"x" * learn.LARGEST)
    assert (result.exit_code, result.stderr) == (1, "larger than 500000 bytes: nothing is learnt\n")
    assert (await site.teach("spam", message=b"")).exit_code == 2
    assert not site.spamd.requests


async def test_without_a_spamd_or_with_half_a_name_the_command_line_is_at_fault(site: Site) -> None:
    (site._top / "policies" / "server.toml").write_text("schema = 1\n")
    result = await site.teach("spam")
    assert result.exit_code == 2
    assert "no spamd is named" in result.stderr
    assert (await site.run("learn", "spam", "--spamd", "127.0.0.1:783")).exit_code == 2
    assert (await site.run("learn", "eggs")).exit_code == 2


async def test_names_from_outside_steer_no_terminal(site: Site) -> None:
    await site.teach("spam", "\x1b[31mbob\n", b"Message-ID: \x1b[2J\xff\r\n" + PLAIN)
    shown = (await site.run("lessons")).stdout
    assert "\x1b" not in shown
    assert "?[31mbob?" in shown
    assert len(shown.splitlines()) == 2


async def test_where_nothing_was_taught_that_is_said(site: Site) -> None:
    assert (await site.run("lessons")).stdout == "nothing was taught\n"


async def test_a_directory_that_is_not_there_and_a_broken_configuration_are_told(site: Site) -> None:
    gone = await site.run("learn", "spam", "--journal", str(site._top / "nowhere"))
    assert gone.exit_code == 1
    assert "nowhere" in gone.stderr
    (site._top / "policies" / "server.toml").write_text("schema = 1\n[learning]\nper_hours = 3\n")
    wrong = await site.teach("spam")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("policies/server.toml:3:1: learning.per_hours: unknown setting")
