"""The allow and deny lists under the running service: a command changes them, and every worker follows."""

import os
import pwd
import re
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from earmark.wire.milter import Command, packet
from fakes.running_service import CLEAN, LISTED, PYTHON, RunningService, name_server, wait_until
from fakes.scripted_mta import ACCEPTED, REFUSED, ScriptedMta


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with name_server() as resolver, tempfile.TemporaryDirectory(prefix="earmark-") as top:
        running = RunningService(Path(top), resolver)
        running.start()
        yield running
        running.stop()


def answer(mta: ScriptedMta, client: str, recipient: str = "user@example.org") -> int:
    """Return the letter that answers RCPT to another client on the same milter connection."""
    mta.socket.sendall(packet(Command.QUIT_NC))
    mta.begin(client)
    return mta.rcpt(recipient)


def sessions(service: RunningService) -> list[int]:
    return [child["sessions"] for child in service.status()["children"] if child["role"] == "worker"]


def test_a_change_is_in_force_in_all_workers_without_a_reload(service: RunningService) -> None:
    with ExitStack() as open_ones:
        connections: list[ScriptedMta] = []

        def with_every_worker() -> bool:
            connections.append(open_ones.enter_context(ScriptedMta(service.address)))
            return all(sessions(service))

        wait_until(with_every_worker, "each of the two workers has a connection")

        def answered(client: str, recipient: str = "user@example.org") -> set[int]:
            answers = set()
            for mta in connections:
                answers.add(answer(mta, client, recipient))
            return answers

        generation = service.status()["generation"]
        assert answered(CLEAN) == {ACCEPTED}
        assert answered(LISTED) == {REFUSED}
        assert service.command("deny", "add", CLEAN, "--domain", "example.org").returncode == 0
        wait_until(lambda: answered(CLEAN) == {REFUSED}, "all workers deny")
        assert service.command("allow", "add", LISTED, "--recipient", "user@example.org").returncode == 0
        wait_until(lambda: answered(LISTED) == {ACCEPTED}, "all workers allow")
        assert answered(LISTED, "other@example.org") == {REFUSED}
        assert service.command("deny", "remove", CLEAN, "--domain", "example.org").returncode == 0
        wait_until(lambda: answered(CLEAN) == {ACCEPTED}, "all workers have forgotten")
        assert service.status()["generation"] == generation


def test_explain_names_the_entry_its_author_and_the_others(service: RunningService) -> None:
    service.command("deny", "add", "192.0.2.0/25", "--note", "bought it again", "--author", "alice")
    service.command("allow", "add", "192.0.2.0/24", "--author", "carol")
    with ScriptedMta(service.address) as mta:

        def allowed() -> bool:
            return answer(mta, LISTED, "third@example.org") == ACCEPTED

        wait_until(allowed, "the entries are in force")
        mta.message()
        mta.quit()

    def verdicts() -> list[str]:
        told = service.events("verdict")
        return [event["id"] for event in told if event["action"] == "accept" and "third@example.org" in str(event)]

    wait_until(verdicts, "the verdict is logged")
    told = verdicts()[-1]
    wait_until(lambda: service.command("explain", told).returncode == 0, "it is in the history")
    lines = service.command("explain", told).stdout
    assert "-100.00 ACCESS_ALLOWED (connection): client 192.0.2.0/24 is allowed for everybody" in lines
    allowing = re.search(r"allow +client +192\.0\.2\.0/24 +for everybody +by carol ", lines)
    denying = re.search(r"deny +client +192\.0\.2\.0/25 +for everybody +by alice .*bought it again", lines)
    assert allowing is not None
    assert denying is not None
    assert allowing.start() < denying.start(), "in the order of precedence"
    assert "judged again from the record: the same" in lines


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as the service's account")
def test_what_root_enters_belongs_to_the_owner_of_the_state_directory() -> None:
    account = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="earmark-") as state:
        os.chown(state, account.pw_uid, account.pw_gid)
        command = [PYTHON, "-m", "earmark", "deny", "add", "192.0.2.7", "--state", state]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, cwd="/")
        assert run.returncode == 0, run.stderr
        found = (Path(state) / "access.sqlite").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (account.pw_uid, account.pw_gid, 0o640)
