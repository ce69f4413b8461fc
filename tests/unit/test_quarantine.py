"""The quarantine: on disk before it is answered for, bounded, found again after a crash, released once."""

import asyncio
import errno
import io
import os
import resource
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from earmark.content import Content
from earmark.core.evidence import Status
from earmark.log import Log
from earmark.stores import quarantine_index as index
from earmark.stores.quarantine import DIRECTORY
from earmark.stores.quarantine_files import NewFile, opened, remove_unfinished
from earmark.stores.quarantine_index import State
from earmark.stores.quarantine_upkeep import remove_unneeded, tidy
from fakes import held as fake
from fakes.held import (
    BOB,
    EVE,
    ID,
    MESSAGE,
    content,
    held,
    indexed,
    message,
    messages,
    quarantine,
    quiet,
    recipient,
    rows,
)
from fakes.waiting import until

NOW = time.time()
TOKEN = "0123456789abcdef" * 2


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / DIRECTORY


async def test_a_message_lies_in_a_file_of_its_own_that_explains_itself(tmp_path: Path) -> None:
    what = held(ID, recipient(), recipient(EVE, infected=False))
    async with quarantine(tmp_path) as store:
        assert await store.keep(what) == ""
        assert not store.events()
        with opened(store.directory, ID) as stored:
            assert stored.held == what
            assert stored.size == len(MESSAGE)
            assert stored.file.read() == MESSAGE
        assert (store.directory / ID).read_bytes().startswith(b'{"v":1,"id":"0123456789AB","at":')


async def test_nobody_else_may_read_what_is_held(tmp_path: Path) -> None:
    async with quarantine(tmp_path) as store:
        await store.keep(held())
        assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
        assert stat.S_IMODE((store.directory / ID).stat().st_mode) == 0o600


async def test_each_recipient_has_a_row_with_what_is_needed_to_decide(tmp_path: Path) -> None:
    async with quarantine(tmp_path) as store:
        await store.keep(held(ID, recipient(days=2), recipient(EVE, infected=False)))
        bob, eve = rows(store.directory)
    assert bob == index.Row(
        ID, BOB, "example.org", "example.org", "quarantine", True, ("VIRUS: ClamAV found Win.Test",),
        "a@example.net", "folded once", 4e9, 4e9 + 2 * 86400, len(MESSAGE), State.HELD,
    )  # fmt: skip
    assert (eve.recipient, eve.infected) == (EVE, False)


async def test_a_large_message_is_kept_whole_while_others_are_served(tmp_path: Path) -> None:
    body = b"0123456789abcdef" * 65536 * 5
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with quarantine(tmp_path) as store:
        meanwhile = asyncio.create_task(others())
        large = content(body)
        assert await store.keep(held(ID, recipient(megabytes=10)), large) == ""
        large.close()
        meanwhile.cancel()
        assert message(store.directory).endswith(b"\r\n\r\n" + body)
    assert turns > 50


async def test_a_message_without_the_end_that_its_header_needs_is_not_kept(tmp_path: Path) -> None:
    cut = Content(fake.HEADERS, truncated=True)
    cut.finish()
    async with quarantine(tmp_path) as store:
        assert await store.keep(held(), cut) == "the message is gone: its header was cut"
        assert not messages(store.directory)


async def begun(directory: Path) -> None:
    """Return in the turn of the event loop in which the file is begun."""
    async with asyncio.timeout(10):
        while not (directory / f"{ID}.new").exists():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)


@pytest.mark.parametrize("in_memory", [10, 10_000_000])
async def test_a_message_that_is_closed_meanwhile_is_not_kept(tmp_path: Path, in_memory: int) -> None:
    made = Content(fake.HEADERS, in_memory=in_memory)
    for _ in range(100):
        made.add(b"x" * 10_000)
    made.finish()
    async with quarantine(tmp_path) as store:
        asked = asyncio.create_task(store.keep(held(), made))
        await begun(store.directory)
        made.close()
        assert await asked == "the message is gone: closed"
        assert not messages(store.directory)
        assert not rows(store.directory)


async def test_a_message_that_is_closed_when_it_has_been_written_is_not_kept_either(tmp_path: Path) -> None:
    """So it is when the engine has waited long enough and answered 451."""
    async with quarantine(tmp_path) as store:
        await store.keep(held("00000000000A"))
        made = content()
        with indexed(store.directory) as connection:
            asked = asyncio.create_task(store.keep(held(), made))
            await begun(store.directory)
            connection.execute("BEGIN IMMEDIATE")  # so that the row has to wait
            await until(lambda: ID in messages(store.directory))
            made.close()
            connection.execute("COMMIT")
        assert await asked == "the message is gone: closed"
        assert messages(store.directory) == [row.id for row in rows(store.directory)] == ["00000000000A"]


