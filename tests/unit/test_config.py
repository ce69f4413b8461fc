"""Configuration: from bytes to policies, and where each value was set."""

import os
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from earmark.config import (
    ConfigError,
    Generation,
    Problem,
    compile_generation,
    find_directory,
    load,
    read_files,
    shipped,
)
from earmark.config.document import LARGEST
from earmark.config.files import writable_by_others
from earmark.config.generation import generation_id
from earmark.core.evidence import Status
from earmark.core.mail import parse_path
from earmark.core.policy import Mode, Place, Policy
from earmark.core.zones import read_answer

SERVER = "policies/server.toml"
DEFAULT = "policies/default.toml"
SHIPPED = read_files(shipped())


def _compiled(**domains: str) -> Generation:
    return compile_generation(
        SHIPPED | {f"policies/domains/{name}.toml": text.encode() for name, text in domains.items()}
    )


def _policy(generation: Generation, domain: str) -> Policy:
    return generation.policies.find(parse_path(f"<user@{domain}>".encode()))


def _problems(files: dict[str, bytes]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compile_generation(files)
    return [str(problem) for problem in caught.value.problems]


def _with_server(text: str) -> Generation:
    return compile_generation(SHIPPED | {SERVER: f"schema = 1\n{text}".encode()})


def test_a_domain_without_a_file_has_the_default_policy() -> None:
    generation = _compiled(a='domains = ["example.org"]\nmark_at = 4.00\n')
    assert _policy(generation, "example.net") is generation.policies.default
    assert generation.policies.default.name == "default"
    assert _policy(generation, "example.org").mark_at == 400


def test_a_file_changes_only_what_it_says() -> None:
    generation = _compiled(a='domains = ["example.org"]\n[listings]\nweights.ZEN_PBL = 4.00\n[helo]\nours = 0\n')
    policy, default = _policy(generation, "example.org"), generation.policies.default
    assert policy.refuse_at == default.refuse_at
    assert policy.knobs["listings"].zones == default.knobs["listings"].zones
    assert policy.knobs["listings"].weights == {"ZEN_PBL": 400}
    assert policy.knobs["helo"].ours == 0
    assert policy.knobs["helo"].missing == default.knobs["helo"].missing


def test_weights_are_laid_over_by_symbol_and_lists_replace() -> None:
    default = SHIPPED[DEFAULT].replace(b"[listings.weights]", b"[listings.weights]\nZEN_SBL = 7.00\nZEN_PBL = 6.00")
    domain = b'domains = ["example.org"]\n[listings]\nzones = ["zen.spamhaus.org"]\nweights.ZEN_PBL = 1.00\n'
    generation = compile_generation(SHIPPED | {DEFAULT: default, "policies/domains/a.toml": domain})
    knobs = _policy(generation, "example.org").knobs["listings"]
    assert knobs.weights == {"ZEN_SBL": 700, "ZEN_PBL": 100}
    assert [zone.name for zone in knobs.zones] == ["zen.spamhaus.org"]


def test_a_weight_of_the_default_counts_where_any_policy_asks_its_list() -> None:
    zones = re.search(rb"\[listings\]\n(?:\n|#.*\n)*(zones = \[[^]]*\])", SHIPPED[DEFAULT])
    assert zones is not None
    default = SHIPPED[DEFAULT].replace(zones[1], b'zones = ["bl.spamcop.net"]', 1)
    default = default.replace(b"[listings.weights]", b"[listings.weights]\nZEN_SBL = 7.00")
    line = default[: default.index(b"ZEN_SBL = 7.00")].count(b"\n") + 1
    with pytest.raises(ConfigError) as caught:
        compile_generation(SHIPPED | {DEFAULT: default})
    assert str(caught.value) == (
        f'{DEFAULT}:{line}:1: listings.weights.ZEN_SBL: has no effect: "zen.spamhaus.org", whose symbol it is,'
        " is not among the zones of [listings]; add it there, or remove this"
    )
    domain = b'domains = ["example.org"]\n[listings]\nzones = ["zen.spamhaus.org"]\n'
    generation = compile_generation(SHIPPED | {DEFAULT: default, "policies/domains/a.toml": domain})
    assert _policy(generation, "example.org").knobs["listings"].weights == {"ZEN_SBL": 700}


def test_what_is_not_changed_is_the_same_value_so_that_it_is_asked_once() -> None:
    generation = _compiled(
        a='domains = ["example.org"]\n[helo]\nours = 0\n',
        b='domains = ["example.net"]\n[helo]\nours = 0.00\n',
    )
    one, other = _policy(generation, "example.org"), _policy(generation, "example.net")
    assert one.knobs["listings"] is generation.policies.default.knobs["listings"]
    assert one.knobs["helo"] is other.knobs["helo"]


def test_an_exact_domain_beats_a_pattern_and_a_near_pattern_a_far_one() -> None:
    generation = _compiled(
        far='domains = ["*.example.org"]\n',
        near='domains = ["*.sub.example.org"]\n',
        exact='domains = ["host.sub.example.org", "example.org"]\n',
    )
    assert _policy(generation, "a.b.example.org").name == "*.example.org"
    assert _policy(generation, "a.sub.example.org").name == "*.sub.example.org"
    assert _policy(generation, "HOST.sub.example.org").name == "host.sub.example.org"
    assert _policy(generation, "example.org").name == "host.sub.example.org"


@pytest.mark.parametrize(
    "spelling", ["bücher.example", "BÜCHER.Example.", "xn--bcher-kva.example", "XN--BCHER-KVA.EXAMPLE"]
)
def test_an_international_domain_is_one_domain_in_every_spelling(spelling: str) -> None:
    generation = _compiled(a=f'domains = ["{spelling}", "*.{spelling}"]\n')
    for recipient in ("bücher.example", "Bücher.example", "xn--bcher-kva.example"):
        assert _policy(generation, recipient).name == "xn--bcher-kva.example"
        assert _policy(generation, f"www.{recipient}").name == "xn--bcher-kva.example"


def test_our_domains_are_the_servers_and_all_exact_ones_of_the_files() -> None:
    server = b'schema = 1\n[site]\ndomains = ["Example.com"]\n'
    domain = b'domains = ["example.org", "*.example.net"]\n'
    generation = compile_generation(SHIPPED | {SERVER: server, "policies/domains/a.toml": domain})
    assert generation.policies.site.domains == {"example.com", "example.org"}
    assert generation.server.site == generation.policies.site


@pytest.mark.parametrize("server", list(Mode))
@pytest.mark.parametrize("domain", list(Mode))
def test_the_milder_mode_of_server_and_domain_holds(server: Mode, domain: Mode) -> None:
    files = {SERVER: f'schema = 1\nmode = "{server}"\n'.encode()}
    files["policies/domains/a.toml"] = f'domains = ["example.org"]\nmode = "{domain}"\n'.encode()
    policy = _policy(compile_generation(SHIPPED | files), "example.org")
    order = list(Mode)
    assert order.index(policy.mode) == min(order.index(server), order.index(domain))
    by_server = order.index(server) < order.index(domain)
    assert policy.places["mode"] == (Place(SERVER, 2) if by_server else Place("policies/domains/a.toml", 2))


def test_each_value_knows_the_file_and_line_that_set_it() -> None:
    generation = _compiled(a='domains = ["example.org"]\nrefuse_at = 9\n[listings.weights]\n\nZEN_PBL = 4.00\n')
    places = _policy(generation, "example.org").places
    assert places["refuse_at"] == Place("policies/domains/a.toml", 2)
    assert places["listings.weights.ZEN_PBL"] == Place("policies/domains/a.toml", 5)
    for setting, text in (("mark_at", "mark_at = 5.00"), ("client.no_name", "no_name = 1.50")):
        lines = SHIPPED[DEFAULT].decode().splitlines()
        assert places[setting] == Place(DEFAULT, lines.index(text) + 1)
    zones = SHIPPED["rules/zones.toml"].decode().splitlines()
    assert places["zones.ZEN_SBL"] == Place("rules/zones.toml", zones.index('symbol = "ZEN_SBL"') + 1)


def test_the_places_of_one_domain_are_not_those_of_another() -> None:
    generation = _compiled(a='domains = ["example.org"]\nmark_at = 4.00\n', b='domains = ["example.net"]\n')
    assert _policy(generation, "example.net").places["mark_at"].file == DEFAULT
    assert generation.policies.default.places["mark_at"].file == DEFAULT


def test_a_generation_is_named_by_names_and_bytes_alone() -> None:
    one = compile_generation(SHIPPED)
    assert one.id == compile_generation(dict(reversed(SHIPPED.items()))).id
    assert one.id == compile_generation(one.files).id
    assert len(one.id) == 64
    assert one.id != compile_generation(SHIPPED | {DEFAULT: SHIPPED[DEFAULT] + b"#\n"}).id
    assert generation_id({"a": b"bc"}) != generation_id({"ab": b"c"})


def test_loopback_always_belongs_to_the_own_networks() -> None:
    networks = [str(network) for network in _with_server('[site]\nnetworks = ["192.0.2.0/28"]\n').server.site.networks]
    assert networks == ["127.0.0.0/8", "::1/128", "192.0.2.0/28"]


def test_the_site_is_written_in_the_form_in_which_it_is_compared() -> None:
    text = '[site]\nnames = ["MX.Example.org."]\naddresses = ["2001:DB8:0::1", "::ffff:192.0.2.1"]\n'
    text += 'relays = ["192.0.2.9"]\n'
    site = _with_server(text).server.site
    assert site.names == {"mx.example.org"}
    assert site.addresses == {"2001:db8::1", "192.0.2.1"}
    assert [str(relay) for relay in site.relays] == ["192.0.2.9/32"]


def test_windows_line_ends_change_nothing_but_the_generations_name() -> None:
    files = {name: content.replace(b"\n", b"\r\n") for name, content in SHIPPED.items()}
    windows, unix = compile_generation(files), compile_generation(SHIPPED)
    assert windows.id != unix.id
    for name, knobs in windows.policies.default.knobs.items():
        assert asdict(knobs) == asdict(unix.policies.default.knobs[name])
    assert windows.policies.default.places == unix.policies.default.places


def test_a_file_of_ten_megabytes_is_refused_unread(tmp_path: Path) -> None:
    domains = tmp_path / "policies" / "domains"
    domains.mkdir(parents=True)
    (domains / "large.toml").write_bytes(b"# comment\n" * 1_000_000)
    files = read_files(tmp_path)
    assert len(files["policies/domains/large.toml"]) == LARGEST + 1
    assert _problems(SHIPPED | files) == [f"policies/domains/large.toml:1:1: file: larger than {LARGEST} bytes"]


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "a = 1e9999999999999999999", "a" * 999_999]
)
def test_no_text_makes_a_traceback(text: str) -> None:
    assert _problems(SHIPPED | {"policies/domains/a.toml": text.encode()})


