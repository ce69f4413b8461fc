"""The rules that come with the program: every entry against its own words, and all of them against the caps."""

import re
import tomllib
from datetime import date
from typing import Any

import pytest

from earmark.config import load, shipped
from earmark.config.document import Document, parse
from earmark.config.rules import Rules, compile_rules
from earmark.core.evidence import Status
from earmark.core.zones import Code, Zone, ZoneKind, read_answer

RAW: dict[str, list[dict[str, Any]]] = {
    kind: tomllib.loads((shipped() / "rules" / name).read_text())[kind]
    for kind, name in (("zone", "zones.toml"), ("dead", "zones.toml"), ("name", "names.toml"))
}
ALONE = {"SBL", "SBL_CSS", "SBL_DROP", "XBL", "PBL", "PBL_ISP"}
ALONE |= {f"{list_}_{symbol.removeprefix('SBL_')}" for symbol in ALONE for list_ in ("ZEN", "DQS")}


def _compiled() -> Rules:
    files = sorted((shipped() / "rules").glob("*.toml*"))
    documents = [parse(f"rules/{path.name.removesuffix('.sample')}", path.read_bytes()) for path in files]
    rules = compile_rules([document for document in documents if isinstance(document, Document)], sound=True)
    assert len(documents) == len(files)
    assert not rules.problems
    return rules


RULES = _compiled()
ZONES = list(RULES.zones.values())
CODES = [(zone, code) for zone in ZONES for code in zone.codes]
each_zone = pytest.mark.parametrize("zone", ZONES, ids=lambda zone: zone.name)
each_code = pytest.mark.parametrize(("zone", "code"), CODES, ids=[code.symbol for _, code in CODES])


def _answer(number: int) -> str:
    return ".".join(map(str, number.to_bytes(4, "big")))


@each_code
def test_every_code_is_read_as_itself_and_no_lighter(zone: Zone, code: Code) -> None:
    for answer in (_answer(code.low), _answer(code.high)):
        status, data, why = read_answer(zone, [answer])
        assert (status, data) == (Status.PASS if zone.kind is ZoneKind.ALLOW else Status.FAIL, (answer,)), why
        assert code in zone.entries(data)


@each_zone
def test_every_list_says_who_runs_it_on_which_terms_and_when_to_look_again(zone: Zone) -> None:
    assert zone.owner
    assert len(zone.terms) > 10
    assert date.fromisoformat(zone.review) > date(2026, 1, 1)
    assert zone.connection or zone.received or (zone.names and (zone.sender or zone.helo or zone.reverse))
    assert zone.ipv4 or zone.ipv6 or zone.names
    assert 1 <= zone.timeout <= 10


@each_zone
def test_no_error_code_ever_scores(zone: Zone) -> None:
    errors = [_answer(number) for error in zone.errors for number in (error.low, error.high)]
    for answer in (*errors, "127.255.255.252", "127.255.255.254", "127.255.255.255", "192.0.2.1", "0.0.0.0"):
        status, data, why = read_answer(zone, [answer])
        assert (status, data) == (Status.TEMPERROR, ())
        assert why


@each_code
def test_no_list_but_those_of_spamhaus_refuses_alone(zone: Zone, code: Code) -> None:
    if code.symbol in ALONE:
        assert (zone.owner, code.score) == ("Spamhaus", 800)
    elif zone.kind is ZoneKind.BLOCK:
        assert 0 <= code.score <= 400
    else:
        assert -500 <= code.score < 0


def test_a_list_of_names_and_another_of_its_owner_never_refuse_together() -> None:
    for owner in {zone.owner for zone in ZONES if zone.names}:
        codes = [(zone.names, code.score) for zone, code in CODES if zone.owner == owner and code.score < 800]
        heaviest = [max((score for names, score in codes if names == kind), default=0) for kind in (True, False)]
        assert sum(heaviest) < 800, owner


def test_the_day_that_a_budget_allows_is_told_in_the_terms() -> None:
    for zone in ZONES:
        if zone.budget:
            assert f"{zone.budget:,} queries" in zone.terms or re.match(r"As [a-z.]+\.", zone.terms), zone.name