async def test_a_domain_holds_no_more_than_its_quota_and_what_it_holds_stays(tmp_path: Path) -> None:
    async with quarantine(tmp_path) as store:
        third = content(b"x" * 400_000)
        names = ["00000000000A", "00000000000B", "00000000000C"]
        said = [await store.keep(held(name), third) for name in names]
        assert said == ["", "", "quota: 0.8 of 1 MB are held for example.org, and this one has 0.4"]
        assert messages(store.directory) == names[:2]
        assert await store.keep(held("00000000000D", recipient(EVE)), third) == "", "another domain has its own"
        assert [event["event"] for event in store.events()] == ["quarantine_failed"]
        third.close()


async def test_a_message_counts_once_for_its_domain_however_many_recipients_it_has(tmp_path: Path) -> None:
    several = [recipient(f"u{number}@example.org") for number in range(20)]
    async with quarantine(tmp_path) as store:
        first = content(b"x" * 900_000)
        assert await store.keep(held(ID, *several), first) == ""
        assert len(rows(store.directory)) == 20
        first.close()


async def test_many_recipients_of_small_messages_do_not_pass_the_quota_unseen(tmp_path: Path) -> None:
    several = [recipient(f"u{number}@example.org") for number in range(400)]
    async with quarantine(tmp_path) as store:
        said = [await store.keep(held(f"00000000000{name}", *several)) for name in "ABC"]
        assert [why[:6] for why in said] == ["", "", "quota:"]
        assert sum((store.directory / name).stat().st_size for name in messages(store.directory)) < 1_000_000


async def test_workers_that_write_at_once_do_not_pass_the_quota_together(tmp_path: Path) -> None:
    async with quarantine(tmp_path) as one, quarantine(tmp_path) as other:
        large = [content(b"x" * 300_000) for _ in range(8)]
        said = await asyncio.gather(
            *((one, other)[n % 2].keep(held(f"00000000000{n}"), each) for n, each in enumerate(large))
        )
        assert sorted(why[:6] for why in said) == ["", "", "", *["quota:"] * 5]
        assert len(messages(one.directory)) == 3
        assert {row.id for row in rows(one.directory)} == set(messages(one.directory))


