"""A change of generation under way: nothing refused, nothing lost, no verdict changed; a bad one changes nothing."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakes.running_service import CLEAN, LISTED, RunningService, name_server, two_sockets, wait_until
from fakes.scripted_mta import ACCEPTED, REFUSED, ScriptedMta


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    with name_server() as address:
        yield address


@pytest.fixture
def service(resolver: str) -> Iterator[RunningService]:
    with tempfile.TemporaryDirectory(prefix="earmark-") as top:
        running = RunningService(Path(top), resolver)
        running.start()
        yield running
        running.stop()


def judged(service: RunningService, client: str) -> int:
    with ScriptedMta(service.address) as mta:
        mta.begin(client)
        return mta.rcpt()


def test_a_reload_serves_the_new_files_and_a_running_transaction_ends_under_the_old(service: RunningService) -> None:
    before = service.status()["generation"]
    with ScriptedMta(service.address) as old:
        old.begin(LISTED)
        service.set_mode("observe")
        run = service.command("reload")
        assert run.returncode == 0, run.stderr
        after = service.status()["generation"]
        assert after != before
        assert judged(service, LISTED) == ACCEPTED, "the new generation observes"
        assert old.rcpt() == REFUSED, "the old one enforces"
        old.quit()
    wait_until(lambda: not service.workers("draining"), "the old workers leave")
    wait_until(lambda: len(service.events("verdict")) == 2, "both are logged")
    assert {event["generation"] for event in service.events("verdict")} == {after[:12], before[:12]}


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ('domains = ["example.org"]\nmode = "enforced"\n', "policies/domains/example.org.toml:2:1: mode: "),
        ('domains = ["example.org"]\nmode = "enf', "policies/domains/example.org.toml:2:"),
        ("", "policies/domains/example.org.toml:1:1: domains: "),
        (
            'domains = ["example.org"]\n[[test]]\nabout = "all is refused"\nclient = "192.0.2.2"\naction = "reject"\n',
            "policies/domains/example.org.toml:5:1: test[0].action: all is refused: expected reject, came accept; ",
        ),
    ],
    ids=["wrong", "half-written", "empty", "failing-its-own-test"],
)
def test_a_bad_bundle_changes_nothing_and_says_where(service: RunningService, broken: str, problem: str) -> None:
    before = service.status()
    service.domain.write_text(broken)
    run = service.command("reload")
    assert run.returncode == 1
    assert run.stderr.startswith(problem)
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: service.counter("policy_reload_failed") == 2, "the signal's attempt has failed as well")
    after = service.status()
    assert after["generation"] == before["generation"]
    assert [child["pid"] for child in after["children"]] == [child["pid"] for child in before["children"]]
    assert after["reload"]["problems"][0].startswith(problem)
    assert [event["problems"][0].startswith(problem) for event in service.events("reload_failed")] == [True, True]
    assert judged(service, LISTED) == REFUSED


def test_an_unreadable_directory_changes_nothing(service: RunningService) -> None:
    service.config.rename(service.top / "elsewhere")
    answer = service.ask("reload")
    assert not answer["ok"]
    assert answer["problems"]
    assert judged(service, LISTED) == REFUSED


def test_what_only_a_restart_can_change_is_refused_by_name(service: RunningService) -> None:
    service.server.write_text(service.server.read_text().replace("/state", "/another"))
    answer = service.ask("reload")
    assert answer["problems"] == ["policies/server.toml: state: a change takes effect at a restart, not at a reload"]


@two_sockets
def test_a_reload_opens_and_closes_sockets_as_the_files_say(service: RunningService) -> None:
    text = service.server.read_text()
    service.server.write_text(text.replace("milter.sock", "other.sock"))
    assert service.ask("reload")["ok"]
    with ScriptedMta(str(service.top / "other.sock")) as mta:
        mta.begin(LISTED)
        assert mta.rcpt() == REFUSED
    assert not (service.top / "milter.sock").exists()
    service.server.write_text(text.replace("/milter.sock", "/none/milter.sock"))
    answer = service.ask("reload")
    assert not answer["ok"]
    assert "No such file or directory" in answer["problems"][0]
    with ScriptedMta(str(service.top / "other.sock")) as mta:
        mta.begin(LISTED)
        assert mta.rcpt() == REFUSED


def test_reloads_that_are_asked_for_at_once_are_all_answered(service: RunningService) -> None:
    service.set_mode("mark")
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(service.ask, ["reload"] * 4))
    assert all(answer["ok"] for answer in answers)
    assert len({answer["generation"] for answer in answers}) == 1
    assert 1 < service.counter("policy_reload") <= 4, "one for the first, and one more for who came meanwhile"


class Load(threading.Thread):
    """SMTP sessions one after the other until told to stop; notes whatever is not as it should be."""

    def __init__(self, service: RunningService, stopping: threading.Event) -> None:
        super().__init__()
        self.service = service
        self.stopping = stopping
        self.done = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.stopping.wait(0.01):  # some load, and the processor left for the reloads
            try:
                self.session()
            except (OSError, EOFError, AssertionError) as error:
                self.wrong.append(repr(error))
            self.done += 1

    def session(self) -> None:
        with ScriptedMta(self.service.address) as mta:
            mta.begin(LISTED if self.done % 2 else CLEAN)
            if self.done % 2:
                assert mta.rcpt() == REFUSED
            else:
                assert mta.rcpt() == ACCEPTED
                assert mta.message() == ACCEPTED
            mta.quit()


def test_twenty_reloads_under_load_refuse_no_connection_and_change_no_verdict(service: RunningService) -> None:
    stopping = threading.Event()
    loads = [Load(service, stopping) for _ in range(4)]
    for load in loads:
        load.start()
    try:
        for number in range(20):
            if number % 4 == 3:
                service.domain.write_text('domains = ["example.org"\n')
                assert not service.ask("reload")["ok"]
            service.set_mode("enforce", note=f"edition {number}")
            answer = service.ask("reload")
            assert answer["ok"], answer
    finally:
        stopping.set()
        for load in loads:
            load.join()
    assert [load.wrong for load in loads] == [[]] * len(loads)
    assert service.counter("policy_reload") == 20
    assert service.counter("policy_reload_failed") == 5
    total = sum(load.done for load in loads)
    assert total > 20, "there was load"
    wait_until(lambda: service.counter("transactions") == total, "each transaction was counted once")
    wait_until(lambda: len(service.events("verdict")) == total, "and logged once")
