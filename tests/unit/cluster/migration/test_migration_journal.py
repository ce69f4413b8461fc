import json
from pathlib import Path

import pytest

from earmark.cluster.migration.journal import Journal, JournalError, read_events, state_of


def written(path: Path) -> bytes:
    journal = Journal(path)
    journal.append("seen", answers={"fstab": (0, "caf\udce9\n", "")})
    for step in ("volume", "partition"):
        journal.append("begin", step=step, digest=f"{step}!")
        journal.append("done", step=step, digest=f"{step}!")
    journal.append("begin", step="map", digest="map!")
    journal.append("note", name="log-last", text="Nov 22\n")
    journal.append("undone", step="partition")
    journal.close()
    return path.read_bytes()


def test_a_journal_says_what_was_done_and_what_was_only_begun(tmp_path: Path) -> None:
    written(tmp_path / "m.jsonl")
    journal = Journal(tmp_path / "m.jsonl")
    state = journal.state
    journal.close()
    assert state.done == {"volume": "volume!"}
    assert state.begun == {"map": "map!"}
    assert state.touched == {"volume", "map"}
    assert state.notes == {"log-last": "Nov 22\n"}
    assert state.answers == {"fstab": (0, "caf\udce9\n", "")}
    assert not state.left_mail


def test_a_journal_torn_at_any_byte_is_a_shorter_journal(tmp_path: Path) -> None:
    content = written(tmp_path / "m.jsonl")
    events, end = read_events(content)
    assert end == len(content)
    for cut in range(len(content)):
        kept, whole = read_events(content[:cut])
        assert kept == events[: len(kept)]
        assert whole <= cut
        assert content[:cut].count(b"\n") == len(kept)


def test_what_was_torn_off_is_gone_before_anything_is_added(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    content = written(path)
    path.write_bytes(content[:-5])
    journal = Journal(path)
    journal.append("done", step="map", digest="map!")
    journal.close()
    events, _ = read_events(path.read_bytes())
    assert state_of(events).done == {"volume": "volume!", "partition": "partition!", "map": "map!"}


def test_a_last_line_of_noise_was_torn_too(tmp_path: Path) -> None:
    content = written(tmp_path / "m.jsonl")
    events, end = read_events(content + b"\0\0\0\0\n")
    assert len(events) == 8
    assert end == len(content)


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"v": 2, "event": "done"}', b'{"v": 1}', b"\xff"])
def test_a_broken_line_in_the_middle_is_not_passed_over(tmp_path: Path, line: bytes) -> None:
    content = written(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_bytes(line + b"\n" + content)
    with pytest.raises(JournalError, match="line 1 is not an event"):
        Journal(tmp_path / "m.jsonl")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    first = Journal(tmp_path / "m.jsonl")
    with pytest.raises(JournalError, match="another process"):
        Journal(tmp_path / "m.jsonl")
    first.close()
    Journal(tmp_path / "m.jsonl").close()


def test_others_do_not_read_it(tmp_path: Path) -> None:
    written(tmp_path / "m.jsonl")
    assert (tmp_path / "m.jsonl").stat().st_mode & 0o777 == 0o600
    first = json.loads((tmp_path / "m.jsonl").read_text().splitlines()[0])
    assert first["v"] == 1
    assert first["at"] > 1_700_000_000


def test_mail_that_was_left_is_remembered(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "m.jsonl")
    journal.append("left-mail")
    assert journal.state.left_mail
    journal.close()
