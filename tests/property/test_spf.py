"""Laws of SPF: whatever the DNS says, a check ends in a fact, and asks a bounded number of times."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from earmark.clients.spf import Spf
from earmark.core.authentication.spf_macros import expand_name, parse_domain_spec
from earmark.core.authentication.spf_record import read_record
from earmark.core.evidence import CheckHost, Fact, Status
from fakes.lookups import CountedLookups

LOOK_UPS_AT_MOST = 122
"""See clients.spf.asking."""
NAMES = [f"{letter}.example" for letter in "abcde"]
SPECS = st.sampled_from([*NAMES, "%{d}", "%{p}", "%{l}.%{o}", "%{ir}.%{v}.%{h2}", "%{S}x.%{s}.example", "none.example"])
TERMS = st.one_of(
    st.builds(
        "{}{}:{}".format, st.sampled_from("+-~?"), st.sampled_from(["include", "a", "mx", "exists", "ptr"]), SPECS
    ),
    st.sampled_from(
        ["a", "mx/24", "a//64", "ptr", "-all", "~all", "ip4:192.0.2.0/24", "ip6:::/0", "x=%{c}", "exp=%{d}"]
    ),
    st.builds("redirect={}".format, SPECS),
)
RECORDS = st.lists(TERMS, max_size=14).map(lambda terms: " ".join(["v=spf1", *terms]))


def quoted(text: str) -> str:
    pieces = [text[start : start + 200] for start in range(0, len(text), 200)] or [""]
    return " ".join(f'"{piece}"' for piece in pieces)


@st.composite
def zones(draw: st.DrawFn) -> str:
    lines = []
    for name in NAMES:
        lines += [f"{name} TXT {quoted(record)}" for record in draw(st.lists(RECORDS, max_size=2))]
        hosts = draw(st.lists(st.sampled_from(NAMES), max_size=12))
        lines += [f"{name} MX {number} {host}" for number, host in enumerate(hosts)]
        lines += draw(
            st.lists(st.sampled_from([f"{name} A 192.0.2.7", f"{name} A 203.0.113.1", f"{name} AAAA 2001:db8::1"]))
        )
        lines += draw(st.sampled_from([[], [], [], [f"{name} TIMEOUT"], [f"{name} SERVFAIL"]]))
    pointers = draw(st.lists(st.sampled_from(NAMES), max_size=12))
    return "\n".join([*lines, *(f"7.2.0.192.in-addr.arpa PTR {name}" for name in pointers)])


async def answer(lookups: CountedLookups, question: CheckHost) -> Fact:
    future: asyncio.Future[Fact] = asyncio.get_running_loop().create_future()
    Spf(lookups).ask(question, lambda _, fact: future.set_result(fact))
    async with asyncio.timeout(10):
        return await future


@given(zones(), st.sampled_from(["192.0.2.7", "2001:db8::1"]), st.text(max_size=20))
def test_a_check_ends_in_a_fact_within_its_look_ups(text: str, address: str, local: str) -> None:
    lookups = CountedLookups(text)
    fact = asyncio.run(answer(lookups, CheckHost(address, "a.example", f"{local}@a.example", "b.example")))
    assert len(lookups.asked) <= LOOK_UPS_AT_MOST
    assert fact.status is not Status.POLICY
    assert len(fact.data) <= 20
    assert all(line.isascii() and line.isprintable() and len(line) <= 120 for line in fact.data)
    assert fact.why.isprintable()
    assert fact.ttl == 0 or 60 <= fact.ttl <= 3600


@given(st.text(max_size=100))
def test_any_text_is_a_record_or_an_error(text: str) -> None:
    try:
        record = read_record("v=spf1 " + text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is right
    else:
        assert "\n" not in "".join(directive.text for directive in record.directives)


def truncated(whole: str) -> str:
    name = whole.removesuffix(".")
    while len(name) > 253:
        name = name.partition(".")[2]
    return name


PARTS = {"%{s}": "s.s@s", "%{l}.": "l-l.", "%{l-}": "l.l", "%%": "%", "a.": "a.", "bcde": "bcde", ".": "."}


@given(st.lists(st.sampled_from(sorted(PARTS)), max_size=300), st.sampled_from([".%{d}", ".example", ".example."]))
def test_a_name_is_the_whole_less_the_labels_that_are_too_many(parts: list[str], end: str) -> None:
    spec = parse_domain_spec("".join(parts) + end)
    whole = "".join(PARTS[part] for part in parts) + end.replace("%{d}", "d.example")
    assert expand_name(spec, {"s": "s.s@s", "l": "l-l", "d": "d.example"}) == truncated(whole)
