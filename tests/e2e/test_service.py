"""The service as real processes: it starts, replaces, drains, and leaves nothing behind."""

import contextlib
import os
import pwd
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e_lab.processes import reachable_by_nobody
from earmark.service.crew import LATE
from earmark.wire.milter import Command
from fakes.running_service import CLEAN, ENGINE, LISTED, RunningService, alive, name_server, two_sockets, wait_until
from fakes.scripted_mta import ACCEPTED, REFUSED, ScriptedMta


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    with name_server() as address:
        yield address


@pytest.fixture
def idle(resolver: str) -> Iterator[RunningService]:
    """A service that has not been started; whatever a test does with it, no process is left."""
    with tempfile.TemporaryDirectory(prefix="earmark-") as top:
        Path(top).chmod(0o755)
        service = RunningService(Path(top), resolver)
        yield service
        if hasattr(service, "process"):
            service.stop()
            started = [event["pid"] for event in service.events("started")]
            try:
                wait_until(lambda: not any(map(alive, started)), "no process is left")
            finally:
                for pid in filter(alive, started):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def service(idle: RunningService) -> RunningService:
    idle.start()
    return idle


def judged(service: RunningService, client: str) -> int:
    with ScriptedMta(service.address) as mta:
        mta.begin(client)
        return mta.rcpt()


@two_sockets
def test_it_refuses_a_listed_client_and_accepts_another_on_both_kinds_of_socket(service: RunningService) -> None:
    for address in (service.address, str(service.top / "milter.sock")):
        with ScriptedMta(address) as mta:
            mta.begin(LISTED)
            assert mta.rcpt() == REFUSED
        with ScriptedMta(address) as mta:
            mta.begin(CLEAN)
            assert mta.rcpt() == ACCEPTED
            assert mta.message() == ACCEPTED
            mta.quit()
    wait_until(lambda: service.counter("transactions") == 4, "all four are counted")
    assert service.counter("reject") == 2
    wait_until(lambda: len(service.events("verdict")) == 4, "all four are logged")


def test_systemd_hears_when_it_is_ready_reloads_stops_and_lives(idle: RunningService) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(idle.top / "notify"))
        manager.settimeout(20)
        idle.launch({"NOTIFY_SOCKET": str(idle.top / "notify"), "WATCHDOG_USEC": "400000"})
        heard: list[str] = []

        def hear_until(word: str) -> None:
            while not any(word in lines.split("\n") for lines in heard):
                heard.append(manager.recv(4096).decode())

        hear_until("READY=1")
        assert len(idle.workers()) == 2, "ready is said when all workers are"
        hear_until("WATCHDOG=1")
        heard.clear()
        idle.process.send_signal(signal.SIGHUP)
        hear_until("RELOADING=1")
        hear_until("READY=1")
        idle.process.send_signal(signal.SIGTERM)
        hear_until("STOPPING=1")
    assert idle.process.wait(20) == 0


def test_the_supervisor_never_loads_what_forbids_forking(service: RunningService) -> None:
    loaded = Path(f"/proc/{service.process.pid}/maps").read_text()
    worker = Path(f"/proc/{service.workers()[0]}/maps").read_text()
    for module in ("_asyncio.", "_sqlite3.", "uvloop/loop.", "pydantic_core/"):
        assert module not in loaded
        assert module in worker, "else this test looks for the wrong thing"
    assert len(list(Path(f"/proc/{service.process.pid}/task").iterdir())) == 1, "one thread"


def test_a_killed_worker_is_replaced_and_the_sessions_of_others_go_on(service: RunningService) -> None:
    before = service.workers()
    with ScriptedMta(service.address) as one, ScriptedMta(service.address) as other:
        sessions = [one, other]
        for session in sessions:
            session.begin(CLEAN)
        killed = before[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(service.workers()) == 2 and killed not in service.workers(), "it is replaced")
        survivors = 0
        for session in sessions:
            try:
                survivors += session.rcpt() == ACCEPTED and session.message() == ACCEPTED
            except (EOFError, ConnectionError):
                continue
    holders = len(before) - 1
    assert survivors >= holders if survivors else before[1] in service.workers()
    assert judged(service, LISTED) == REFUSED
    assert service.counter("worker_ended") == 1


DIALOGUE = (
    (Command.CONNECT, b"mail.example.net\x004\x30\x39" + CLEAN.encode() + b"\0"),
    (Command.HELO, b"mail.example.net\0"),
    (Command.MAIL, b"<sender@example.net>\0"),
    (Command.RCPT, b"<user@example.org>\0"),
    (Command.DATA, b""),
    (Command.HEADER, b"Subject\0 test\0"),
    (Command.EOH, b""),
    (Command.EOM, b""),
)


