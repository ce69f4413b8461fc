"""`earmark greylist`: what is remembered, in words and in JSON; and how it is forgotten."""

import asyncio
import json
import os
import pwd
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from earmark.cli import greylist
from earmark.core.effects import Attempt, Passed
from earmark.core.evidence import Greylisting
from earmark.stores.state_sqlite import FILE_NAME, triplets
from fakes.states import observed

APP = typer.Typer()
greylist.register(APP)
APP.command("other")(lambda: None)

NOW = float(int(time.time())) - 600
WAITING = Greylisting("192.0.2.0/24", "odd.example", "example.org")
BUSY = Greylisting("2001:db8::/64", "\x1b[31mbusy.example", "example.org")
PASSED = Greylisting("good.example", "good.example", "example.org")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    async def remember() -> None:
        async with observed(tmp_path) as store:
            store.state.do(Attempt(WAITING, NOW, id="0123456789AB"))
            for number in range(3):
                store.state.do(Attempt(BUSY, NOW - 100 + number))
            store.state.do(Attempt(PASSED, NOW - 500))
            store.state.do(Passed(PASSED, NOW + 10))

    asyncio.run(remember())
    return tmp_path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(APP, ["greylist", *map(str, words)], env={"COLUMNS": "200"})


def listed(state: Path, which: str) -> list[str]:
    result = run("list", which, "--state", state, "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["v"] == 1
    return [one["sender"] for one in told["triplets"]]


def test_the_last_seen_comes_first(state: Path) -> None:
    assert listed(state, "all") == ["good.example", "odd.example", "\x1b[31mbusy.example"]
    assert listed(state, "waiting") == ["odd.example", "\x1b[31mbusy.example"]
    assert listed(state, "passed") == ["good.example"]


def test_the_top_is_who_came_most_often(state: Path) -> None:
    assert listed(state, "top")[0] == "\x1b[31mbusy.example"


def test_the_list_is_for_people_and_steers_no_terminal(state: Path) -> None:
    result = run("list", "--state", state, "--limit", "2")
    assert result.stdout.splitlines()[0] == "2 waiting, 1 passed"
    assert "odd.example" in result.stdout
    assert "\x1b" not in run("list", "--state", state).stdout
    assert len(result.stdout.splitlines()) == 1 + 1 + 2


@pytest.mark.parametrize("who", ["odd.example", "ODD.example.", "192.0.2.0/24", "192.0.2.77"])
def test_who_is_found_by_domain_network_or_address(state: Path, who: str) -> None:
    result = run("show", who, "--state", state)
    assert result.exit_code == 0
    assert "192.0.2.0/24 odd.example example.org" in result.stdout
    assert "told to come back 1 time, first by verdict 0123456789AB" in result.stdout
    assert "good.example" not in result.stdout


def test_of_a_stranger_nothing_is_remembered(state: Path) -> None:
    result = run("show", "stranger.example", "--state", state)
    assert (result.exit_code, result.stdout) == (1, "nothing is remembered of stranger.example\n")


def test_one_is_forgotten_and_the_others_stay(state: Path) -> None:
    assert run("clear", "odd.example", "--state", state).stdout == "1 forgotten\n"
    assert len(triplets(state / FILE_NAME)) == 2
    assert run("clear", "--all", "--state", state).stdout == "2 forgotten\n"
    assert not triplets(state / FILE_NAME)


@pytest.mark.parametrize("words", [(), ("odd.example", "--all")])
def test_all_is_forgotten_only_when_that_is_said(state: Path, words: tuple[str, ...]) -> None:
    assert run("clear", *words, "--state", state).exit_code == 2
    assert len(triplets(state / FILE_NAME)) == 3


def test_where_nothing_has_been_kept_nothing_is_listed(tmp_path: Path) -> None:
    assert run("list", "--state", tmp_path).stdout == "0 waiting, 0 passed\n"


def test_a_state_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    for words in (["list"], ["show", "odd.example"], ["clear", "--all"]):
        gone = run(*words, "--state", tmp_path / "nowhere")
        assert (gone.exit_code, gone.stderr) == (1, f"{tmp_path}/nowhere: No such file or directory\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as the service's account")
def test_root_follows_no_link_that_the_owner_of_the_state_directory_could_not_follow(state: Path) -> None:
    account = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="earmark-") as top:
        Path(top).chmod(0o755)
        private, theirs = Path(top, "private"), Path(top, "state")
        shutil.copytree(state, private)
        private.chmod(0o700)
        theirs.mkdir()
        (theirs / FILE_NAME).symlink_to(private / FILE_NAME)
        os.chown(theirs, account.pw_uid, account.pw_gid)
        for words in (["list"], ["show", "odd.example"], ["clear", "--all"]):
            refused = run(*words, "--state", theirs)
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert "Permission denied" in refused.stderr
        assert os.geteuid() == 0, "root again for what comes after"
        assert len(triplets(private / FILE_NAME)) == 3
        assert not (theirs / f"{FILE_NAME}.lock").exists()


def test_a_store_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 1000)
    result = run("list", "--state", tmp_path)
    assert result.exit_code == 1
    assert FILE_NAME in result.stderr
