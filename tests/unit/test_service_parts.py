"""The supervisor's small parts, each by itself."""

import os
import selectors
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from earmark.log import Log
from earmark.service.account import StartError, account_for, prepare_state
from earmark.service.bundle import Bundle
from earmark.service.channel import Channel
from earmark.service.control import ControlError, ask
from earmark.service.crew import LATE, START, Crew, Role, State
from earmark.service.notify import Notifier


@pytest.fixture
def top() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="earmark-") as directory:
        yield Path(directory)


def test_a_channel_keeps_messages_apart_and_carries_descriptors() -> None:
    ours, theirs = Channel.pair()
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
        file.flush()
        assert ours.send({"n": 1})
        assert ours.send({"n": 2}, [file.fileno()])
    assert theirs.receive() == ({"n": 1}, [])
    received = theirs.receive()
    assert received is not None
    message, (fd,) = received
    assert message == {"n": 2}
    assert os.pread(fd, 1, 0) == b"x"
    os.close(fd)
    with pytest.raises(BlockingIOError):
        theirs.receive()
    ours.close()
    assert theirs.receive() is None
    assert not theirs.send({"n": 3})
    theirs.close()


def test_a_channel_that_nobody_reads_says_so_instead_of_blocking() -> None:
    ours, theirs = Channel.pair()
    assert not all(ours.send({"n": 1}) for _ in range(1_000_000))
    ours.close()
    theirs.close()


def test_the_notifier_takes_its_variables_away_and_is_silent_without_them(top: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(top / "notify"), "WATCHDOG_USEC": "2000000", "PATH": "/bin"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(top / "notify"))
        manager.setblocking(False)
        notifier = Notifier(environment)
        assert environment == {"PATH": "/bin"}
        notifier.tell("READY=1", "STATUS=fine")
        assert manager.recv(100) == b"READY=1\nSTATUS=fine"
        notifier.feed_watchdog(100.0)
        assert manager.recv(100) == b"WATCHDOG=1"
        notifier.feed_watchdog(100.9)
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        notifier.feed_watchdog(101.0)
        assert manager.recv(100) == b"WATCHDOG=1"
        notifier.close()
    Notifier({}).tell("READY=1")


def test_the_watchdog_of_another_process_is_not_ours_to_feed(top: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(top / "notify"))
        manager.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": str(top / "notify"), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
        notifier.feed_watchdog(100.0)
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        notifier.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_needs_an_account_that_exists() -> None:
    with pytest.raises(StartError, match="started as root"):
        account_for("")
    with pytest.raises(StartError, match="no account 'nosuchuser'"):
        account_for("nosuchuser")
    account = account_for("nobody")
    assert account is not None
    assert account.pw_name == "nobody"


def test_a_state_directory_belongs_to_one_instance(top: Path) -> None:
    lock = prepare_state(top / "state", None)
    assert (top / "state").stat().st_mode & 0o777 == 0o750
    with pytest.raises(StartError, match=f"another instance, process {os.getpid()}, works here"):
        prepare_state(top / "state", None)
    os.close(lock)
    os.close(prepare_state(top / "state", None))


def test_a_state_directory_that_everybody_may_write_to_is_refused(top: Path) -> None:
    (top / "state").mkdir()
    (top / "state").chmod(0o777)
    with pytest.raises(StartError, match="anybody may write there"):
        prepare_state(top / "state", None)


def test_asking_where_nobody_is_says_so(top: Path) -> None:
    with pytest.raises(ControlError, match="is the service running"):
        ask(top, "status", patience=1.0)


class Children:
    """Real processes that do nothing, so that the crew has something to kill, and their ends of the channels."""

    def __init__(self) -> None:
        self.ends: list[Channel] = []
        self.pids: list[int] = []
        self.admitted: list[int] = []
        self.failing = False

    def spawn(self, _role: Role, _bundle: Bundle) -> tuple[int, Channel]:
        if self.failing:
            raise BlockingIOError(11, "no process is left")
        ours, theirs = Channel.pair()
        self.ends.append(theirs)
        self.pids.append(os.posix_spawn("/bin/sleep", ["sleep", "600"], {}))
        return self.pids[-1], ours


@pytest.fixture
def children() -> Iterator[Children]:
    found = Children()
    yield found
    for pid in found.pids:
        try:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue
    for end in found.ends:
        end.close()


