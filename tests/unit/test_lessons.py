"""The journal of lessons: the bound of an hour, what is known, and what is forgotten."""

import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from earmark.log import Log
from earmark.stores.lessons import FILE_NAME, LESSONS, Journal, Lesson, NotBegun, Outcome, lessons
from earmark.stores.sqlite import StoreError

NOW = 1_800_000_000.0
HOUR = 3600.0


def journal(directory: Path, days: int = 90) -> Journal:
    return Journal(directory / FILE_NAME, Log(io.BytesIO()), days=days)


def lesson(at: float = NOW, teacher: str = "bob", digest: bytes = b"one") -> Lesson:
    return Lesson(at, teacher, "spam", "", "<1@sender.example>", digest)


def test_the_bound_is_that_of_the_last_hour_whatever_became_of_the_lessons(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    for second, outcome in ((0, Outcome.LEARNED), (1, Outcome.FAILED), (2, Outcome.ASKED)):
        number = kept.begin(lesson(NOW + second, digest=b"%d" % second), per_hour=3)
        assert not isinstance(number, NotBegun)
        kept.end(number, outcome)
    for at, begun in ((NOW + 3, False), (NOW + HOUR - 0.1, False), (NOW + HOUR, True)):
        assert (kept.begin(lesson(at, digest=b"another"), per_hour=3) is not NotBegun.TOO_MANY) is begun
    kept.close()


def test_a_bound_of_nothing_lets_nobody_teach(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    assert kept.begin(lesson(), per_hour=0) is NotBegun.TOO_MANY
    kept.close()


def test_another_database_knows_nothing_of_the_lesson(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    number = kept.begin(lesson(), per_hour=9)
    assert not isinstance(number, NotBegun)
    kept.end(number, Outcome.LEARNED)
    assert kept.begin(lesson(), per_hour=9) is NotBegun.KNOWN
    assert kept.begin(lesson()._replace(spam_user="lab.test"), per_hour=9) is not NotBegun.KNOWN
    kept.close()


def test_old_lessons_are_forgotten(tmp_path: Path) -> None:
    kept = journal(tmp_path, days=1)
    kept.begin(lesson(NOW - 25 * HOUR, "old"), per_hour=9)
    kept.begin(lesson(NOW - 23 * HOUR, "young"), per_hour=9)
    kept.begin(lesson(NOW, "new"), per_hour=9)
    kept.close()
    assert [one.teacher for one in lessons(tmp_path / FILE_NAME, limit=9)] == ["new", "young"]
    assert [one.teacher for one in lessons(tmp_path / FILE_NAME, limit=1)] == ["new"]


def test_todays_program_reads_version_1(tmp_path: Path) -> None:
    sample = Path(__file__).parent / "samples" / "lessons-v1.sql"
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        old.executescript(sample.read_text())
    assert LESSONS.version == 1, "a new version needs a sample of its own, and this test both"
    assert lessons(tmp_path / FILE_NAME, limit=9) == [
        Lesson(
            1_800_000_000.5,
            "bob@example.org",
            "spam",
            "",
            "<1@sender.example>",
            b"\x01\x02",
            Outcome.FAILED,
            "no answer in time",
        )
    ]


def test_a_file_that_cannot_be_used_is_a_store_error(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.begin(lesson(), per_hour=9)
    kept.close()
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE lesson SET outcome = 'eaten'")
    with pytest.raises(StoreError, match="eaten"):
        lessons(path, limit=9)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError):
        lessons(path, limit=9)
