"""Entries of the allow and deny lists: their text, what they are found by, and which of them decides."""

import pytest

from earmark.core.access import Entry, Kind, Verb, decide_among, description, entry_text, read_entry
from earmark.core.access_index import AccessIndex
from earmark.core.evidence import Entries
from fakes.entries import allow, deny

QUESTION = Entries(
    "192.0.2.7", "mail.example.net", "mx1.example.net", "Alice@news.example.net", "Bob+lists@example.org"
)


@pytest.mark.parametrize(
    "subject",
    [
        (Kind.CLIENT, "192.0.2.7"),
        (Kind.CLIENT, "192.0.2.0/24"),
        (Kind.CLIENT, "128.0.0.0/1"),
        (Kind.REVERSE, "mail.example.net"),
        (Kind.REVERSE, "*.example.net"),
        (Kind.REVERSE, "*.net"),
        (Kind.HELO, "mx1.example.net"),
        (Kind.HELO, "*.example.net"),
        (Kind.SENDER, "alice@news.example.net"),
        (Kind.DOMAIN, "news.example.net"),
        (Kind.DOMAIN, "*.example.net"),
    ],
)
@pytest.mark.parametrize("scope", ["", "example.org", "bob@example.org", "bob+lists@example.org"])
def test_an_entry_is_found_by_each_kind_of_subject_in_each_scope(subject: tuple[Kind, str], scope: str) -> None:
    entry = allow(*subject, scope)
    assert AccessIndex([entry]).find(QUESTION) == [entry]


@pytest.mark.parametrize(
    "entry",
    [
        allow(Kind.CLIENT, "192.0.2.8"),
        allow(Kind.CLIENT, "192.0.3.0/24"),
        allow(Kind.CLIENT, "2001:db8::/32"),
        allow(Kind.REVERSE, "example.net"),
        allow(Kind.REVERSE, "*.mail.example.net"),
        allow(Kind.REVERSE, "ail.example.net"),
        allow(Kind.HELO, "mail.example.net"),
        allow(Kind.SENDER, "bob@news.example.net"),
        allow(Kind.SENDER, "alice@example.net"),
        allow(Kind.DOMAIN, "example.net"),
        allow(Kind.DOMAIN, "*.news.example.net"),
        allow(Kind.CLIENT, "192.0.2.7", "example.net"),
        allow(Kind.CLIENT, "192.0.2.7", "eve@example.org"),
        allow(Kind.CLIENT, "192.0.2.7", "bob@example.net"),
    ],
)
def test_an_entry_about_somebody_else_or_for_somebody_else_is_not_found(entry: Entry) -> None:
    assert AccessIndex([entry]).find(QUESTION) == []


def test_an_ipv6_client_is_found_by_its_own_networks_only() -> None:
    entries = [deny(Kind.CLIENT, "2001:db8::/32"), deny(Kind.CLIENT, "32.1.13.0/24")]
    assert AccessIndex(entries).find(QUESTION._replace(client="2001:db8::7")) == entries[:1]


@pytest.mark.parametrize("sender", ["", "nodomain@", '"a@b"@', "@"])
def test_a_sender_without_domain_meets_no_entry_for_senders(sender: str) -> None:
    index = AccessIndex([allow(Kind.DOMAIN, "nodomain"), allow(Kind.DOMAIN, "b"), allow(Kind.SENDER, "a@b")])
    assert index.find(QUESTION._replace(sender=sender)) == []


def test_without_a_reverse_name_the_longest_lived_entry_stands_for_all_of_its_scope_and_verb() -> None:
    short, long = allow(Kind.REVERSE, "a.example", expires=10), allow(Kind.REVERSE, "b.example", expires=20)
    index = AccessIndex(
        [short, long, deny(Kind.REVERSE, "c.example"), allow(Kind.REVERSE, "d.example", "other.example")]
    )
    assert index.find(QUESTION._replace(name="")) == [long, deny(Kind.REVERSE, "c.example")]
    assert AccessIndex([short, allow(Kind.REVERSE, "x.example")]).find(QUESTION._replace(name="")) == [
        allow(Kind.REVERSE, "x.example")
    ]