def _told(files: dict[str, bytes]) -> list[Problem]:
    try:
        compile_generation(files)
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize("name", [SERVER, DEFAULT])
def test_a_half_written_file_is_refused_with_its_place_or_holds_whole_values(name: str) -> None:
    content = SHIPPED[name].partition(b"\n# What README.md promises")[0]
    told = [_told(SHIPPED | {name: content[:end]}) for end in range(0, len(content), 307)]
    assert all(problem.file == name and problem.line > 0 for problems in told for problem in problems)
    assert all(told) or name == SERVER


def test_a_default_policy_without_its_last_line_is_refused() -> None:
    settings = SHIPPED[DEFAULT].partition(b"[[test]]")[0]
    lines = [line for line in settings.splitlines(keepends=True) if not line.startswith(b"#")]
    assert _problems(SHIPPED | {DEFAULT: b"".join(lines[:-4])})


def test_what_cannot_be_read_is_told_together_with_what_is_wrong(tmp_path: Path) -> None:
    for name, content in SHIPPED.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    domains = tmp_path / "policies" / "domains"
    domains.mkdir()
    (domains / "gone.toml").symlink_to(tmp_path / "nowhere")
    (domains / "folder.toml").mkdir()
    os.mkfifo(domains / "pipe.toml")
    (domains / "wrong.toml").write_text("domains = 1\n")
    (tmp_path / DEFAULT).unlink()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value).splitlines() == [
        "policies/default.toml:1:1: file: missing",
        "policies/domains/folder.toml:1:1: file: cannot be read: not a regular file",
        "policies/domains/gone.toml:1:1: file: cannot be read: No such file or directory",
        "policies/domains/pipe.toml:1:1: file: cannot be read: not a regular file",
        "policies/domains/wrong.toml:1:1: domains: must be a list, not 1",
    ]


