"""The shipped files: default.toml is the reference of all settings, and its weights are careful."""

import re
import textwrap
import tomllib
from itertools import product

import pytest

from earmark.config import compile_generation, read_files, shipped
from earmark.config.knobs import SECTIONS, Kind, knobs_of
from earmark.config.schema import TOP_LEVEL
from earmark.config.server import built_in
from earmark.config.show import Setting, server_settings_shown
from earmark.core.evidence import Fact, HostAddress, MailHosts, Origin, Question, ReverseName, Stage, Status
from earmark.core.judge import examine
from earmark.core.mail import Client, Envelope, Message, Site, Transaction, parse_path

SHIPPED = read_files(shipped())
DEFAULT = SHIPPED["policies/default.toml"].decode()
SERVER = SHIPPED["policies/server.toml"].decode()
KNOBS = [(section, knob) for section, check in SECTIONS.items() for knob in knobs_of(check).values()]


def test_every_setting_stands_in_the_reference_and_every_setting_there_is_real() -> None:
    values = tomllib.loads(DEFAULT)
    assert values.pop("test")
    assert values.keys() == TOP_LEVEL.keys() | SECTIONS.keys()
    for section, check in SECTIONS.items():
        assert values[section].keys() == knobs_of(check).keys()


def test_every_setting_of_the_reference_has_its_reason_above_it() -> None:
    settings = [*TOP_LEVEL, *(knob.name for _, knob in KNOBS if knob.kind is not Kind.WEIGHTS)]
    for setting in settings:
        assert re.search(rf"^# .*\n([a-z_]+ = .*\n)*{setting} = ", DEFAULT, re.MULTILINE), setting
    for section in (*SECTIONS, *(f"{section}.{knob.name}" for section, knob in KNOBS if knob.kind is Kind.WEIGHTS)):
        assert re.search(rf"^# .*\n\[{re.escape(section)}\]$", DEFAULT, re.MULTILINE), section


@pytest.mark.parametrize("setting", list(server_settings_shown(built_in())), ids=lambda setting: setting.key)
def test_every_setting_of_the_server_stands_in_its_file_as_it_is_built_in(setting: Setting) -> None:
    expected = r"\[.*\]" if setting.key == "networks" else re.escape(setting.text)
    assert re.search(rf"^(# )?{setting.key} = {expected}$", SERVER, re.MULTILINE)


def test_the_sample_of_a_domains_file_is_right_but_not_in_force() -> None:
    sample = (shipped() / "policies/domains/example.org.toml.sample").read_bytes()
    policies = compile_generation(SHIPPED | {"policies/domains/example.org.toml": sample}).policies
    assert set(policies.domains) == {"example.org", "*.example.org", "xn--bcher-kva.example"}
    assert not compile_generation(SHIPPED).policies.domains


GENERIC = "192-0-2-7.dyn.example.net"
REVERSE = [Fact(Status.NONE), Fact(Status.FAIL, (GENERIC,)), Fact(Status.PASS, (GENERIC,))]
HELO = [None, "mx.example.org", "[192.0.2.1]", "203.0.113.5", "[203.0.113.5]", "bad name", "pc", "other.example.com"]
HELO_FACTS = [Fact(Status.NONE), Fact(Status.PASS, ("203.0.113.5",))]
SENDERS = ["<root>", "<a@example.com>", "<a@example.org>"]
MAIL_HOSTS = [Fact(Status.NONE), Fact(Status.POLICY), Fact(Status.PASS, ("10.0.0.1",))]


def test_no_envelope_refuses_without_a_listing() -> None:
    policy = compile_generation(SHIPPED).policies.default
    site = Site(names=frozenset({"mx.example.org"}), domains=frozenset({"example.org"}))
    worst = 0
    for reverse, helo, helo_fact, sender, hosts in product(REVERSE, HELO, HELO_FACTS, SENDERS, MAIL_HOSTS):
        envelope = Envelope(Client("192.0.2.7"), site, helo, parse_path(sender.encode()))
        facts: dict[Question, Fact] = {
            ReverseName("192.0.2.7"): reverse,
            HostAddress("other.example.com"): helo_fact,
            MailHosts("example.com"): hosts,
        }
        found = examine(Stage.RCPT, Transaction(envelope, Message()), facts, policy)
        assert all(finding.origin in (Origin.CONNECTION, Origin.ENVELOPE) for finding in found)
        worst = max(worst, sum(finding.score for finding in found))
    assert 500 < worst < policy.refuse_at


def test_no_weight_of_the_connection_or_the_envelope_is_decisive_alone() -> None:
    default = compile_generation(SHIPPED).policies.default
    for section, knob in KNOBS:
        other = section in ("access", "authentication", "received") or knob.name == "from_score"
        if knob.kind is Kind.WEIGHT and not other:
            assert 0 <= getattr(default.knobs[section], knob.name) <= 250, f"{section}.{knob.name}"


def test_the_examples_of_the_manual_are_right() -> None:
    manual = (shipped() / "docs/configuration.md").read_text()
    blocks = re.findall(r"(?:^    .*\n|^\n)+", manual, re.MULTILINE)
    rules = "\n".join(
        block for block in map(textwrap.dedent, blocks) if "[[" in block and not block.startswith("policies")
    )
    assert rules.count("[[") == 3 + 2, "one list, its code, one name rule, and two pairs of examples"
    compile_generation(SHIPPED | {"rules/local.toml": rules.encode()})