def test_workers_killed_at_any_stage_answer_nothing_more_and_the_retry_is_judged_as_ever(
    service: RunningService,
) -> None:
    for round_ in (1, 2):
        with contextlib.ExitStack() as connections:
            mtas = [connections.enter_context(ScriptedMta(service.address)) for _ in DIALOGUE]
            for stage, mta in enumerate(mtas):
                assert {mta.say(*step) for step in DIALOGUE[:stage]} <= {ACCEPTED}
            killed = service.workers()
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not any(map(alive, killed)), "no worker is left")  # noqa: B023 - waited for right here
            for stage, mta in enumerate(mtas):
                with pytest.raises((EOFError, ConnectionError)):
                    mta.say(*DIALOGUE[stage])
        wait_until(lambda: service.counter("worker_ended") == 2 * round_, "their ends are noticed")  # noqa: B023
        wait_until(lambda: len(service.workers()) == 2, "both are replaced")
        with ScriptedMta(service.address) as mta:
            assert {mta.say(*step) for step in DIALOGUE} == {ACCEPTED}
        assert judged(service, LISTED) == REFUSED


def test_a_worker_that_hangs_is_killed_and_replaced(service: RunningService) -> None:
    hanging = service.workers()[0]
    os.kill(hanging, signal.SIGSTOP)
    wait_until(lambda: len(service.workers()) == 2 and hanging not in service.workers(), "it is replaced")
    assert not alive(hanging)
    assert any(event["pid"] == hanging for event in service.events("killing"))


