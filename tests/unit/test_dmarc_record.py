"""DMARC policy records, the names of a walk and what several records mean (RFC 9989 sections 4.7, 4.10)."""

import pytest

from earmark.core.authentication.dmarc_record import (
    Disposition,
    Record,
    organizational_domain,
    policy_record,
    read_record,
    walked_names,
)

NONE, QUARANTINE, REJECT = Disposition.NONE, Disposition.QUARANTINE, Disposition.REJECT


def read(text: str) -> Record:
    record = read_record(text)
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("text", "policies"),
    [
        ("v=DMARC1", (NONE, NONE, NONE)),
        ("v=DMARC1; p=reject", (REJECT, REJECT, REJECT)),
        ("V = DMARC1 ;P = Reject ; ", (REJECT, REJECT, REJECT)),
        ("v=DMARC1;sp=quarantine;p=reject", (REJECT, QUARANTINE, QUARANTINE)),
        ("v=DMARC1;p=quarantine;np=reject;sp=none", (QUARANTINE, NONE, REJECT)),
        ("v=DMARC1;sp=reject", (NONE, REJECT, REJECT)),
        ("v=DMARC1;p=reject;sp=quarantine;np=none;t=y", (QUARANTINE, NONE, NONE)),
        ("v=DMARC1;p=reject;t=n", (REJECT, REJECT, REJECT)),
        ("v=DMARC1;p=reject;pct=0;rf=afrf;ri=1;unknown=;;=;fo", (REJECT, REJECT, REJECT)),
        ("v=DMARC1;p=none;p=reject", (NONE, NONE, NONE)),
        ("v=DMARC1;p=rejct;rua=mailto:d@example.org", (NONE, NONE, NONE)),
        ("v=DMARC1;p=reject;sp=;rua= mailto:d@example.org , x", (NONE, NONE, NONE)),
    ],
)
def test_each_policy_has_what_it_falls_back_to(text: str, policies: tuple[Disposition, ...]) -> None:
    record = read(text)
    assert (record.policy, record.subdomains, record.nonexistent) == policies
    assert record.applies


@pytest.mark.parametrize("text", ["v=DMARC1;p=rejct", "v=DMARC1;p=reject;np=no", "v=DMARC1;p=;rua=d@example.org"])
def test_a_policy_that_cannot_be_read_and_no_report_asked_for_is_no_dmarc(text: str) -> None:
    assert not read(text).applies


@pytest.mark.parametrize(
    "text",
    ["", "v=DMARC", "v=dmarc1;p=reject", "v=DMARC12", "v=DMARC1 p=reject", " v=DMARC1", "p=reject;v=DMARC1", "v=spf1"],
)
def test_a_record_begins_with_its_version(text: str) -> None:
    assert read_record(text) is None


def test_alignment_and_psd_have_defaults() -> None:
    assert read("v=DMARC1;adkim=x;aspf=;psd=yes") == read("v=DMARC1;adkim=r;aspf=r;psd=u") == Record()
    record = read("v=DMARC1;adkim=S;aspf=s;psd=Y")
    assert (record.strict_dkim, record.strict_spf, record.psd) == (True, True, "y")


def test_the_walk_of_the_rfcs_example() -> None:
    assert walked_names("a.b.c.d.e.f.g.h.i.j.mail.example.com") == [
        "a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ]


@pytest.mark.parametrize("labels", range(1, 128))
def test_a_walk_asks_at_most_eight_names_and_ends_at_the_top(labels: int) -> None:
    names = walked_names(".".join(["a"] * labels))
    assert len(names) == len(set(names)) == min(labels, 8)
    assert names[-1] == "a"


PLAIN, OURS, SUFFIX = Record(), Record(psd="n"), Record(psd="y")


@pytest.mark.parametrize(
    ("domain", "records", "organization"),
    [
        ("a.mail.example.com", [("mail.example.com", PLAIN), ("example.com", PLAIN)], "example.com"),
        ("a.mail.example.com", [("mail.example.com", OURS)], "mail.example.com"),
        ("a.mail.example.com", [("com", SUFFIX)], "example.com"),
        ("a.mail.example.com", [("mail.example.com", PLAIN), ("com", SUFFIX)], "example.com"),
        ("a.mail.example.com", [], "a.mail.example.com"),
        ("example.com", [("com", SUFFIX)], "example.com"),
        ("com", [("com", SUFFIX)], "com"),
        ("mail.example.com", [("example.com", SUFFIX)], "mail.example.com"),
        ("1.2.3.4.5.6.7.8.9", [("3.4.5.6.7.8.9", SUFFIX)], "2.3.4.5.6.7.8.9"),
    ],
)
def test_the_organizational_domain_is_where_the_rfc_has_it(
    domain: str, records: list[tuple[str, Record]], organization: str
) -> None:
    assert organizational_domain(domain, records) == organization


@pytest.mark.parametrize(
    ("domain", "records", "at"),
    [
        ("mail.example.com", [("mail.example.com", PLAIN), ("example.com", PLAIN)], "mail.example.com"),
        ("a.mail.example.com", [("mail.example.com", PLAIN), ("example.com", PLAIN)], "example.com"),
        ("a.mail.example.com", [("mail.example.com", PLAIN), ("com", SUFFIX)], "com"),
        ("mail.example.com", [("example.com", PLAIN), ("com", SUFFIX)], "example.com"),
        ("mail.example.com", [("com", SUFFIX)], "com"),
    ],
)
def test_the_authors_record_comes_first_then_the_organizations_then_the_suffixs(
    domain: str, records: list[tuple[str, Record]], at: str
) -> None:
    found = policy_record(domain, records)
    assert found is not None
    assert found[0] == at


def test_without_a_record_there_is_no_policy() -> None:
    assert policy_record("example.com", []) is None