class Bytes:
    """A log's stream that keeps what it is given."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> int:
        self.written += data
        return len(data)

    def flush(self) -> None:
        return


OLD = Bundle("/etc/earmark", "old", {}, (), 0o600, "", "/", 2, 5.0, 1, 1)
NEW = Bundle("/etc/earmark", "new", {}, (), 0o600, "", "/", 2, 5.0, 1, 1)
SIGN_OF_LIFE = {"sessions": 0, "counters": {}}


@pytest.fixture
def crew(children: Children) -> Iterator[Crew]:
    selector = selectors.DefaultSelector()
    made = Crew(OLD, selector, Log(Bytes()), children.spawn, lambda child: children.admitted.append(child.pid))
    yield made
    for child in made.children.values():
        child.channel.close()
    selector.close()


def hear(crew: Crew) -> None:
    for key, _ in crew._selector.select(0):
        key.data()


def test_a_crew_fills_up_and_admits_workers_as_they_get_ready(crew: Crew, children: Children) -> None:
    crew.tick(time.monotonic())
    assert [child.role for child in crew.children.values()] == [Role.WORKER, Role.WORKER, Role.WATCHER]
    assert not crew.ready
    for end in children.ends:
        end.send(SIGN_OF_LIFE)
    hear(crew)
    assert crew.ready
    assert children.admitted == children.pids[:2]
    crew.tick(time.monotonic())
    assert len(children.pids) == 3


def test_a_crew_knows_whether_somebody_still_accepts(crew: Crew, children: Children) -> None:
    crew.tick(time.monotonic())
    assert not crew.accepting
    for end in children.ends[:2]:
        end.send({**SIGN_OF_LIFE, "accepting": True})
    hear(crew)
    children.ends[0].send({**SIGN_OF_LIFE, "accepting": False})
    hear(crew)
    assert crew.accepting
    children.ends[1].send({**SIGN_OF_LIFE, "accepting": False})
    hear(crew)
    assert not crew.accepting


def test_silence_is_counted_from_the_last_word_and_the_start_has_more_time(crew: Crew, children: Children) -> None:
    now = time.monotonic()
    crew.tick(now)
    children.ends[0].send(SIGN_OF_LIFE)
    hear(crew)
    heard, silent = crew.children[children.pids[0]], crew.children[children.pids[1]]
    crew.tick(now + LATE - 1)
    assert not heard.killed
    crew.tick(now + LATE + 1)
    assert heard.killed
    assert not silent.killed
    crew.tick(now + START + 1)
    assert silent.killed


def test_a_generation_takes_over_only_when_all_its_workers_are_ready(crew: Crew, children: Children) -> None:
    outcome: list[str] = []
    crew.tick(time.monotonic())
    for end in children.ends:
        end.send(SIGN_OF_LIFE)
    hear(crew)
    children.admitted.clear()
    crew.replace(NEW, outcome.append)
    children.ends[3].send(SIGN_OF_LIFE)
    hear(crew)
    assert not outcome
    assert not children.admitted, "one that may yet be given up must not take mail"
    children.ends[4].send(SIGN_OF_LIFE)
    hear(crew)
    assert outcome == [""]
    assert crew.bundle is NEW
    assert children.admitted == children.pids[3:5]
    assert [crew.children[pid].state for pid in children.pids[:3]] == [State.DRAINING] * 3
    assert [end.receive() for end in children.ends[:3]] == [({"do": "drain"}, [])] * 3


def test_a_generation_with_one_bad_worker_is_given_up_and_the_old_one_has_not_noticed(
    crew: Crew, children: Children
) -> None:
    outcome: list[str] = []
    crew.tick(time.monotonic())
    for end in children.ends:
        end.send(SIGN_OF_LIFE)
    hear(crew)
    crew.replace(NEW, outcome.append)
    children.ends[3].send(SIGN_OF_LIFE)
    hear(crew)
    crew.ended(children.pids[4], "status 70")
    assert outcome == ["new worker ended with status 70 before it was ready"]
    assert crew.bundle is OLD
    assert crew.ready
    assert crew.children[children.pids[3]].killed
    assert not any(crew.children[pid].killed for pid in children.pids[:3])


def test_children_that_end_at_once_are_tried_again_ever_more_slowly(crew: Crew, children: Children) -> None:
    now = time.monotonic()
    pauses = []
    crew.tick(now)
    for _ in range(10):
        crew.ended(children.pids[-1], "status 70")
        before = now = time.monotonic()
        while len(crew.children) < 3:
            now += 0.05
            crew.tick(now)
        pauses.append(now - before)
    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert 9 < pauses[-1] < 11
    assert crew.retired["watcher_ended"] == 10


def test_a_machine_without_room_for_a_process_is_asked_again_later(crew: Crew, children: Children) -> None:
    outcome: list[str] = []
    children.failing = True
    crew.tick(time.monotonic())
    assert not crew.children
    crew.replace(NEW, outcome.append)
    assert "no process is left" in outcome[0]
    children.failing = False
    crew.tick(time.monotonic() + 1)
    assert len(crew.children) == 3
