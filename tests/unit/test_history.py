"""The memory of verdicts: found by every name, bounded, and never in the way of mail."""

import io
import json
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from earmark.core.record import Record, make_record
from earmark.core.subject import tagged_subject
from earmark.core.verdict import Action, ChangeHeader, Verdict
from earmark.log import Log
from earmark.stores.history import BATCH, History
from earmark.stores.prune import prune
from earmark.stores.recall import find, generation_files, recent
from earmark.stores.sqlite import HISTORY, VERSION, StoreError, open_for_writing
from fakes.records import judged, record

SAMPLES = Path(__file__).parent / "samples"


def quiet() -> Log:
    return Log(io.BytesIO())


def events(stream: io.BytesIO) -> list[str]:
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def write(path: Path, *records: Record) -> None:
    history = History(path, quiet())
    for each in records:
        history.add(each)
    assert history.close(10)
    assert history.dropped == 0


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


def test_a_verdict_is_found_by_each_of_its_names(path: Path) -> None:
    write(path, record("0123456789AB", queue_id="4A"), record("0123FFFFFFFF", queue_id="4B", message_id="<m2@x>"))
    for key in ["0123456789AB", "012345", "0123456789ab", "4A", "<m1@example.net>", "m1@example.net"]:
        found = find(path, key)
        assert found is not None, key
        assert found.id == "0123456789AB", key
    assert find(path, "ZZZZ") is None
    assert find(path, "") is None


def test_a_subject_that_was_tagged_is_remembered_whatever_its_bytes(path: Path) -> None:
    tagged = tagged_subject("[SPAM?]", b" na\xc3\xafve \xff\xe4")
    assert tagged is not None
    edited = Verdict(Action.MARK, (), (ChangeHeader("Subject", 1, tagged),))
    write(path, make_record(replace(judged("0123456789AB"), verdict=edited)))
    found = find(path, "0123456789AB")
    assert found is not None
    assert list(found.edits) == [("Subject", 1, "[SPAM?] na\u00efve \\xff\\xe4", "change")]


def test_a_beginning_that_several_ids_share_is_an_error(path: Path) -> None:
    write(path, record("0123456789AB"), record("0123FFFFFFFF"))
    with pytest.raises(StoreError, match="several verdict ids begin with 0123"):
        find(path, "0123")


def test_a_queue_id_wins_over_the_beginning_of_a_verdict_id(path: Path) -> None:
    write(path, record("4A00AAAAAAAA"), record("4A00BBBBBBBB"), record("ZZZZZZZZZZZZ", queue_id="4A00"))
    found = find(path, "4A00")
    assert found is not None
    assert found.id == "ZZZZZZZZZZZZ"


def test_of_one_queue_id_or_message_id_the_newest_is_found(path: Path) -> None:
    write(path, record("AAAAAAAAAAAA", queue_id="4A"), record("BBBBBBBBBBBB", queue_id="4A"))
    for key in ["4A", "m1@example.net"]:
        found = find(path, key)
        assert found is not None
        assert found.id == "BBBBBBBBBBBB"


def test_the_newest_come_first(path: Path) -> None:
    write(path, *[record(f"{number:012}") for number in range(5)])
    assert [each.id for each in recent(path, 2)] == ["000000000004", "000000000003"]


def test_a_key_is_data_and_never_sql(path: Path) -> None:
    write(path, record("0123456789AB"))
    assert find(path, "x' OR '1'='1") is None
    assert find(path, "%") is None


def test_more_than_a_batch_is_written_while_it_runs(path: Path) -> None:
    history = History(path, quiet())
    for number in range(BATCH * 3 + 7):
        history.add(record(f"{number:012}"))
    until(lambda: history.written == BATCH * 3 + 7)
    history.add(record("ZZZZZZZZZZZZ"))
    until(lambda: history.written == BATCH * 3 + 8)
    assert history.close(10)
    assert len(recent(path, 10_000)) == BATCH * 3 + 8


def test_the_same_verdict_twice_is_kept_once(path: Path) -> None:
    write(path, record("0123456789AB"), record("0123456789AB"))
    assert len(recent(path, 10)) == 1