def test_an_address_asked_of_dbl_is_an_error_and_no_listing() -> None:
    status, data, why = read_answer(RULES.zones["dbl.spamhaus.org"], ["127.0.1.255"])
    assert (status, data) == (Status.TEMPERROR, ())
    assert "an address was asked of a list of names" in why


def test_all_codes_that_may_refuse_alone_are_there() -> None:
    assert {code.symbol for _, code in CODES} >= ALONE


@each_code
def test_what_counts_deep_is_never_a_matter_of_policy(zone: Zone, code: Code) -> None:
    assert not (code.deep and code.scope == "policy")
    assert not (code.deep and not zone.received)
    if code.scope == "network" and zone.owner != "Spamhaus":
        assert code.score <= 100
    if zone.kind is ZoneKind.ALLOW:
        assert not code.deep
        assert not zone.received


@each_code
def test_every_code_says_what_it_means_and_in_whose_words(zone: Zone, code: Code) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*", code.symbol)
    assert code.meaning.split(":")[0].split()[0] in (zone.owner.split()[0], "UCEPROTECT", "Barracuda")
    assert (code.scope == "domain") == zone.names


def test_every_symbol_stands_for_one_code() -> None:
    symbols = [code.symbol for _, code in CODES]
    assert len(set(symbols)) == len(symbols)


def test_no_list_is_both_alive_and_dead() -> None:
    assert not RULES.zones.keys() & RULES.dead.keys()
    assert len(RAW["dead"]) == len(RULES.dead)


def test_the_well_known_dead_are_listed_with_their_day() -> None:
    known = {
        "dnsbl.sorbs.net",
        "dnsbl.ahbl.org",
        "dnsbl.njabl.org",
        "list.dsbl.org",
        "relays.ordb.org",
        "spam.abuse.ch",
    }
    known |= {"bl.spamcannibal.org", "cbl.abuseat.org", "ix.dnsbl.manitu.net"}
    assert known <= RULES.dead.keys()
    for entry in RULES.dead.values():
        assert date(2000, 1, 1) < date.fromisoformat(entry.since) < date(2027, 1, 1)
        assert entry.why


@pytest.mark.parametrize(
    ("answer", "symbol"),
    [("127.0.10.0", "DNSWL_NONE"), ("127.0.5.1", "DNSWL_LOW"), ("127.0.2.2", "DNSWL_MED"), ("127.0.15.3", "DNSWL_HI")],
)
def test_dnswl_is_read_by_trust_whatever_the_category(answer: str, symbol: str) -> None:
    zone = RULES.zones["list.dnswl.org"]
    assert read_answer(zone, [answer])[0] is Status.PASS
    assert [code.symbol for code in zone.entries([answer])] == [symbol]


@pytest.mark.parametrize("answer", ["127.0.0.255", "127.0.10.3"])
def test_dnswl_answering_too_many_queries_is_trusted_by_nobody(answer: str) -> None:
    assert read_answer(RULES.zones["list.dnswl.org"], [answer])[0] is Status.TEMPERROR


@pytest.mark.parametrize("raw", RAW["name"], ids=lambda raw: raw["name"])
def test_every_name_rule_hits_what_it_should_and_misses_what_it_should(raw: dict[str, Any]) -> None:
    rule = RULES.names[raw["name"]]
    assert len(raw["hit"]) >= 3
    assert len(raw["miss"]) >= 3
    for host, address in raw["hit"]:
        assert rule.matches(host, address), host
    for host, address in raw["miss"]:
        assert not rule.matches(host, address), host


def test_every_word_of_a_name_rule_is_one_that_can_match() -> None:
    for rule in RULES.names.values():
        for word in rule.words | rule.unless:
            assert re.fullmatch(r"[a-z]+|[0-9]+", word), word
        assert not rule.words & rule.unless


def test_what_the_shipped_policies_ask_is_alive() -> None:
    generation = load(shipped())
    assert generation.zones.keys() <= RULES.zones.keys()