def test_a_supervisor_that_was_paused_kills_nobody(service: RunningService) -> None:
    before = service.children()
    service.process.send_signal(signal.SIGSTOP)
    stopped = Path(f"/proc/{service.process.pid}/stat")
    wait_until(lambda: stopped.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
    # That so much time has passed is the condition itself: the children go on meanwhile, and nobody hears them.
    time.sleep(LATE + 1)
    service.process.send_signal(signal.SIGCONT)
    for _ in range(5):  # each answer is a turn of its loop, in which it could have judged them
        assert service.children() == before
    assert not service.events("killing")


def test_sigterm_lets_the_running_transaction_finish_and_refuses_others(service: RunningService) -> None:
    with ScriptedMta(service.address) as mta:
        mta.begin(CLEAN)
        assert mta.rcpt() == ACCEPTED
        service.process.send_signal(signal.SIGTERM)
        wait_until(service.refuses, "new connections are refused")
        wait_until(lambda: not service.workers(), "no worker takes more")
        assert mta.message() == ACCEPTED
        mta.quit()
    assert service.process.wait(20) == 0
    assert not (service.top / "milter.sock").exists()
    assert not (service.top / "state" / "control.sock").exists()
    assert [event["ended"] for event in service.events("verdict")] == ["eom"]


def test_a_second_sigterm_leaves_at_once(service: RunningService) -> None:
    with ScriptedMta(service.address) as mta:
        mta.begin(CLEAN)
        service.process.send_signal(signal.SIGTERM)
        wait_until(service.refuses, "it drains")
        assert service.process.poll() is None
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0
        assert service.events("leaving_at_once")


def test_a_drain_ends_at_its_deadline_whatever_a_session_does(idle: RunningService) -> None:
    idle.server.write_text(idle.server.read_text().replace("drain = 10", "drain = 2"))
    idle.start()
    with ScriptedMta(idle.address) as mta:
        mta.begin(CLEAN)
        assert mta.rcpt() == ACCEPTED
        assert idle.command("drain").returncode == 0
        assert idle.process.wait(20) == 0
        assert idle.events("cut_off")
        assert [event["ended"] for event in idle.events("verdict")] == ["disconnect"]


def test_the_children_end_with_a_killed_supervisor_even_those_that_hang(service: RunningService) -> None:
    children = service.children()
    assert len(children) == 3
    os.kill(service.workers()[0], signal.SIGSTOP)
    service.process.kill()
    service.process.wait()
    wait_until(lambda: not any(map(alive, children)), "no child is left")
    assert service.refuses()


@two_sockets
def test_it_starts_over_the_stale_files_of_a_killed_one(service: RunningService) -> None:
    service.process.kill()
    service.process.wait()
    assert (service.top / "milter.sock").exists()
    service.start()
    assert judged(service, LISTED) == REFUSED


@two_sockets
def test_a_second_instance_on_the_same_state_or_socket_says_who_is_there(service: RunningService) -> None:
    second = service.command("serve")
    assert second.returncode == 1
    assert f"another instance, process {service.process.pid}, works here" in second.stderr
    with tempfile.TemporaryDirectory() as other:
        text = service.server.read_text().replace(f"inet:127.0.0.1:{service.port}", "inet:127.0.0.1:0")
        service.server.write_text(text)
        third = service.command("serve", "--state", other)
    assert third.returncode == 1
    assert third.stderr == f"earmark: {service.top}/milter.sock: another instance answers there\n"
    assert judged(service, LISTED) == REFUSED


def test_all_problems_of_a_bad_configuration_are_told_before_any_socket_opens(idle: RunningService) -> None:
    idle.server.write_text(idle.server.read_text().replace("workers", "wokers"))
    idle.domain.write_text(idle.domain.read_text().replace("enforce", "enforced"))
    run = idle.command("serve")
    assert run.returncode == 1
    assert "policies/server.toml:4:1: wokers: " in run.stderr
    assert "policies/domains/example.org.toml:2:1: mode: " in run.stderr
    assert "Traceback" not in run.stderr
    assert not (idle.top / "state").exists()
    assert idle.refuses()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_without_an_account_is_refused(idle: RunningService) -> None:
    idle.server.write_text(idle.server.read_text().replace('user = "root"', 'user = ""'))
    run = idle.command("serve")
    assert run.returncode == 1
    assert run.stderr.startswith("earmark: started as root: ")
    assert idle.refuses()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_is_given_up_for_the_account_that_then_owns_everything(idle: RunningService) -> None:
    if not reachable_by_nobody():
        pytest.skip("the account nobody cannot read this checkout")
    idle.server.write_text(idle.server.read_text().replace('user = "root"', 'user = "nobody"'))
    idle.start()
    nobody = pwd.getpwnam("nobody")
    for pid in (idle.process.pid, *idle.children()):
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
        assert "\nGroups:\t65534 \n" in status
    for path in (*idle.top.glob("milter.sock"), idle.top / "state", idle.top / "state" / "control.sock"):
        assert path.stat().st_uid == nobody.pw_uid
    assert (idle.top / "state").stat().st_mode & 0o777 == 0o750
    assert (idle.top / "state" / "control.sock").stat().st_mode & 0o777 == 0o600
    assert judged(idle, LISTED) == REFUSED


def test_it_recovers_when_its_descriptors_were_used_up(idle: RunningService) -> None:
    idle.start(under=["prlimit", "--nofile=64:64"])
    with contextlib.ExitStack() as connections:
        for _ in range(200):
            connections.enter_context(socket.create_connection(idle.address, timeout=20))
        if ENGINE == "native":  # libmilter tells nobody
            wait_until(lambda: idle.counter("accept_failed"), "no more can be accepted")
        assert len(idle.workers()) == 2
    assert judged(idle, LISTED) == REFUSED
    assert not idle.events("killing")


def test_status_shows_what_there_is_and_fails_when_nobody_is_there(service: RunningService) -> None:
    shown = service.command("status")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"ready: process {service.process.pid} since ")
    for pid in service.children():
        assert f" {pid} " in shown.stdout
    assert service.command("drain").returncode == 0
    gone = service.command("status")
    assert gone.returncode == 1
    assert "is the service running?" in gone.stderr


def test_nonsense_on_the_control_socket_harms_nobody(service: RunningService) -> None:
    for nonsense in (b"GET / HTTP/1.0\r\n\r\n", b"[" * 4000 + b"\n", b"x" * 100_000, b"7\n", b"\xff\n"):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(20)
            caller.connect(str(service.top / "state" / "control.sock"))
            try:
                caller.sendall(nonsense)
                assert caller.recv(100) == b""
            except ConnectionError:
                continue
    assert "no such command" in service.ask("dance")["problems"][0]
    assert service.status()["state"] == "ready"


def test_a_worker_holds_nothing_of_its_own_twice(service: RunningService) -> None:
    def holds(pid: int) -> list[int]:
        names = []
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                names.append(descriptor.readlink().name)
        return [names.count(name) for name in ("history.sqlite", "anon_inode:[eventpoll]")]

    once = [[1, 1]] * len(service.workers())
    wait_until(lambda: [holds(pid) for pid in service.workers()] == once, "each has one history, and one event loop")


def test_its_descriptors_do_not_grow_with_reloads_and_killed_workers(service: RunningService) -> None:
    def held() -> int:
        return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))

    before = held()
    for _ in range(3):
        assert service.ask("reload")["ok"]
    os.kill(service.workers()[0], signal.SIGKILL)
    wait_until(lambda: len(service.workers()) == 2 and not service.workers("draining"), "all is calm")
    wait_until(lambda: held() <= before, "no more descriptors than before")