def test_several_writers_share_one_file(path: Path) -> None:
    writers = [History(path, quiet()) for _ in range(4)]
    for number in range(400):
        writers[number % 4].add(record(f"{number:012}"))
    assert all(writer.close(20) for writer in writers)
    assert sum(writer.dropped for writer in writers) == 0
    assert len(recent(path, 1000)) == 400


def test_a_generation_is_kept_once_and_byte_for_byte(path: Path) -> None:
    history = History(path, quiet())
    files = {"policies/default.toml": b"mark_at = 5.0\r\n\xff", "rules/zones.toml": b""}
    history.keep_generation("abc", files)
    history.keep_generation("abc", files)
    assert history.close(10)
    assert generation_files(path, "abc") == files
    assert generation_files(path, "other") is None
    with raw(path) as connection:
        assert connection.execute("SELECT count(*) FROM generation").fetchone() == (1,)


def test_a_generation_and_its_shadow_never_replace_each_other(path: Path) -> None:
    day = 86400.0
    now = time.time()
    first, second = (History(path, quiet()) for _ in range(2))
    for history, since in ((first, now - 40 * day), (second, now - 39 * day)):
        history.keep_generation("main", {}, since)
        history.keep_generation("shadow", {}, since)
        assert history.close(10)
    late = History(path, quiet())
    late.keep_generation("shadow", {}, now - 40 * day)
    assert late.close(10)
    prune(path, quiet(), days=30, megabytes=100)
    with raw(path) as connection:
        assert connection.execute("SELECT id FROM generation ORDER BY id").fetchall() == [("main",), ("shadow",)]


def test_what_finds_no_room_is_dropped_counted_and_said_once(tmp_path: Path) -> None:
    stream = io.BytesIO()
    history = History(tmp_path / "absent" / "history.sqlite", Log(stream), room=3)
    for number in range(10):
        history.add(record(f"{number:012}"))
    until(lambda: "history_failed" in events(stream))
    assert events(stream).count("history_full") <= 1
    history.close(10)
    assert history.dropped == 10
    assert history.written == 0


def test_a_store_that_fails_and_comes_back_is_said_once_and_written_again(tmp_path: Path) -> None:
    stream = io.BytesIO()
    directory = tmp_path / "later"
    history = History(directory / "history.sqlite", Log(stream))
    for number in range(3):
        history.add(record(f"{number:012}"))
        until(lambda number=number: history.dropped == number + 1)  # type: ignore[misc]
    directory.mkdir()
    history.add(record("AAAAAAAAAAAA"))
    until(lambda: history.written == 1)
    assert history.close(10)
    assert events(stream) == ["history_failed", "history_resumed"]


def test_a_full_disk_costs_records_and_nothing_else(path: Path) -> None:
    write(path, record("AAAAAAAAAAAA"))
    stream = io.BytesIO()
    history = History(path, Log(stream))
    history.add(record("BBBBBBBBBBBB"))
    until(lambda: history.written == 1)
    assert history._connection is not None
    pages = history._connection.execute("PRAGMA page_count").fetchone()[0]
    history._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLITE_FULL, as on a full disk
    for number in range(50):
        history.add(record(f"{number:012}"))
    until(lambda: "history_failed" in events(stream))
    assert history.dropped > 0
    history.add(record("CCCCCCCCCCCC"))
    until(lambda: history.written >= 2)
    assert history.close(10)
    assert find(path, "CCCCCCCCCCCC") is not None


def test_a_file_that_is_no_database_is_moved_aside_at_start(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 1000)
    stream = io.BytesIO()
    history = History(path, Log(stream))
    history.add(record("AAAAAAAAAAAA"))
    assert history.close(10)
    assert events(stream) == ["history_broken"]
    assert path.with_name("history.sqlite.broken").read_bytes().startswith(b"not a database")
    assert find(path, "AAAAAAAAAAAA") is not None


