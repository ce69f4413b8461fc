"""The allow and deny lists on disk and in memory: followed, shared, and never in the way of mail."""

import asyncio
import io
import json
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from earmark.core.access import Kind, entry_text
from earmark.core.evidence import Entries, Fact, Status
from earmark.log import Log
from earmark.stores.access import AccessLists
from earmark.stores.access_file import FILE_NAME, key_of, put, read, remove
from earmark.stores.sqlite import StoreError
from fakes.entries import allow, deny
from fakes.waiting import until

QUESTION = Entries("192.0.2.7", "", "", "a@example.net", "bob@example.org")
CLIENT = deny(Kind.CLIENT, "192.0.2.7", "example.org", author="alice", created="2027-01-01T00:00:00Z", note="a note")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def asked(lists: AccessLists, question: Entries = QUESTION) -> Fact:
    told: list[Fact] = []
    lists.ask(question, lambda _, fact: told.append(fact))
    (fact,) = told
    return fact


@asynccontextmanager
async def followed(path: Path, stream: io.BytesIO | None = None) -> AsyncIterator[AccessLists]:
    lists = AccessLists(path, Log(stream or io.BytesIO()))
    lists.follow()
    try:
        yield lists
    finally:
        lists.close()


def gone(path: Path) -> None:
    path.unlink()


def events(stream: io.BytesIO) -> list[str]:
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def test_what_was_put_is_read_and_found(path: Path) -> None:
    entries = [CLIENT, allow(Kind.DOMAIN, "*.example.com", expires=2_000_000_000, unauthenticated=True)]
    assert put(path, entries) == 0
    assert sorted(read(path)) == sorted(entries)
    fact = asked(AccessLists(path, Log(io.BytesIO())))
    assert (fact.status, fact.data, fact.source) == (Status.PASS, (entry_text(CLIENT),), FILE_NAME)


def test_without_a_file_there_is_no_entry(path: Path) -> None:
    stream = io.BytesIO()
    assert asked(AccessLists(path, Log(stream))).status is Status.NONE
    assert read(path) == []
    assert not remove(path, key_of(CLIENT))
    assert not path.exists()
    assert not stream.getvalue()


def test_an_entry_takes_the_place_of_the_one_with_its_verb_subject_and_scope(path: Path) -> None:
    other = allow(Kind.CLIENT, "192.0.2.7", "example.org")
    put(path, [CLIENT, other])
    assert put(path, [CLIENT._replace(note="another"), deny(Kind.CLIENT, "192.0.2.8")]) == 1
    assert len(read(path)) == 3
    assert remove(path, key_of(CLIENT))
    assert not remove(path, key_of(CLIENT))
    assert other in read(path)


def test_all_are_written_or_none(path: Path) -> None:
    put(path, [CLIENT])
    broken = deny(Kind.CLIENT, "192.0.2.9")._replace(expires="never")  # type: ignore[arg-type] # what the table refuses
    with pytest.raises(StoreError, match="cannot store TEXT"):
        put(path, [deny(Kind.CLIENT, "192.0.2.8"), broken])
    assert read(path) == [CLIENT]


def test_the_world_cannot_read_the_file(path: Path) -> None:
    old = os.umask(0)
    try:
        put(path, [CLIENT])
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_several_administrators_at_once_lose_nothing(path: Path) -> None:
    entries = [deny(Kind.CLIENT, f"192.0.2.{number}") for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda entry: put(path, [entry]), entries))
    assert sorted(read(path)) == sorted(entries)


def test_expired_entries_stay_in_the_file_and_leave_memory(path: Path) -> None:
    put(path, [CLIENT._replace(expires=1)])
    assert asked(AccessLists(path, Log(io.BytesIO()))).status is Status.NONE
    assert len(read(path)) == 1


async def test_a_change_is_followed_whoever_makes_it(path: Path) -> None:
    async with followed(path) as lists, followed(path) as others:
        for workers_know in (lists, others):
            assert asked(workers_know).status is Status.NONE
        put(path, [CLIENT])
        await until(lambda: asked(lists).status is asked(others).status is Status.PASS)
        remove(path, key_of(CLIENT))
        await until(lambda: asked(lists).status is asked(others).status is Status.NONE)


async def test_a_file_that_is_replaced_or_removed_is_followed(path: Path) -> None:
    put(path, [CLIENT])
    async with followed(path) as lists:
        put(path.with_name("other"), [deny(Kind.SENDER, "a@example.net")])
        path.with_name("other").replace(path)
        await until(lambda: "sender" in "".join(asked(lists).data))
        gone(path)
        await until(lambda: asked(lists).status is Status.NONE)


