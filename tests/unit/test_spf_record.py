"""SPF records and macros as values (RFC 7208 sections 4.5, 4.6, 5, 6, 7 and 12)."""

import pytest

from earmark.core.authentication.spf_macros import expand_name, letters, parse_domain_spec
from earmark.core.authentication.spf_record import RECORD_AT_MOST, Directive, Network, read_record, select_record
from earmark.core.evidence import Status

# RFC 7208 section 7.4
VALUES = {
    "s": "strong-bad@email.example.com",
    "l": "strong-bad",
    "o": "email.example.com",
    "d": "email.example.com",
    "h": "mx.example.org",
    "v": "in-addr",
    "i": "192.0.2.3",
    "p": "mx.example.org",
}
SIX = {**VALUES, "v": "ip6", "i": "2.0.0.1.0.d.b.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.c.b.0.1"}


def test_a_record_becomes_its_directives() -> None:
    record = read_record(
        "v=spf1 ip4:192.0.2.0/24 -ip6:2001:db8::/32 a:%{d2}/30//64 ?include:x.example exp=e.example ~ALL"
    )
    assert record.directives == (
        Directive(Status.PASS, "ip4", "ip4:192.0.2.0/24", network=Network(4, 0xC0000200, 8)),
        Directive(Status.FAIL, "ip6", "-ip6:2001:db8::/32", network=Network(6, 0x20010DB8 << 96, 96)),
        Directive(Status.PASS, "a", "a:%{d2}/30//64", parse_domain_spec("%{d2}"), 30, 64),
        Directive(Status.NEUTRAL, "include", "?include:x.example", ("x.example",)),
        Directive(Status.SOFTFAIL, "all", "~ALL"),
    )
    assert record.redirect == ()
    assert read_record("v=spf1 mx redirect=y.example").redirect == ("y.example",)
    assert read_record("v=spf1 all redirect=y.example").redirect == ()


@pytest.mark.parametrize(
    ("texts", "selected"),
    [
        (["v=spf1 -all", "v=spf10 all", "v=DKIM1"], "v=spf1 -all"),
        (["V=SPF1"], "V=SPF1"),
        (["v=spf1\t-all", " v=spf1 -all", "v=spf"], None),
        ([], None),
    ],
)
def test_one_text_of_many_is_the_record(texts: list[str], selected: str | None) -> None:
    assert select_record(texts) == selected


def test_two_records_are_an_error() -> None:
    with pytest.raises(ValueError, match="more than one SPF record"):
        select_record(["v=spf1 -all", "v=spf1"])


@pytest.mark.parametrize(
    "terms",
    [
        "ip4", "ip4:", "ip4:192.0.2", "ip4:192.0.2.1/33", "ip4:192.0.2.1/", "ip4:192.0.2.01", "ip4:2001:db8::1",
        "ip4:" + "9" * 3000, "ip6:192.0.2.1", "ip6:fe80::1%eth0", "ip6:2001:db8::/129", "a/", "a/1/2", "a/00", "a//",
        "a:", "a:example", "a:192.0.2.1", "a:x.example/" + "9" * 3000, "mx:x.example-", "ptr/24", "ptr:", "include",
        "include:x.example/24", "exists", "all:x",
        "-redirect=x.example", "redirect=", "redirect=x.example redirect=y.example",
        "exp=x.example exp=x.example", "exp=%{c}.example", "x=%", "x=%{", "x=%{z}", "x=%{d0}", "x=%{d00r}", "a:%{d}%",
        "a:%(d).example", "ipv4:192.0.2.1", "+", "=x", "\tall", "all\t", "a:x.ex\x80mple", "-all\x00", "a:%{d",
    ],
)  # fmt: skip
def test_an_error_anywhere_is_an_error_of_the_record(terms: str) -> None:
    with pytest.raises(ValueError, match=r"^[ -~]+$"):
        read_record(f"v=spf1 mx {terms} -all")


def test_what_is_remembered_is_what_was_read() -> None:
    text = "v=spf1 a -all"
    assert read_record(text) is read_record(text)
    long = "v=spf1" + " a" * 1000
    assert read_record(long) == read_record(long)


def test_a_record_that_is_too_long_is_an_error() -> None:
    fits = "v=spf1" + " a" * ((RECORD_AT_MOST - 6) // 2)
    assert len(read_record(fits).directives) == (RECORD_AT_MOST - 6) // 2
    for much in (fits + " a", "v=spf1 " + "x" * 10_000, "v=spf1 a:" + "%{s}" * 60_000):
        with pytest.raises(ValueError, match="a record of over"):
            read_record(much)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{d99999999999999999999}", "email.example.com"),
        ("%{S}.%%%_%-.example.", "strong-bad%40email.example.com.% %20.example"),
        ("%{h}", "mx.example.org"),
    ],
)
def test_macros_mean_what_the_rfc_says(text: str, expanded: str) -> None:
    assert expand_name(parse_domain_spec(text), VALUES) == expanded


def test_an_ipv6_address_is_taken_by_nibbles() -> None:
    name = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"
    assert expand_name(parse_domain_spec("%{ir}.%{v}._spf.%{d2}"), SIX) == name


def test_which_macros_are_used_is_known_beforehand() -> None:
    assert letters(parse_domain_spec("%{P}.x%{d2r}.example")) == {"p", "d"}


@pytest.mark.parametrize("count", [1, 9, 10, 26, 1000])
def test_a_long_name_loses_labels_on_the_left(count: int) -> None:
    whole = ".".join(["email.example.com"] * count) + ".x.example"
    made = expand_name(parse_domain_spec("%{d}." * count + "x.example"), VALUES)
    assert whole.endswith(made)
    assert len(made) <= 253
    left = whole.removesuffix(made)
    assert not left or (left.endswith(".") and len(made) + len(left[:-1].rpartition(".")[2]) + 1 > 253)


@pytest.mark.parametrize("size", range(225, 260))
def test_a_name_loses_no_more_than_it_must(size: int) -> None:
    whole = "ab." + "c" * size + ".d.example"
    made = expand_name(parse_domain_spec("%{l}." + "c" * size + ".%{d}"), {"l": "ab", "d": "d.example"})
    assert made == next(name for name in (whole, whole[3:], "d.example") if len(name) <= 253)
    joined = expand_name(parse_domain_spec("%{l}" + "c" * size + ".d.example."), {"l": "ab"})
    assert joined == next(name for name in ("ab" + whole[3:], "d.example") if len(name) <= 253)


def test_a_name_that_is_one_long_label_is_no_name() -> None:
    assert expand_name(parse_domain_spec("%{l}"), {"l": "a" * 300}) == ""