def test_a_file_that_breaks_while_it_is_used_is_moved_aside(path: Path) -> None:
    stream = io.BytesIO()
    write(path, *[record(f"{number:012}", message_id="<" + "x" * 3000 + f"{number}>") for number in range(300)])
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xa5" * (path.stat().st_size - 8192))
    history = History(path, Log(stream))
    history.add(record("AAAAAAAAAAAA"))
    until(lambda: "history_failed" in events(stream))
    history.add(record("BBBBBBBBBBBB"))
    until(lambda: history.written == 1)
    assert history.close(10)
    assert events(stream) == ["history_failed", "history_broken", "history_resumed"]
    assert find(path, "BBBBBBBBBBBB") is not None


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    write(path, record("AAAAAAAAAAAA"))
    with raw(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreError, match="newer than this program knows"):
        find(path, "AAAAAAAAAAAA")
    with pytest.raises(StoreError, match="newer than this program knows"):
        open_for_writing(path, quiet())
    stream = io.BytesIO()
    history = History(path, Log(stream))
    history.add(record("BBBBBBBBBBBB"))
    until(lambda: history.dropped == 1)
    history.close(10)
    assert events(stream) == ["history_failed"]
    with raw(path) as connection:
        assert connection.execute("SELECT count(*) FROM verdict").fetchone() == (1,)


def test_a_file_is_opened_while_another_process_writes(path: Path) -> None:
    write(path, record())
    with raw(path) as writing:
        writing.execute("BEGIN IMMEDIATE")
        open_for_writing(path, quiet(), HISTORY._replace(busy=0.0)).close()


def test_there_is_no_history_yet_is_an_error_with_the_file_name(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no history"):
        find(path, "AAAA")
    assert not path.exists()


def test_the_world_cannot_read_the_file(path: Path) -> None:
    write(path, record("AAAAAAAAAAAA"))
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_old_verdicts_are_forgotten_and_young_ones_kept(path: Path) -> None:
    now = time.time()
    old = [record(f"{number:012}", at=now - 31 * 86400) for number in range(1200)]
    write(path, *old, record("AAAAAAAAAAAA", at=now))
    assert prune(path, quiet(), days=30, megabytes=1000) == 1200
    assert [each.id for each in recent(path, 10)] == ["AAAAAAAAAAAA"]


def test_the_file_really_shrinks_under_its_size(path: Path) -> None:
    now = time.time()
    write(path, *[record(f"{number:012}", at=now, helo="x" * 2000) for number in range(1500)])
    assert path.stat().st_size > 3_000_000
    prune(path, quiet(), days=30, megabytes=1)
    with raw(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.stat().st_size <= 1_000_000
    assert recent(path, 1)[0].id == "000000001499"


def test_pruning_a_history_that_cannot_be_is_one_kind_of_error(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").mkdir()
    with pytest.raises((StoreError, OSError)):
        prune(tmp_path / "history.sqlite", quiet(), days=30, megabytes=1)


def test_a_generation_lives_as_long_as_its_verdicts(path: Path) -> None:
    now, day = time.time(), 86400
    write(path, record("AAAAAAAAAAAA", at=now - 10 * day))
    with raw(path) as connection:
        for name, since in [("first", 40), ("second", 20), ("third", 5)]:
            connection.execute("INSERT INTO generation VALUES (?, ?, ?)", (name, now - since * day, b"{}"))
    prune(path, quiet(), days=30, megabytes=100)
    with raw(path) as connection:
        assert connection.execute("SELECT id FROM generation ORDER BY since").fetchall() == [("second",), ("third",)]
    prune(path, quiet(), days=1, megabytes=100)
    with raw(path) as connection:
        assert connection.execute("SELECT id FROM generation").fetchall() == [("third",)]


def test_closing_with_a_failing_store_does_not_hang(tmp_path: Path) -> None:
    history = History(tmp_path / "absent" / "history.sqlite", quiet())
    history.keep_generation("abc", {})
    history.add(record("AAAAAAAAAAAA"))
    history.close(10)
    assert not history._thread.is_alive()


def test_a_record_that_cannot_be_written_is_said_and_never_raised(path: Path) -> None:
    stream = io.BytesIO()
    history = History(path, Log(stream))
    history.add(record("AAAAAAAAAAAA", helo="\ud800"))
    assert history.close(10)
    assert history.dropped == 1
    assert events(stream) == ["history_record"]


def test_todays_program_reads_the_history_of_version_1(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes((SAMPLES / "history-v1.sqlite").read_bytes())
    found = find(path, "4XyzQ")
    assert found is not None
    assert (found.v, found.id, found.action) == (1, "0123456789AB", "reject")
    assert generation_files(path, "f00d" * 16) == {"policies/default.toml": b"mark_at = 5.00\n"}
    write(path, record("AAAAAAAAAAAA"))
    assert len(recent(path, 10)) == 2