async def test_many_entries_are_read_while_others_have_their_turn(path: Path) -> None:
    entries = [deny(Kind.DOMAIN, f"d{number}.example") for number in range(5000)]
    async with followed(path) as lists:
        turns = 0
        put(path, [*entries, CLIENT])
        while asked(lists).status is Status.NONE:
            turns = turns + 1 if lists._reading else 0
            await asyncio.sleep(0)
        assert turns >= 9, "one turn of the loop reads 500"


async def test_a_broken_file_leaves_what_was_known_and_is_said_once(path: Path) -> None:
    stream = io.BytesIO()
    put(path, [CLIENT])
    async with followed(path, stream) as lists:
        path.with_name("other").write_bytes(b"this is no database" * 1000)
        path.with_name("other").replace(path)
        await until(lambda: "access_failed" in events(stream))
        assert asked(lists).status is Status.PASS
        for _ in range(3):
            lists._look()
        assert events(stream) == ["access_failed"]
        gone(path)
        put(path, [])
        lists._look()
        await until(lambda: asked(lists).status is Status.NONE)
        assert events(stream) == ["access_failed", "access_resumed"]


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\0" + 4080 * b"\xff"])
def test_with_a_broken_file_from_the_start_nobody_knows(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    stream = io.BytesIO()
    fact = asked(AccessLists(path, Log(stream)))
    assert fact.status is Status.TEMPERROR
    assert fact.why
    assert events(stream) == ["access_failed"]
    with pytest.raises(StoreError):
        put(path, [CLIENT])
    assert path.read_bytes() == content, "nobody throws away what was entered by hand"


def test_an_empty_file_holds_no_entry(path: Path) -> None:
    path.touch()
    assert asked(AccessLists(path, Log(io.BytesIO()))).status is Status.NONE


def test_a_file_of_a_newer_program_is_left_alone(path: Path) -> None:
    put(path, [CLIENT])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    assert "newer" in asked(AccessLists(path, Log(io.BytesIO()))).why
    for use in (lambda: put(path, [CLIENT]), lambda: remove(path, key_of(CLIENT)), lambda: read(path)):
        with pytest.raises(StoreError, match="newer"):
            use()


async def test_a_command_that_is_writing_holds_up_nobody(path: Path) -> None:
    put(path, [CLIENT])
    async with followed(path) as lists:
        assert lists._connection is not None
        assert lists._connection.execute("PRAGMA busy_timeout").fetchone() == (0,)
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            writer.execute("DELETE FROM entry")
            for _ in range(3):
                lists._look()
            assert asked(lists).status is Status.PASS
            writer.execute("COMMIT")
        await until(lambda: asked(lists).status is Status.NONE)


def test_what_a_killed_command_left_half_done_is_undone(path: Path) -> None:
    put(path, [CLIENT])
    child = os.fork()
    if not child:
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN IMMEDIATE")
        rows = [("deny", "helo", f"{number}.example", "", 0, 0, "", "", 300 * "x") for number in range(2000)]
        writer.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        os._exit(0)
    os.waitpid(child, 0)
    assert path.with_name(path.name + "-journal").exists()
    assert asked(AccessLists(path, Log(io.BytesIO()))).data == (entry_text(CLIENT),)


def test_a_link_in_place_of_the_file_is_not_followed_by_who_writes(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    path.symlink_to(elsewhere)
    with pytest.raises(StoreError, match="symbolic links"):
        put(path, [CLIENT])
    assert not elsewhere.read_bytes()


def test_an_entry_with_another_kind_than_ours_is_said_and_not_guessed_at(path: Path) -> None:
    put(path, [CLIENT])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE entry SET kind = 'country'")
    assert "country" in asked(AccessLists(path, Log(io.BytesIO()))).why


@pytest.mark.parametrize(
    "row", ["'a', NULL, 0, 0, '', '', NULL", "'a', '', 'x', 0, '', '', ''", "5, '', 0, 0, '', '', ''"]
)
def test_a_file_that_says_it_is_ours_and_is_not_is_unknown_and_no_fault(path: Path, row: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "CREATE TABLE entry (verb, kind, subject, scope, expires, unauthenticated, author, created, note)"
        )
        other.execute(f"INSERT INTO entry VALUES ('deny', 'helo', {row})")  # noqa: S608 - a literal from above
        other.execute("PRAGMA user_version = 1")
        other.commit()
    fact = asked(AccessLists(path, Log(io.BytesIO())))
    assert (fact.status, fact.why) == (Status.TEMPERROR, "a row that is no entry")
    with pytest.raises(StoreError, match="a row that is no entry"):
        read(path)