async def test_what_is_over_takes_no_room(tmp_path: Path) -> None:
    async with quarantine(tmp_path) as store:
        large = content(b"x" * 900_000)
        assert await store.keep(held("00000000000A", recipient(days=1), at=NOW - 90_000), large) == ""
        assert await store.keep(held("00000000000B"), large) == ""
        large.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_takes_no_more_leaves_nothing_behind_and_is_told(tmp_path: Path) -> None:
    async with quarantine(tmp_path) as store:
        large = content(b"x" * 500_000)
        with files_of_at_most(100_000):
            why = await store.keep(held(), large)
        assert os.strerror(errno.EFBIG) in why
        assert not messages(store.directory)
        assert [event["event"] for event in store.events()] == ["quarantine_failed"]
        assert await store.keep(held(), large) == "", "when there is room again"
        large.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(command, check=False).returncode:
        pytest.skip("who tests may not mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


async def test_a_full_disk_costs_new_messages_and_none_that_is_held(small_disk: Path) -> None:
    async with quarantine(small_disk) as store:
        said = []
        for number in range(8):
            each = content(b"%d" % number * 100_000)
            said.append(await store.keep(held(f"00000000000{number}"), each))
            each.close()
        kept = [f"00000000000{number}" for number, why in enumerate(said) if not why]
        assert 1 <= len(kept) < 8
        assert all("No space left" in why or "disk is full" in why for why in said if why)
        assert messages(store.directory) == kept
        assert all(len(message(store.directory, name)) > 100_000 for name in kept)


@pytest.fixture
def index_of_a_newer_program(directory: Path) -> None:
    directory.mkdir()
    with closing(sqlite3.connect(directory / index.FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.usefixtures("index_of_a_newer_program")
async def test_an_index_that_cannot_be_used_means_that_nothing_is_held(tmp_path: Path, directory: Path) -> None:
    async with quarantine(tmp_path) as store:
        assert "schema version 99 is newer" in await store.keep(held())
        assert not messages(directory)
        assert (await store.ask(ID, TOKEN)).status is Status.TEMPERROR


async def test_a_message_without_a_row_is_found_again_and_one_without_an_end_is_not(tmp_path: Path) -> None:
    async with quarantine(tmp_path) as store:
        await store.keep(held())
        before = rows(store.directory)
        half = NewFile(store.directory, held("00000000000A"))
        half.write(b"Subject: half a mess")
    (store.directory / index.FILE_NAME).unlink()
    assert tidy(store.directory, quiet(), set()) == 0
    assert rows(store.directory) == before
    remove_unfinished(store.directory, time.time() + 3500)
    assert messages(store.directory) == ["00000000000A.new", ID], "somebody may be writing it"
    remove_unfinished(store.directory, time.time() + 3700)
    assert messages(store.directory) == [ID]
    half.discard()


def test_a_broken_index_is_made_again_from_the_messages(tmp_path: Path, directory: Path) -> None:
    fake.keep_all(tmp_path, held(), held("00000000000A", recipient(EVE)))
    before = rows(directory)
    (directory / index.FILE_NAME).write_bytes(b"no database at all" * 1000)
    tidy(directory, quiet(), set())
    assert rows(directory) == before


def test_a_file_that_is_no_message_is_told_once_and_left_alone(tmp_path: Path, directory: Path) -> None:
    fake.keep_all(tmp_path, held())
    for name, text in {
        "00000000000A": b"",
        "00000000000B": b'{"v":2}\nx',
        "00000000000C": b"{}\n",
        "README": b"",
    }.items():
        (directory / name).write_bytes(text)
    (directory / "00000000000D").symlink_to("/etc/passwd")
    lines, unreadable = io.BytesIO(), set[str]()
    for _ in range(2):
        tidy(directory, Log(lines), unreadable)
    assert lines.getvalue().count(b'"event":"quarantine_unreadable"') == 4
    assert b"version 2 is not one that this program reads (1)" in lines.getvalue()
    assert [row.id for row in rows(directory)] == [ID]
    assert len(messages(directory)) == 6


def test_what_has_expired_goes_when_its_last_recipient_needs_it_no_more(tmp_path: Path, directory: Path) -> None:
    fake.keep_all(tmp_path, held(ID, recipient(days=1), recipient(EVE, days=3), at=NOW - 2 * 86400))
    assert tidy(directory, quiet(), set()) == 1
    assert [row.recipient for row in rows(directory)] == [EVE]
    assert messages(directory) == [ID]
    with indexed(directory) as connection:
        assert index.delete(connection, ID, EVE)
        remove_unneeded(connection, directory, time.time())
    assert not messages(directory)
    assert [row.state for row in rows(directory)] == [State.DELETED], "that it was deleted is remembered"
    assert tidy(directory, quiet(), set()) == 0


def test_a_release_under_way_is_not_cut_off_by_age(tmp_path: Path, directory: Path) -> None:
    fake.keep_all(tmp_path, held(ID, recipient(days=1), at=NOW - 86400 + 5))
    with indexed(directory) as connection:
        assert index.begin_release(connection, ID, BOB, TOKEN, time.time(), again=False)
        remove_unneeded(connection, directory, time.time() + 60)
        assert not index.forget_expired(connection, time.time() + 60)
        assert messages(directory) == [ID]
        remove_unneeded(connection, directory, time.time() + 700)
        assert index.forget_expired(connection, time.time() + 700) == 1
    assert not messages(directory)


async def test_a_release_is_known_by_its_token_once_and_for_ten_minutes(tmp_path: Path) -> None:
    async with quarantine(tmp_path) as store:
        assert (await store.ask(ID, TOKEN)).status is Status.NONE, "before anything is held"
        await store.keep(held(ID, recipient(), recipient(EVE)))
        assert (await store.ask(ID, "")).status is Status.NONE
        with indexed(store.directory) as connection:
            assert index.begin_release(connection, ID, EVE, TOKEN, time.time(), again=False)
        for other in ("", TOKEN[:-1], TOKEN[:-1] + "0", TOKEN.upper()):
            assert (await store.ask(ID, other)).status is Status.NONE
        assert (await store.ask("00000000000A", TOKEN)).status is Status.NONE
        assert (await store.ask(ID, TOKEN)).status is Status.PASS
        assert (await store.ask(ID, TOKEN)).status is Status.NONE
        with indexed(store.directory) as connection:
            assert index.end_release(connection, ID, EVE, State.HELD)
            assert index.begin_release(connection, ID, EVE, TOKEN, time.time() - 601, again=False)
        assert (await store.ask(ID, TOKEN)).status is Status.NONE


def test_of_two_who_release_the_same_only_one_may(tmp_path: Path, directory: Path) -> None:
    fake.keep_all(tmp_path, held())
    with indexed(directory) as one, indexed(directory) as other:
        assert index.begin_release(one, ID, BOB, TOKEN, time.time(), again=False)
        assert not index.begin_release(other, ID, BOB, TOKEN, time.time(), again=False)
        assert index.begin_release(other, ID, BOB, TOKEN, time.time(), again=True), "who says so takes the risk"
        assert not index.end_release(one, ID, BOB, State.RELEASED), "the service has not seen it"
        assert not index.begin_release(other, ID, BOB, TOKEN, time.time(), again=True)


async def test_addresses_and_subjects_of_every_kind_are_data(tmp_path: Path) -> None:
    odd = "b\u00fc\x1b'; DROP TABLE held; --@example.org"
    what = held(ID, recipient(odd), sender='"\\\n"@x')
    async with quarantine(tmp_path) as store:
        assert await store.keep(what) == ""
        (store.directory / index.FILE_NAME).unlink()
        tidy(store.directory, quiet(), set())
        (row,) = rows(store.directory)
        assert (row.recipient, row.sender) == (odd, what.sender)
