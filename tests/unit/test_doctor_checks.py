"""The checks of `earmark doctor` that look at files, resolvers, lists, the control socket, and run postconf."""

import asyncio
import json
import os
import pwd
import socket
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from earmark.config import load
from earmark.config.files import copy_shipped
from earmark.core.access import Kind
from earmark.core.canaries import Condition, Judged, Outcome
from earmark.core.evidence import Fact, Status
from earmark.service.control import control_path
from earmark.service.doctor.access import READ, SEARCH, WRITE, Account, obstacle, permits
from earmark.service.doctor.diagnosis import Diagnosis, State
from earmark.service.doctor.machine import diagnose_clock, diagnose_files, diagnose_state
from earmark.service.doctor.names import ask_resolvers, diagnose_list, diagnose_resolver
from earmark.service.doctor.postconf import PostconfError, read_postfix
from earmark.service.doctor.service import diagnose_service
from earmark.service.doctor.sockets import diagnose_sockets
from earmark.service.doctor.store import diagnose_ping, diagnose_stores
from earmark.stores import access_file, state_sqlite
from earmark.stores.history import FILE_NAME
from fakes.dnsd import dnsd
from fakes.entries import deny
from fakes.milter_front import milter_front

ME = pwd.getpwuid(os.geteuid()).pw_name
SOMEBODY = Account("somebody", 4711, frozenset({4712}))
ANSWERED = Fact(Status.NONE, source="192.0.2.53:53", why="NXDOMAIN")


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    directory = tmp_path / "configuration"
    copy_shipped(directory)
    return directory


@pytest.mark.parametrize(
    ("mode", "owner", "group", "wanted", "permitted"),
    [
        (0o600, 4711, 0, READ | WRITE, True),
        (0o066, 4711, 4712, READ, False),
        (0o640, 0, 4712, READ, True),
        (0o640, 0, 4712, WRITE, False),
        (0o604, 0, 4712, READ, False),
        (0o604, 0, 0, READ, True),
        (0o750, 0, 0, SEARCH, False),
    ],
)
def test_the_first_class_that_fits_decides(mode: int, owner: int, group: int, wanted: int, permitted: bool) -> None:  # noqa: FBT001 - a column of the table
    status = os.stat_result((mode, 0, 0, 1, owner, group, 0, 0, 0, 0))
    assert permits(status, SOMEBODY, wanted) is permitted
    assert permits(status, Account("root", 0, frozenset()), wanted)


def test_a_closed_directory_above_is_the_obstacle() -> None:
    with tempfile.TemporaryDirectory(prefix="earmark-", dir="/tmp") as top:
        Path(top).chmod(0o755)
        file = Path(top, "closed", "file")
        file.parent.mkdir(mode=0o700)
        file.touch()
        file.chmod(0o666)
        assert obstacle(file, SOMEBODY, READ) == str(file.parent)
        file.parent.chmod(0o711)
        assert obstacle(file, SOMEBODY, READ) == ""
        file.chmod(0o600)
        assert obstacle(file, SOMEBODY, READ) == str(file)


@pytest.mark.parametrize(("now", "state"), [(0.0, State.FAIL), (1.8e9, State.PASS), (5e9, State.FAIL)])
def test_a_clock_that_was_never_set_fails(now: float, state: State) -> None:
    assert diagnose_clock(now).state is state


@pytest.mark.parametrize(
    ("mode", "state"), [(0o750, State.PASS), (0o700, State.PASS), (0o755, State.WARN), (0o757, State.FAIL)]
)
def test_a_state_directory_that_is_open_to_others_is_named(tmp_path: Path, mode: int, state: State) -> None:
    tmp_path.chmod(mode)
    found = diagnose_state(tmp_path, ME)
    assert found.state is state
    assert not found.mend or found.mend == f"chmod 0750 {tmp_path}"


def test_a_state_directory_of_another_account_or_of_none_fails(tmp_path: Path) -> None:
    other = "nobody" if ME != "nobody" else "root"
    assert diagnose_state(tmp_path, other).mend == f"chown -R {other} {tmp_path}"
    assert diagnose_state(tmp_path, "no-such-account").state is State.FAIL
    assert diagnose_state(tmp_path / "none", ME).state is State.WARN


def test_a_configuration_that_everybody_can_change_is_named(configuration: Path) -> None:
    generation = load(configuration)
    assert list(diagnose_files(configuration, generation, None)) == []
    (configuration / "policies" / "default.toml").chmod(0o666)
    (found,) = diagnose_files(configuration, generation, None)
    assert found.state is State.WARN
    assert found.mend == f"chmod o-w {configuration}/policies/default.toml"


