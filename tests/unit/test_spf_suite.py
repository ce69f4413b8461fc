"""The community's test suite for RFC 7208 (spf_suite/), every case through the client over a fake DNS."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from earmark.clients.dns import Done
from earmark.clients.spf import Spf
from earmark.core.evidence import CheckHost, Fact, Question, Status
from earmark.core.mail import domain_key, parse_path

SUITE = Path(__file__).with_name("spf_suite") / "rfc7208-tests.yml"


class SuiteZone:
    """A scenario's zone data. Records of type SPF stand for TXT too, where a name has no TXT of its own."""

    def __init__(self, zonedata: dict[str, list[Any]]) -> None:
        self._data = {name.lower(): list(entries) for name, entries in zonedata.items()}

    def lookup(self, name: str, rtype: str, done: Done, *, give_up: float = 5.0) -> None:  # noqa: ARG002
        done(self._fact(name, rtype))

    def lookup_question(self, asked: bytes, done: Done, *, give_up: float = 5.0) -> None:
        raise NotImplementedError

    async def get(self, name: str, rtype: str, *, give_up: float = 5.0) -> Fact:  # noqa: ARG002
        await asyncio.sleep(0)
        return self._fact(name, rtype)

    def _fact(self, name: str, rtype: str, aliases: int = 8) -> Fact:
        entries = self._data.get(name.lower().removesuffix("."))
        if entries is None:
            return self._made(Status.NONE, why="NXDOMAIN")
        records = [entry for entry in entries if isinstance(entry, dict)]
        if aliases and (target := next((entry["CNAME"] for entry in records if "CNAME" in entry), "")):
            return self._fact(target, rtype, aliases - 1)
        data = tuple(_text(rtype, value) for value in _values(records, rtype))
        if data:
            return self._made(Status.PASS, data)
        if "TIMEOUT" in entries or not aliases:
            return self._made(Status.TEMPERROR, why="timeout" if aliases else "CNAME loop")
        return self._made(Status.NONE, why="NODATA")

    def _made(self, status: Status, data: tuple[str, ...] = (), why: str = "") -> Fact:
        return Fact(status, data, 300, time.time(), "suite", why)


def _values(records: list[dict[str, Any]], rtype: str) -> Iterator[Any]:
    types = {key for record in records for key in record}
    wanted = "SPF" if rtype == "TXT" and "TXT" not in types else rtype
    return (record[wanted] for record in records if wanted in record and record[wanted] != "NONE")


def _text(rtype: str, value: Any) -> str:
    match rtype:
        case "TXT":
            return "".join([value] if isinstance(value, str) else value)
        case "MX":
            return f"{value[0]} {value[1].lower().removesuffix('.') or '.'}"
        case "AAAA" | "PTR":
            return str(value).lower().removesuffix(".")
        case _:
            return str(value)


def cases() -> Iterator[Any]:
    for scenario in yaml.safe_load_all(SUITE.read_text("utf-8")):
        for name, test in scenario["tests"].items():
            yield pytest.param(scenario["zonedata"], test, id=f"{scenario['description']}: {name}")


CASES = list(cases())


def question(test: dict[str, Any]) -> CheckHost:
    sender, helo = parse_path(test["mailfrom"].encode()), domain_key(test["helo"])
    if sender.is_null:
        return CheckHost(test["host"], helo, f"postmaster@{helo}", helo)
    return CheckHost(test["host"], sender.domain, f"{sender.local or 'postmaster'}@{sender.domain}", helo)


@pytest.mark.parametrize(("zonedata", "test"), CASES)
async def test_a_case_of_the_suite_has_its_result(zonedata: dict[str, list[Any]], test: dict[str, Any]) -> None:
    answer: asyncio.Future[tuple[Question, Fact]] = asyncio.get_running_loop().create_future()
    client = Spf(SuiteZone(zonedata))
    client.ask(question(test), lambda *given: answer.set_result(given))
    async with asyncio.timeout(10):
        fact = (await answer)[1]
    expected = test["result"] if isinstance(test["result"], list) else [test["result"]]
    assert fact.status in expected, (fact.why, *fact.data)


def test_the_suite_is_whole() -> None:
    assert len(CASES) == 203