def test_the_narrower_scope_decides_and_within_one_what_allows() -> None:
    everybody = [allow(Kind.CLIENT, "192.0.2.7"), deny(Kind.CLIENT, "192.0.2.7")]
    domain = [deny(Kind.DOMAIN, "example.net", "example.org")]
    one = [allow(Kind.SENDER, "a@example.net", "bob@example.org"), deny(Kind.CLIENT, "192.0.2.0/24", "bob@example.org")]
    assert decide_among(everybody, lambda _: True).entry == everybody[0]
    assert decide_among(everybody + domain, lambda _: True).entry == domain[0]
    assert decide_among(everybody + domain + one, lambda _: True).entry == one[0]
    assert decide_among(everybody + domain + one, lambda entry: entry != one[0]).entry == one[1]


def test_the_narrowest_subject_is_named_first() -> None:
    entries = [
        allow(Kind.CLIENT, "192.0.2.7"),
        allow(Kind.CLIENT, "192.0.2.0/24"),
        allow(Kind.CLIENT, "192.0.0.0/9"),
        allow(Kind.DOMAIN, "news.example.net"),
        allow(Kind.DOMAIN, "*.example.net"),
    ]
    assert AccessIndex(reversed(entries)).find(QUESTION) == entries


def test_what_is_not_known_waits_only_where_it_would_decide_otherwise() -> None:
    sender, client = allow(Kind.DOMAIN, "example.net", "example.org"), allow(Kind.CLIENT, "192.0.2.7")
    refused = deny(Kind.CLIENT, "192.0.2.7")

    def counts(entry: Entry) -> bool | None:
        return None if entry == sender else True

    assert decide_among([sender, client], counts) == (client, ())
    assert decide_among([sender, refused], counts) == (refused, (sender,))
    assert decide_among([sender, refused], counts).may_allow
    assert decide_among([sender], counts) == (None, (sender,))


def test_an_entry_holds_until_the_second_in_which_it_expires() -> None:
    entry = deny(Kind.CLIENT, "192.0.2.7", expires=100)
    assert entry.holds_at(99.9)
    assert not entry.holds_at(100.0)
    assert deny(Kind.CLIENT, "192.0.2.7").holds_at(1e12)


def test_the_text_of_an_entry_is_one_line_whatever_stands_in_the_file() -> None:
    hostile = Entry(
        Verb.DENY, Kind.HELO, "a b\n", "x y", 7, True, "al ice", "\r\n", "one\r\ntwo\x1b[2J\u202ethree " + 300 * "x"
    )
    text = entry_text(hostile)
    assert text.isprintable()
    assert len(text) < 400
    read = read_entry(text)
    assert read is not None
    assert (read.subject, read.scope, read.author) == ("a?b?", "x?y", "al?ice")
    assert read.note.startswith("one??two?[2J?three x")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "allow",
        "allow client 192.0.2.7 * never authenticated - -",
        "permit client 192.0.2.7 * never authenticated - - ",
        "allow net 192.0.2.7 * never authenticated - - ",
        "allow client 192.0.2.7 * -1 authenticated - - ",
        "allow client 192.0.2.7 * ٣ authenticated - - ",
        "allow client 192.0.2.7 * 99999999999999999999 authenticated - - ",
        "allow client 192.0.2.7 * never maybe - - ",
    ],
)
def test_what_is_no_entry_is_read_as_none(line: str) -> None:
    assert read_entry(line) is None


def test_what_a_refusal_quotes_names_neither_author_nor_note() -> None:
    entry = deny(Kind.DOMAIN, "*.example.net", "example.org", author="alice", note="a secret")
    assert description(entry) == "sender domain *.example.net is denied for example.org"