def test_a_secret_that_others_can_read_fails_and_is_not_shown(configuration: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("sekret\n")
    secret.chmod(0o644)
    server = configuration / "policies" / "server.toml"
    server.write_text(
        f'schema = 1\nuser = "{ME}"\n[store]\nurl = "redis://127.0.0.1:1/0"\npassword_file = "{secret}"\n'
    )
    found = list(diagnose_files(configuration, load(configuration), None))
    assert [one.state for one in found] == [State.FAIL, State.PASS]
    assert "is open to everybody" in found[0].seen
    assert "sekret" not in str(found)


async def test_a_resolver_that_answers_passes_and_one_that_does_not_fails() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        taken.close()
        async with dnsd("") as server:
            facts = await ask_resolvers([server.address, nobody])
    states = [diagnose_resolver(name, fact).state for name, fact in facts.items()]
    assert states == [State.PASS, State.FAIL]


@pytest.mark.parametrize("source", ["8.8.8.8:53", "1.1.1.1:53", "[2620:fe::fe]:53"])
def test_a_large_public_resolver_is_a_warning_when_it_answers(source: str) -> None:
    found = diagnose_resolver("it", ANSWERED._replace(source=source))
    assert found.state is State.WARN
    assert "most lists refuse" in found.seen
    silent = diagnose_resolver("it", Fact(Status.TEMPERROR, source=source, why="timeout"))
    assert silent.state is State.FAIL
    assert "public" in silent.seen


def test_every_finding_about_a_list_has_its_mend() -> None:
    said = {Condition.ARMED, Condition.UNCHECKED, Condition.NO_KEY}  # which no round of canaries comes to
    for what in {*Condition} - said:
        found = diagnose_list("bl.test", Judged(what, "why"))
        assert found.state is State.FAIL
        assert found.mend
    assert diagnose_list("bl.test", Judged(Outcome.GOOD)).state is State.PASS
    assert diagnose_list("bl.test", Judged(Outcome.SILENT, "timeout")).state is State.FAIL
    assert diagnose_list("bl.test", Judged(Outcome.UNDECIDED, "timeout")).state is State.UNKNOWN


@contextmanager
def service_that_says(at: Path, /, **status: Any) -> Iterator[None]:
    """Answer one question on the control socket."""
    usual = {
        "state": "ready", "pid": 1, "directory": "/etc/earmark", "generation": "a" * 64, "shadow": None,
        "reload": {"problems": []}, "children": [{"role": "worker", "state": "ready"}],
    }  # fmt: skip

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(json.dumps({**usual, **status}).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(control_path(at)))
        listener.settimeout(10)
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def asked(state: Path, directory: str = "/etc/earmark") -> list[Diagnosis]:
    return list(diagnose_service(state, Path(directory), "a" * 64, ""))


def test_a_service_that_is_ready_and_current_passes(tmp_path: Path) -> None:
    with service_that_says(tmp_path):
        assert [one.state for one in asked(tmp_path)] == [State.PASS, State.PASS]


@pytest.mark.parametrize(
    ("status", "states", "seen"),
    [
        ({"state": "short of workers"}, [State.WARN, State.PASS], ""),
        ({"state": "not answering", "children": []}, [State.FAIL, State.PASS], ""),
        ({"generation": "b" * 64}, [State.PASS, State.WARN], "reload pending"),
        (
            {"shadow": {"generation": "c" * 64}},
            [State.PASS, State.WARN], "the shadow in force is cccccccccccc, that of server.toml none",
        ),
        (
            {"generation": "b" * 64, "reload": {"problems": ["policies/default.toml:1:1: x"]}},
            [State.PASS, State.FAIL], "the last reload failed: policies/default.toml:1:1: x",
        ),
        ({"directory": "/etc/other"}, [State.PASS, State.WARN], "the service reads /etc/other"),
    ],
)  # fmt: skip
def test_what_a_service_says_of_itself_is_compared_with_the_disk(
    tmp_path: Path, status: dict[str, Any], states: list[State], seen: str
) -> None:
    with service_that_says(tmp_path, **status):
        found = asked(tmp_path)
    assert [one.state for one in found] == states
    assert seen in found[1].seen


def test_a_service_that_does_not_run_fails(tmp_path: Path) -> None:
    (found,) = asked(tmp_path)
    assert found.state is State.FAIL
    assert "is the service running?" in found.seen


async def test_a_socket_is_negotiated_at_and_must_let_postfix_in() -> None:
    async with milter_front() as running:
        spec = f"unix:{running.path}"
        first, second = await asyncio.to_thread(lambda: list(diagnose_sockets([spec], ME)))
        assert (first.state, second.state) == (State.PASS, State.PASS)
        await asyncio.to_thread(Path(running.path).chmod, 0o600)
        other = "nobody" if ME != "nobody" else "root"
        first, second = await asyncio.to_thread(lambda: list(diagnose_sockets([spec], other)))
        assert (first.state, second.state) == (State.PASS, State.FAIL)
        assert f"keeps {other} out" in second.seen
        await asyncio.wait_for(running.front.drained(), 10)
    (gone,) = diagnose_sockets([spec], ME)
    assert gone.state is State.FAIL


def test_stores_that_are_not_there_pass_and_nothing_is_made(configuration: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    assert [one.state for one in diagnose_stores(state, load(configuration))] == 3 * [State.PASS]
    assert not list(state.iterdir())


def test_access_lists_that_cannot_be_read_fail_and_nothing_is_made(configuration: Path, tmp_path: Path) -> None:
    file = tmp_path / "state" / access_file.FILE_NAME
    file.parent.mkdir()
    access_file.put(file, [deny(Kind.CLIENT, "192.0.2.7")])
    assert next(diagnose_stores(file.parent, load(configuration))).state is State.PASS
    file.write_bytes(b"not a database, and longer than the header of one would be" * 20)
    found = next(diagnose_stores(file.parent, load(configuration)))
    assert (found.check, found.state) == ("access lists", State.FAIL)
    assert found.mend.startswith("nobody is refused while it cannot be read")
    assert [each.name for each in file.parent.iterdir()] == [file.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("name", [access_file.FILE_NAME, FILE_NAME, state_sqlite.FILE_NAME])
def test_a_file_that_root_left_behind_in_the_state_directory_fails(
    configuration: Path, tmp_path: Path, name: str
) -> None:
    state, account = tmp_path / "state", pwd.getpwnam("nobody")
    state.mkdir()
    with closing(sqlite3.connect(state / name)) as connection:
        connection.executescript("PRAGMA user_version = 1; CREATE TABLE entry AS SELECT 1 WHERE 0")
        if name == access_file.FILE_NAME:
            connection.executescript("DROP TABLE entry; PRAGMA user_version = 0")
    (state / name).chmod(0o640)
    os.chown(state, account.pw_uid, account.pw_gid)
    (found,) = [one for one in diagnose_stores(state, load(configuration)) if one.state is not State.PASS]
    assert found.state is State.FAIL
    assert "keeps nobody out" in found.seen


def test_a_store_is_looked_into_without_leaving_a_trace(configuration: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with closing(sqlite3.connect(state / FILE_NAME)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA user_version = 1; CREATE TABLE verdict (id)")
    assert [one.state for one in diagnose_stores(state, load(configuration))] == 3 * [State.PASS]
    assert [file.name for file in state.iterdir()] == [FILE_NAME]
    (state / FILE_NAME).write_bytes(b"not a database, and longer than the header of one would be" * 20)
    assert [one.state for one in diagnose_stores(state, load(configuration))][1] is State.FAIL


def test_a_redis_that_is_not_there_fails(configuration: Path, tmp_path: Path) -> None:
    (configuration / "policies" / "server.toml").write_text('schema = 1\n[store]\nurl = "unix:///nowhere/redis.sock"\n')
    _, _, found = diagnose_stores(tmp_path, load(configuration))
    assert found.state is State.FAIL


@pytest.mark.parametrize(("seconds", "state"), [(0.001, State.PASS), (0.051, State.FAIL)])
def test_a_redis_that_is_slower_than_mail_waits_fails(seconds: float, state: State) -> None:
    assert diagnose_ping("redis://192.0.2.40", seconds, 0.05).state is state


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'postconf: fatal: open /x/main.cf: No such file or directory'; exit 1", "fatal: open /x/main.cf"),
        ("yes 'mail_version = 1'", "prints more than"),
        ("sleep 60", "no answer within 0.5 s"),
    ],
)
def test_a_postconf_that_fails_hangs_or_never_ends_is_cut_short(tmp_path: Path, script: str, reason: str) -> None:
    program = tmp_path / "postconf"
    program.write_text(f"#!/bin/sh\nexec {script}\n" if "fatal" not in script else f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(PostconfError, match=reason):
        read_postfix(str(program), None, patience=0.5)


def test_words_of_a_shell_in_a_directorys_name_are_only_a_name(tmp_path: Path) -> None:
    program = tmp_path / "postconf"
    program.write_text('#!/bin/sh\nprintf "mail_version = %s\\n" "$2"\n')
    program.chmod(0o755)
    directory = tmp_path / "$(touch made); `touch made` | touch made"
    assert read_postfix(str(program), directory).settings == {"mail_version": str(directory)}
    assert not Path("made").exists()
