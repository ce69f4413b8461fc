"""A shadow beside a running service: it changes nothing, is recorded, and `earmark compare` says what it would do."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from earmark.stores.recall import recent
from fakes.running_service import CLEAN, LISTED, RunningService, name_server, wait_until
from fakes.scripted_mta import ACCEPTED, ScriptedMta

STRICT = 'domains = ["example.org"]\nmode = "enforce"\n\n[listings]\nzones = ["bl.test"]\n'


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    with name_server() as address:
        yield address


@pytest.fixture
def service(resolver: str) -> Iterator[RunningService]:
    """A service that observes, and beside its configuration, not yet in use, one that refuses."""
    with tempfile.TemporaryDirectory(prefix="earmark-") as top:
        running = RunningService(Path(top), resolver, workers=1)
        running.set_mode("observe")
        shadow = running.top / "next" / "policies"
        (shadow / "domains").mkdir(parents=True)
        shutil.copy(running.config / "policies" / "default.toml", shadow)
        (shadow / "domains" / "example.org.toml").write_text(STRICT)
        yield running
        running.stop()


def use_shadow(service: RunningService) -> None:
    text = service.server.read_text()
    service.server.write_text(text.replace("schema = 1\n", f'schema = 1\nshadow = "{service.top}/next"\n'))


def mail(service: RunningService, client: str) -> list[Any]:
    """Play a mail; return what the MTA was told."""
    with ScriptedMta(service.address) as mta:
        mta.begin(client)
        said = [mta.rcpt()]
        if said == [ACCEPTED]:
            said.append(mta.message())
        mta.quit()
    return said


def told(service: RunningService, number: int) -> list[dict[str, Any]]:
    """The verdicts in the log from this one on, but for what differs from mail to mail."""
    events = service.events("verdict")[number:]
    passing = ("time", "id", "queue_id", "generation", "elapsed_ms")
    return [{key: value for key, value in event.items() if key not in passing} for event in events]


def test_a_shadow_changes_nothing_and_compare_says_what_it_would_have(service: RunningService) -> None:
    service.start()
    assert service.status()["shadow"] is None
    alone = [mail(service, client) for client in (LISTED, CLEAN)]
    wait_until(lambda: len(service.events("verdict")) == 2, "both are logged")

    use_shadow(service)
    assert service.ask("reload")["ok"]
    shadow = service.status()["shadow"]
    assert shadow["directory"] == f"{service.top}/next"
    assert [mail(service, client) for client in (LISTED, CLEAN)] == alone
    wait_until(lambda: len(service.events("verdict")) == 4, "both are logged")
    assert told(service, 2) == told(service, 0)[:2]
    assert f"shadow: {service.top}/next, generation {shadow['generation'][:12]}" in service.command("status").stdout

    history = service.top / "state" / "history.sqlite"
    wait_until(lambda: len(recent(history, 10)) == 4, "all are in the history")
    compared = service.command("compare", "--json")
    assert compared.returncode == 1, compared.stderr
    found = json.loads(compared.stdout)
    assert (found["transactions"], found["shadow_generation"]) == (2, shadow["generation"])
    (domain,) = found["domains"]
    assert (domain["domain"], domain["recipients"], domain["changes"]) == ("example.org", 2, {"newly refused": 1})
    (example,) = domain["examples"]
    assert (example["client"], example["before"]["action"], example["after"]["action"]) == (LISTED, "accept", "reject")
    assert example["after"]["mode"] == "enforce"
    explained = json.loads(service.command("explain", example["id"], "--json").stdout)
    for again in (explained["rederived"], explained["shadow"]["rederived"]):
        assert again == {"exact": True, "obstacles": [], "differences": []}
    assert [each["action"] for each in explained["shadow"]["recipients"]] == ["reject"]


def test_a_shadow_asks_a_list_that_only_it_names(service: RunningService) -> None:
    service.domain.write_text('domains = ["example.org"]\n[listings]\nzones = []\n[received]\nzones = []\n')
    service.options = ["--shadow", service.top / "next"]
    service.start()
    assert mail(service, LISTED) == [ACCEPTED, ACCEPTED]
    history = service.top / "state" / "history.sqlite"
    wait_until(lambda: history.exists() and len(recent(history, 10)) == 1, "it is in the history")
    (record,) = recent(history, 1)
    names = [[found["name"] for found in side[0]["findings"]] for side in (record.recipients, record.shadow)]
    assert names == [["NO_PTR"], ["NO_PTR", "BL_LISTED"]]
    compared = service.command("compare")
    assert compared.returncode == 1, compared.stderr
    assert "BL_LISTED none -> 10.00" in compared.stdout
    assert f"list bl.test {LISTED}: fail 127.0.0.2" in compared.stdout
    explained = service.command("explain", record.id).stdout
    told_by_shadow = explained.partition("\nthe shadow, generation ")[2]
    assert "+10.00 BL_LISTED" in told_by_shadow
    assert told_by_shadow.endswith("judged again from the record: the same\n")


def test_a_shadow_that_does_not_hold_or_fails_its_tests_keeps_a_reload_from_changing_anything(
    service: RunningService,
) -> None:
    service.start()
    before = service.status()["generation"]
    use_shadow(service)
    file = service.top / "next" / "policies" / "domains" / "example.org.toml"
    file.write_text(STRICT.replace("enforce", "enforced"))
    run = service.command("reload")
    assert run.returncode == 1
    assert run.stderr.startswith(f"{file}:2:1: mode: must be one of observe, mark, enforce")
    file.write_text(STRICT + f'[[test]]\nabout = "nobody is refused"\nclient = "{LISTED}"\naction = "reject"\n')
    run = service.command("reload")
    assert run.returncode == 1
    assert run.stderr.startswith(f"{file}:9:1: test[0].action: nobody is refused: expected reject, came accept")
    assert service.command("config", "check").stderr == run.stderr
    assert service.status()["generation"] == before
    assert service.status()["shadow"] is None
