"""One domain's file cannot change another's policy."""

from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.config import compile_generation, read_files, shipped
from earmark.config.knobs import SECTIONS, Kind, knobs_of
from earmark.config.show import policy_settings
from earmark.core.mail import parse_path

SHIPPED = read_files(shipped())
WEIGHTS = [
    (section, knob.name, knob.allowed)
    for section, check in SECTIONS.items()
    for knob in knobs_of(check).values()
    if knob.kind is Kind.WEIGHT
]
ZONES = ["zen.spamhaus.org", "bl.spamcop.net", "psbl.surriel.com", "bl.blocklist.de"]


@st.composite
def domain_files(draw: st.DrawFn, domain: str) -> bytes:
    lines = [f'domains = ["{domain}", "*.{domain}"]']
    if draw(st.booleans()):
        lines.append(f'mode = "{draw(st.sampled_from(["observe", "mark", "enforce"]))}"')
    if draw(st.booleans()):
        lines.append(f"mark_at = {draw(st.integers(1, 800)) / 100:.2f}")
    sections: dict[str, list[str]] = {}
    for section, name, allowed in draw(st.lists(st.sampled_from(WEIGHTS), unique=True, max_size=5)):
        points = draw(st.sampled_from(allowed)) / 100
        sections.setdefault(section, []).append(f"{name} = {points:.2f}")
    zones = ZONES
    if draw(st.booleans()):
        zones = draw(st.lists(st.sampled_from(ZONES), unique=True))
        sections.setdefault("listings", []).append(f"zones = {zones!r}".replace("'", '"'))
    if "zen.spamhaus.org" in zones and draw(st.booleans()):  # else it would be told that the weight has no effect
        sections.setdefault("listings", []).append(f"weights.ZEN_PBL = {draw(st.integers(0, 800)) / 100:.2f}")
    for section, knobs in sections.items():
        lines += [f"[{section}]", *knobs]
    return "\n".join(lines).encode()


@settings(max_examples=30)  # each compiles the shipped rules twice
@given(domain_files("example.org"), domain_files("example.net"), domain_files("example.net"))
def test_a_domains_file_cannot_change_anothers_policy(mine: bytes, other: bytes, changed: bytes) -> None:
    shown = []
    for theirs in (other, changed):
        files = {"policies/domains/m.toml": mine, "policies/domains/a.toml": theirs}
        policies = compile_generation(SHIPPED | files).policies
        found = policies.find(parse_path(b"<user@sub.example.org>"))
        shown.append([list(policy_settings(policy)) for policy in (found, policies.default)])
    assert shown[0] == shown[1]
