"""The author domain, out of From fields that mean to be read in two ways (ideas of espoofer and of OpenDMARC bugs)."""

from collections.abc import Callable

import pytest

from earmark.core.authentication.author import Author, author_of
from earmark.core.mail import Header, Message

Fields = list[tuple[bytes, bytes]]


def read(*fields: tuple[bytes, bytes]) -> Author:
    return author_of(Message([Header(name, value) for name, value in fields]))


PLAIN = [
    b" bob@example.org",
    b" Bob <bob@example.org>",
    b' "Bob, of Example" <bob@Example.ORG>',
    b" Bob <bob@example.org> (a comment (in a comment))",
    b" bob@example.org (Bob)",
    b" (Bob) bob@example.org",
    b" Doe, Bob <bob@example.org>",
    b" bob@example.org, alice@example.org",
    b" bob@example.org <bob@example.org>",
    b' "bob b"@example.org',
    b' "mallory@example.net" <bob@example.org>',
    b" =?utf-8?Q?mallory=40example=2Enet?= <bob@example.org>",
    b" Team @ Example <bob@example.org>",
    b" bob@example.org.",
    b" <\tbob@example.org\n\t>",
    b" \xe2\x80\xaeB\xc3\xb6b\xff <bob@example.org>",
    b" Bob\r\n <bob@example.org>,",
]


@pytest.mark.parametrize("value", PLAIN)
def test_one_domain_is_found_where_every_reader_finds_the_same(value: bytes) -> None:
    assert read((b"From", value)) == Author("example.org")


def test_an_international_domain_is_its_a_label() -> None:
    assert read((b"from ", "<bob@Bücher.example>".encode())) == Author("xn--bcher-kva.example")


@pytest.mark.parametrize("value", [b"", b" ", b" MAILER-DAEMON", b" <>", b" Bob <bob>", b" bob@[192.0.2.1]", b" ,,"])
def test_who_names_no_domain_has_none(value: bytes) -> None:
    assert read((b"From", value)) == Author()


def test_no_from_field_is_no_author() -> None:
    assert read((b"Subject", b" From: bob@example.org"), (b"Sender", b" bob@example.org")) == Author()
    assert read((b"Resent-From", b" bob@example.org")) == Author()


HOSTILE: dict[str, Fields] = {
    "two fields": [(b"From", b"<bob@example.org>"), (b"From", b"<mallory@example.net>")],
    "two fields that agree": [(b"From", b"bob@example.org"), (b"from", b"bob@example.org")],
    "a blank before the second name": [(b"From", b"<bob@example.org>"), (b" From", b"<mallory@example.net>")],
    "a blank after the second name": [(b"From", b"<bob@example.org>"), (b"From ", b"<mallory@example.net>")],
    "two addresses": [(b"From", b" <mallory@example.net>, <bob@example.org>")],
    "a bare one first": [(b"From", b" bob@example.org,<mallory@example.net>")],
    "an encoded one first": [(b"From", b" =?utf-8?B?PGJvYkBleGFtcGxlLm9yZz4=?=,<mallory@example.net>")],
    "an encoded local part": [(b"From", b" <=?utf-8?Q?bob=40example.org?=@example.net>")],
    "a route": [(b"From", b" <@example.net,@any.example:bob@example.org>")],
    "a quoted pair": [(b"From", b" <bob@example.org>\\,<mallory@example.net>")],
    "words after the angle": [(b"From", b" <mallory@example.net>bob@example.org")],
    "two angles": [(b"From", b" <bob@example.org> <mallory@example.net>")],
    "nested angles": [(b"From", b" <<bob@example.org>mallory@example.net>")],
    "an address for a name": [(b"From", b" bob@example.org <mallory@example.net>")],
    "an address and words": [(b"From", b" bob@example.org mallory at example.net")],
    "a comment that does not end": [(b"From", b" bob@example.net(.example.com")],
    "a comment in a domain": [(b"From", b" bob@example.net(.example.com)")],
    "a comment in the angle": [(b"From", b" <bob@example.org(>, <mallory@example.net)>")],
    "a comment that closes none": [(b"From", b" bob@example.org)")],
    "a quote that does not end": [(b"From", b' "bob@example.org> <mallory@example.net>')],
    "an address in a local part": [(b"From", b' "bob@example.org"@example.net')],
    "two at signs": [(b"From", b" <bob@example.org@example.net>")],
    "a group": [(b"From", b" Friends: bob@example.org, mallory@example.net;")],
    "a group of one": [(b"From", b" Friends: bob@example.org;")],
    "a group without end": [(b"From", b" Friends:bob@example.org")],
    "an empty group": [(b"From", b" undisclosed:;")],
    "a NUL": [(b"From", b" bob@example.org\x00.example.net")],
    "a CR": [(b"From", b" bob@example.org\rFrom: mallory@example.net")],
    "a right-to-left mark": [(b"From", " bob@gro.\u202eexample.net".encode())],
    "a blank without width": [(b"From", " bob@exam\u200bple.org".encode())],
    "a full-width dot": [(b"From", " bob@example\uff0eorg".encode())],
    "a no-break space": [(b"From", " bob@example.org\u00a0.example.net".encode())],
    "a domain of 300 octets": [(b"From", b" bob@" + b"a." * 150 + b"example")],
    "an empty label": [(b"From", b" bob@example..org")],
    "an underscore and a quote": [(b"From", b" bob@example.org'.example.net")],
    "a name that is no punycode": [(b"From", " bob@ü.xn--zz--zz".encode())],
    "no UTF-8": [(b"From", b" bob@exa\xffmple.org")],
    "10,000 addresses": [(b"From", b",".join(b"bob@example.org" for _ in range(10_000)))],
    "200 kB": [(b"From", b"b" * 200_000 + b"@example.org")],
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE)
def test_what_two_readers_may_read_in_two_ways_is_ambiguous(fields: Fields) -> None:
    author = read(*fields)
    assert not author.domain
    assert author.ambiguous
    assert author.ambiguous.isascii()


SHAPES: dict[str, Callable[[int], bytes]] = {
    "open comments": lambda n: b"(" * n,
    "comments": lambda n: b"(" * (n // 2) + b")" * (n // 2),
    "short comments": lambda n: b"()" * (n // 2),
    "escaped quotes": lambda n: b'"' + b'\\"' * (n // 2),
    "quotes": lambda n: b'"' * n,
    "angles": lambda n: b"<" * n,
    "blanks in angles": lambda n: b"<" + b" " * n + b"x",
    "at signs": lambda n: b"@" * n,
    "commas": lambda n: b"," * n,
    "backslashes": lambda n: b"\\" * n,
    "dots": lambda n: b"a@" + b"." * n,
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_no_shape_of_a_field_is_too_much(shape: Callable[[int], bytes]) -> None:
    for size in (9_000, 9_998):
        assert not read((b"From", shape(size))).domain
