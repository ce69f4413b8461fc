"""The state of greylisting and rates in a file: what is found again, what expires, and what happens when it is gone."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from earmark.core.effects import Attempt, Passed
from earmark.core.evidence import Status
from earmark.log import Log
from earmark.stores.sqlite import StoreError
from earmark.stores.state_sqlite import FILE_NAME, STATE, SqliteState, forget, triplets
from earmark.stores.triplets import Triplet
from fakes.states import BUCKET, TRIPLET, observed
from fakes.waiting import until

TRIPLET_COLUMNS = "origin, sender, recipient, first, id, tries, passed, last, times, until"
NOW = float(int(time.time()))


class Nowhere:
    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        pass


async def test_what_is_noted_is_found_again_by_the_next_process(tmp_path: Path) -> None:
    async with observed(tmp_path) as store:
        assert (await store.ask(TRIPLET)).status is Status.NONE
        store.state.do(Attempt(TRIPLET, NOW, id="ONE"))
        store.state.do(Attempt(TRIPLET, NOW, id="ONE"))  # another recipient of the same message
        store.state.do(Attempt(TRIPLET, NOW + 5, id="TWO"))
    async with observed(tmp_path) as store:
        assert (await store.ask(TRIPLET))[:2] == (Status.FAIL, (repr(NOW), "ONE"))
        store.state.do(Passed(TRIPLET, NOW + 300))
        store.state.do(Passed(TRIPLET, NOW + 300))
        store.state.do(Passed(TRIPLET, NOW + 900))
        assert (await store.ask(TRIPLET))[:2] == (Status.PASS, (repr(NOW + 300), repr(NOW + 900), "2"))
        assert not store.told()
    assert triplets(tmp_path / FILE_NAME) == [
        Triplet(*TRIPLET[:-1], NOW, "ONE", 2, NOW + 300, NOW + 900, 2, NOW + 900 + 3_024_000)
    ]


async def test_who_never_had_to_wait_can_be_noted_as_passed(tmp_path: Path) -> None:
    async with observed(tmp_path) as store:
        store.state.do(Passed(TRIPLET, NOW))
        assert (await store.ask(TRIPLET))[:2] == (Status.PASS, (repr(NOW), repr(NOW), "1"))


async def test_an_answer_comes_at_once(tmp_path: Path) -> None:
    async with observed(tmp_path) as store:
        assert store.ask_at_once(TRIPLET)
        assert store.ask_at_once(BUCKET)


async def test_a_bucket_is_the_same_for_all_processes(tmp_path: Path) -> None:
    async with observed(tmp_path) as one, observed(tmp_path) as other:
        facts = [await store.ask(BUCKET) for store in (one, other, one, other)]
    assert [fact.status for fact in facts] == [Status.PASS, Status.PASS, Status.FAIL, Status.FAIL]
    assert facts[1].data == ("0", "1800")


async def test_what_is_over_is_forgotten_and_begins_anew(tmp_path: Path) -> None:
    now = NOW
    store = SqliteState(tmp_path / FILE_NAME, Log(Nowhere()), lambda _: None, lambda: now)
    answers = []
    store.do(Attempt(TRIPLET, now, keep=60, id="ONE"))
    now += 61
    store.ask(TRIPLET, lambda _, fact: answers.append(fact))
    store.do(Attempt(TRIPLET, now, keep=60, id="TWO"))
    store.ask(TRIPLET, lambda _, fact: answers.append(fact))
    await store.close()
    assert [fact[:2] for fact in answers] == [(Status.NONE, ()), (Status.FAIL, (repr(now), "TWO"))]


async def test_the_file_stays_small_whatever_comes(tmp_path: Path) -> None:
    now = NOW
    store = SqliteState(tmp_path / FILE_NAME, Log(Nowhere()), lambda _: None, lambda: now)
    for number in range(1500):
        now += 1
        store.do(Attempt(TRIPLET._replace(sender=f"{number}.example"), now, keep=10))
        store.ask(BUCKET._replace(key=str(number), limit="1/10"), lambda *_: None)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        for table in ("triplet", "bucket"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] < 200  # noqa: S608 - a literal
    await store.close()


async def test_a_locked_file_is_left_alone_and_found_again(tmp_path: Path) -> None:
    async with observed(tmp_path) as store:
        await store.ask(BUCKET)
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            facts = [await store.ask(BUCKET) for _ in range(4)]
            assert [fact.source for fact in facts] == ["memory"] * 4, "rates count here alone meanwhile"
            assert [fact.status for fact in facts] == [Status.PASS, Status.PASS, Status.FAIL, Status.FAIL]
            fact = await store.ask(TRIPLET)
            assert (fact.status, fact.why) == (Status.TEMPERROR, "state unavailable: database is locked")
            store.state.do(Attempt(TRIPLET, NOW))
            assert store.state.lost == 1
            assert store.told() == ["store_lost"]
            other.execute("COMMIT")
        await until(lambda: (store.ask_at_once(TRIPLET), len(store.told()) == 2)[1])
        assert store.told() == ["store_lost", "store_back"]
        assert store.events()[1]["lost"] == 1


async def test_a_directory_that_is_not_there_costs_nothing_but_the_state(tmp_path: Path) -> None:
    async with observed(tmp_path / "absent") as store:
        assert (await store.ask(TRIPLET)).status is Status.TEMPERROR
        assert (await store.ask(BUCKET)).source == "memory"
        store.state.do(Passed(TRIPLET, NOW))
        assert store.told() == ["store_lost"]


async def test_a_broken_file_is_moved_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 1000)
    async with observed(tmp_path) as store:
        await until(lambda: (one := store.ask_at_once(TRIPLET)) is not None and one.status is Status.NONE)
        assert "state_broken" in store.told()
    assert (tmp_path / f"{FILE_NAME}.broken").exists()


async def test_a_file_that_breaks_under_us_is_replaced(tmp_path: Path) -> None:
    async with observed(tmp_path) as store:
        for number in range(300):
            store.state.do(Attempt(TRIPLET._replace(sender=f"{number}.example"), NOW))
    pages = bytearray((tmp_path / FILE_NAME).read_bytes())
    pages[8192:] = b"\xff" * (len(pages) - 8192)
    (tmp_path / FILE_NAME).write_bytes(pages)
    async with observed(tmp_path) as store:

        def works() -> bool:
            store.state.do(Attempt(TRIPLET, NOW))
            fact = store.ask_at_once(TRIPLET)
            return fact is not None and fact.status is Status.FAIL

        await until(works)
        assert "state_broken" in store.told()


@pytest.mark.parametrize(
    ("columns", "row", "bucket"),
    [
        ("origin, sender, recipient, until", "9e11", "NULL"),
        (TRIPLET_COLUMNS, "'soon', x'00', 1, 0, 0, 0, 9e11", "'soon'"),
        (TRIPLET_COLUMNS, "9e999, 'ONE', 1, 0, 0, 0, 9e11", "x'00'"),
        (TRIPLET_COLUMNS, "1, 'ONE', 9e999, 1, 1, 1, 9e11", "NULL"),
    ],
)
async def test_a_file_that_says_it_is_ours_and_is_not_is_no_store(
    tmp_path: Path, columns: str, row: str, bucket: str
) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute(f"CREATE TABLE triplet ({columns})")
        other.execute(f"INSERT INTO triplet VALUES (?, ?, ?, {row})", TRIPLET[:-1])  # noqa: S608 - a literal from above
        other.execute("CREATE TABLE bucket (name, key, allowed, full_at)")
        other.execute(f"INSERT INTO bucket VALUES (?, ?, ?, {bucket})", BUCKET[:-1])  # noqa: S608 - likewise
        other.execute("PRAGMA user_version = 1")
        other.commit()
    async with observed(tmp_path) as store:
        assert (await store.ask(TRIPLET)).status is Status.TEMPERROR
        assert (await store.ask(BUCKET)).source == "memory"
    async with observed(tmp_path) as store:
        assert (await store.ask(BUCKET)).status is Status.PASS, "asked first, and no lock is left behind either"
        assert (await store.ask(TRIPLET)).status is Status.TEMPERROR
        assert store.told() == ["store_lost"]
    with pytest.raises(StoreError):
        triplets(tmp_path / FILE_NAME)


async def test_a_file_of_a_newer_program_is_left_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as newer:
        newer.execute("PRAGMA user_version = 99")
    async with observed(tmp_path) as store:
        fact = await store.ask(TRIPLET)
        assert "newer than this program knows" in fact.why
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as same:
        assert same.execute("PRAGMA user_version").fetchone()[0] == 99


def test_todays_program_reads_version_1(tmp_path: Path) -> None:
    sample = Path(__file__).parent / "samples" / "state-v1.sql"
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        old.executescript(sample.read_text())
    assert STATE.version == 1, "a new version needs a sample of its own, and this test both"
    assert triplets(tmp_path / FILE_NAME) == [
        Triplet("192.0.2.0/24", "example.net", "example.org", 1.5, "0123456789AB", 2, 0.0, 3.5, 0, 4e9)
    ]


def test_triplets_can_be_forgotten(tmp_path: Path) -> None:
    async def note() -> None:
        async with observed(tmp_path) as store:
            for sender in ("a.example", "b.example"):
                store.state.do(Attempt(TRIPLET._replace(sender=sender), NOW))

    asyncio.run(note())
    known = triplets(tmp_path / FILE_NAME)
    forget(tmp_path / FILE_NAME, Log(Nowhere()), [one for one in known if one.sender == "a.example"])
    assert [one.sender for one in triplets(tmp_path / FILE_NAME)] == ["b.example"]


def test_without_a_file_there_is_nothing_to_tell(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no state"):
        triplets(tmp_path / FILE_NAME)


@pytest.mark.parametrize("text", ["", "a b", "\\", "'; DROP TABLE triplet; --", "\x00", "é", "\ud800", "x" * 5000])
async def test_no_text_of_mail_harms_the_store(tmp_path: Path, text: str) -> None:
    async with observed(tmp_path) as store:
        hostile = TRIPLET._replace(sender=text)
        store.state.do(Attempt(hostile, NOW))
        await store.ask(hostile)
        await store.ask(BUCKET._replace(key=text))
    async with observed(tmp_path) as store:
        store.state.do(Attempt(TRIPLET, NOW))
        assert (await store.ask(TRIPLET)).status is Status.FAIL