def test_what_editors_and_packagers_leave_behind_is_not_read(tmp_path: Path) -> None:
    domains = tmp_path / "policies" / "domains"
    domains.mkdir(parents=True)
    for name in (".#a.toml", "#a.toml#", "a.toml~", ".a.toml.swp", "a.toml.dpkg-old", "a.toml.sample", "README"):
        (domains / name).write_text("nonsense")
    assert read_files(tmp_path) == {}


def test_an_empty_directory_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert [problem.file for problem in caught.value.problems] == [DEFAULT, SERVER]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nowhere")
    assert str(caught.value) == f"{tmp_path}/nowhere:1:1: file: no such directory"


def test_the_directory_is_the_option_else_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_CONFIG", str(tmp_path))
    assert find_directory(Path("/here")) == Path("/here")
    assert find_directory(None) == tmp_path


def test_files_that_everybody_can_change_are_found(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    default = tmp_path / DEFAULT
    default.write_text("")
    default.chmod(0o666)
    assert writable_by_others(tmp_path) == [default]


def test_a_mask_never_makes_a_listing_of_an_answer_outside_loopback_space() -> None:
    rules = b"""[[zone]]
name = "bits.example"
owner = "example"
kind = "block"
ask = ["connection"]
[[zone.code]]
symbol = "BIT_TWO"
code = "0.0.0.2"
mask = "0.0.0.2"
score = 2.00
meaning = "second bit"
scope = "address"
deep = false
"""
    domain = b'domains = ["example.org"]\n[listings]\nzones = ["Bits.example"]\n'
    files = {"rules/local.toml": rules, "policies/domains/a.toml": domain}
    zone = compile_generation(SHIPPED | files).zones["bits.example"]
    assert read_answer(zone, ["127.0.0.6"])[0] is Status.FAIL
    assert read_answer(zone, ["127.0.0.5"])[0] is Status.TEMPERROR
    assert read_answer(zone, ["10.0.0.6"])[0] is Status.TEMPERROR


def test_a_generation_has_the_zones_that_some_policy_uses_and_no_others() -> None:
    generation = _compiled(a='domains = ["example.org"]\n[listings]\nzones = ["bl.blocklist.de"]\n')
    shipped_in_use = {"zen.spamhaus.org", "bl.spamcop.net", "psbl.surriel.com", "dbl.spamhaus.org"}
    assert set(generation.zones) == shipped_in_use | {"bl.blocklist.de"}


def test_an_error_in_a_rule_file_does_not_make_its_lists_unknown() -> None:
    domain = b'domains = ["example.org"]\n[listings]\nzones = ["zone.example", "unknown.example"]\n'
    rules = b'[[zone]]\nname = "zone.example"\n[[zone.code]]\nsymbol = "X_Y"\n'
    told = _problems(SHIPPED | {"rules/local.toml": rules, "policies/domains/a.toml": domain})
    assert not any('unknown list "zone.example"' in problem for problem in told)
    assert any('unknown list "unknown.example"' in problem for problem in told)
    assert any(problem.startswith("rules/local.toml:2:1: zone[0].owner: missing") for problem in told)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(.*)*x", "a|b", "(unclosed"])
def test_a_regular_expression_is_no_value_of_any_setting(pattern: str) -> None:
    rules = f'[[name]]\nname = "SLOW"\nwords = ["{pattern}"]\nunless = ["{pattern}"]\n'
    domain = f'domains = ["{pattern}"]\n[listings]\nzones = ["{pattern}"]\n[client]\ngeneric_names = ["{pattern}"]\n'
    files = {"rules/slow.toml": rules.encode(), "policies/domains/slow.toml": domain.encode()}
    told = _problems(SHIPPED | files)
    assert len(told) == 5
    assert all(f'"{pattern}"' in problem for problem in told)
