"""The log: one JSON object a line, whatever the mail and the disk do."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from earmark.core.record import make_record
from earmark.log import Log, is_journal, verdict_fields
from fakes.records import MARKED, REFUSED, judged, record


class Full:
    """A stream on a full disk."""

    def write(self, _data: bytes, /) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        """Nothing is held back."""


class Slow(io.BytesIO):
    """A stream that takes three bytes at a time."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        return super().write(data[:3])


def test_an_event_is_one_line_that_begins_with_version_time_and_name() -> None:
    stream = io.BytesIO()
    Log(stream).event("started", pid=7)
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert list(said) == ["v", "time", "event", "level", "pid"]
    assert (said["v"], said["event"], said["level"], said["pid"]) == (1, "started", "info", 7)
    assert said["time"].endswith("Z")
    assert len(said["time"]) == len("2025-01-06T10:00:00.000Z")


def test_a_hostile_helo_stays_inside_its_string() -> None:
    stream = io.BytesIO()
    hostile = 'x\r\n{"event":"forged"}\x1b[2J\x07\x7f\x9b'
    Log(stream).event("verdict", **verdict_fields(make_record(judged(helo=hostile))))
    (line,) = stream.getvalue().splitlines()
    assert all(0x20 <= byte < 0x7F for byte in line)
    assert json.loads(line)["helo"] == hostile


def test_the_journal_reads_the_priority_before_the_line() -> None:
    stream = io.BytesIO()
    log = Log(stream, journal=True)
    log.event("fine")
    log.event("bad", level="error")
    assert [line[:4] for line in stream.getvalue().splitlines()] == [b"<6>{", b"<3>{"]


def test_only_the_stream_that_systemd_named_is_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("wb") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert is_journal(stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + 1}")
        assert not is_journal(stream)
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_journal(stream)
    assert not is_journal(io.BytesIO())


def test_verdicts_wait_for_each_other_and_for_nothing_else() -> None:
    stream, promised = io.BytesIO(), list[Callable[[], None]]()
    log = Log(stream, later=promised.append)
    log.event("verdict", id="a")
    log.event("verdict", id="b")
    assert (stream.getvalue(), len(promised)) == (b"", 1)
    log.event("draining")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["verdict", "verdict", "draining"]
    log.event("verdict", id="c")
    promised[-1]()
    assert json.loads(stream.getvalue().splitlines()[-1])["id"] == "c"


def test_what_is_written_at_once_ends_with_a_line_and_fits_into_a_pipe() -> None:
    written: list[bytes] = []

    class Seen(io.BytesIO):
        def write(self, data: bytes, /) -> int:  # type: ignore[override]
            written.append(data)
            return len(data)

    log = Log(Seen(), later=lambda _flush: None)
    for number in range(100):
        log.event("verdict", id=f"{number:0300}")
    log.flush()
    assert len(b"".join(written).splitlines()) == 100
    assert all(data.endswith(b"\n") and len(data) <= 4096 for data in written)


def test_a_full_disk_and_a_closed_stream_are_counted_and_never_raised() -> None:
    log = Log(Full())
    log.event("one")
    log.event("two")
    closed = io.BytesIO()
    closed.close()
    other = Log(closed)
    other.event("three")
    assert (log.failed, other.failed) == (2, 1)


def test_a_stream_that_takes_little_gets_all_of_it() -> None:
    stream = Slow()
    Log(stream).event("started", pid=7)
    assert json.loads(stream.getvalue())["pid"] == 7


def test_the_verdict_event_has_the_fields_of_its_schema() -> None:
    fields = verdict_fields(make_record(judged(outcomes=(MARKED, REFUSED))))
    assert list(fields) == [
        "id", "queue_id", "message_id", "client", "helo", "sender", "user", "exempt", "action", "recipients",
        "findings", "unknown", "generation", "ended", "elapsed_ms",
    ]  # fmt: skip
    assert fields["action"] == "reject"
    assert fields["findings"] == [{"name": "ZEN_XBL", "score": 8.0}]
    assert fields["recipients"][0] == {
        "address": "u0@example.org", "action": "mark", "refuse_score": 0.0, "mark_score": 5.0, "policy": "example.org",
    }  # fmt: skip
    assert fields["elapsed_ms"] == 12.5


def test_what_no_recipient_could_check_is_told_once() -> None:
    unknown = {"unknown": ["list zen.example 192.0.2.7"]}
    both = [{**report, **unknown} for report in make_record(judged(outcomes=(MARKED, MARKED))).recipients]
    assert verdict_fields(record(recipients=both))["unknown"] == ["list zen.example 192.0.2.7"]
