"""`earmark allow` and `earmark deny`."""

import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from earmark.cli import access
from earmark.core.access import Entry, Kind
from earmark.stores.access_file import FILE_NAME, put, read
from fakes.entries import allow, deny

APP = typer.Typer()
access.register(APP)

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(*words: str, given: str | bytes = "") -> Result:
        return CliRunner().invoke(APP, [*words, "--state", str(tmp_path)], input=given)

    return invoke


@pytest.fixture
def entries(tmp_path: Path) -> Callable[[], list[Entry]]:
    return lambda: read(tmp_path / FILE_NAME)


@pytest.mark.parametrize(
    ("words", "kind", "subject"),
    [
        (["192.0.2.7"], Kind.CLIENT, "192.0.2.7"),
        (["192.0.2.7/32"], Kind.CLIENT, "192.0.2.7"),
        (["192.0.2.0/24"], Kind.CLIENT, "192.0.2.0/24"),
        (["2001:DB8:0::/32"], Kind.CLIENT, "2001:db8::/32"),
        (["Alice@Example.NET"], Kind.SENDER, "alice@example.net"),
        (["bücher.example"], Kind.DOMAIN, "xn--bcher-kva.example"),
        (["*.example.net"], Kind.DOMAIN, "*.example.net"),
        (["--helo", "MX.example.net"], Kind.HELO, "mx.example.net"),
        (["--helo", "localhost"], Kind.HELO, "localhost"),
        (["--reverse", "*.example.net."], Kind.REVERSE, "*.example.net"),
    ],
)
def test_a_subject_is_known_by_its_form(
    run: Run, entries: Callable[[], list[Entry]], words: list[str], kind: Kind, subject: str
) -> None:
    assert run("deny", "add", *words).exit_code == 0
    (entry,) = entries()
    assert (entry.verb, entry.kind, entry.subject, entry.scope) == ("deny", kind, subject, "")
    assert run("allow", "remove", *words).exit_code == 1, "that one is denied"
    assert run("deny", "remove", *words).exit_code == 0
    assert entries() == []


def test_an_entry_keeps_all_that_was_said_of_it(run: Run, entries: Callable[[], list[Entry]]) -> None:
    words = ["example.net", "--domain", "Example.ORG", "--expires", "30d", "--note", "asked by Eve", "--author", "bob"]
    added = run("allow", "add", *words, "--unauthenticated")
    assert added.stdout.startswith("added: allow sender-domain example.net for example.org until 20")
    (entry,) = entries()
    assert (entry.scope, entry.author, entry.note, entry.unauthenticated) == (
        "example.org", "bob", "asked by Eve", True,
    )  # fmt: skip
    assert 30 * 86400 - 60 < entry.expires - time.time() <= 30 * 86400
    again = run("allow", "add", "example.net", "--domain", "example.org")
    assert again.stdout.startswith("replaced: allow sender-domain example.net for example.org by ")
    assert len(entries()) == 1


def test_an_entry_may_be_for_one_recipient_and_end_on_a_day(run: Run, entries: Callable[[], list[Entry]]) -> None:
    assert run("allow", "add", "192.0.2.7", "--recipient", "Bob@example.org", "--expires", "2099-06-01").exit_code == 0
    (entry,) = entries()
    assert (entry.scope, entry.expires) == ("bob@example.org", 4_083_955_200)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "say one of SUBJECT, --helo and --reverse"),
        (["192.0.2.7", "--helo", "a.example"], "say one of SUBJECT, --helo and --reverse"),
        (["192.0.2.7/24"], '"192.0.2.7/24" is not a network; did you mean "192.0.2.0/24"?'),
        (["0.0.0.0/0"], '"0.0.0.0/0" would be everybody'),
        (["192.0.2"], '"192.0.2" is not a network'),
        (["::ffff:192.0.2.7"], '"::ffff:192.0.2.7" is IPv4 in IPv6 form; write it as IPv4'),
        (["*"], '"*" would be everybody'),
        (["foo"], '"foo" has no dot: a domain is one such as "example.net", an address "bob@example.net"'),
        (["--reverse", "foo"], '"foo" has no dot'),
        (["exa mple.net"], '"exa mple.net" is not a domain name'),
        (["@example.net"], '"@example.net" is not an address of mail'),
        (["a b@example.net"], '"a b@example.net" is not an address of mail'),
        (["example.net", "--domain", "a.example", "--recipient", "b@a.example"], "say one of --domain and --recipient"),
        (["example.net", "--domain", "b@a.example"], "--domain takes a domain, --recipient an address"),
        (["example.net", "--recipient", "a.example"], "--domain takes a domain, --recipient an address"),
        (["example.net", "--expires", "soon"], '"soon" is neither a time such as "30d" nor a date'),
        (["example.net", "--expires", "2020-01-01"], "--expires 2020-01-01: is in the past"),
        (["example.net", "--note", "one\ntwo"], "must be one line without control characters"),
        (["example.net", "--note", 201 * "x"], "longer than 200 characters"),
        (["example.net", "--author", "a b"], '"a b" is not one word'),
    ],
)
def test_what_is_no_entry_is_refused_with_its_reason(
    run: Run, entries: Callable[[], list[Entry]], words: list[str], reason: str
) -> None:
    refused = run("allow", "add", *words)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(reason)
    assert entries() == []


def test_a_list_shows_its_own_entries_that_hold(run: Run, tmp_path: Path) -> None:
    shown = deny(Kind.CLIENT, "192.0.2.7", author="alice", created="2027-01-01T00:00:00Z", note="for a reason")
    expired = deny(Kind.SENDER, "a@example.net", "example.org", expires=1)
    put(tmp_path / FILE_NAME, [allow(Kind.CLIENT, "192.0.2.8"), shown, expired])
    assert run("deny", "list").stdout == (
        "deny  client  192.0.2.7  for everybody  by alice 2027-01-01T00:00:00Z  for a reason\n"
    )
    assert run("deny", "list", "--all").stdout.splitlines() == [
        f"deny  client  192.0.2.7      for everybody  {'':28}  by alice 2027-01-01T00:00:00Z  for a reason",
        "deny  sender  a@example.net  for example.org  until 1970-01-01T00:00:01Z  by nobody",
    ]
    told = json.loads(run("deny", "list", "--json").stdout)
    assert told == {
        "v": 1,
        "entries": [
            {
                "verb": "deny", "kind": "client", "subject": "192.0.2.7", "scope": "", "expires": None,
                "unauthenticated": False, "author": "alice", "created": "2027-01-01T00:00:00Z", "note": "for a reason",
            }
        ],
    }  # fmt: skip


def test_an_export_brings_everything_back(run: Run, tmp_path: Path, entries: Callable[[], list[Entry]]) -> None:
    held = [
        allow(
            Kind.CLIENT,
            "192.0.2.0/24",
            "example.org",
            expires=2_000_000_000,
            author="a",
            created="2027-01-01T00:00:00Z",
        ),
        allow(
            Kind.REVERSE, "*.example.net", author="a", created="2027-01-01T00:00:00Z", note='with "quotes", and commas'
        ),
        allow(
            Kind.HELO, "mx.example.net", "b@a.example", unauthenticated=True, author="a", created="2027-01-01T00:00:00Z"
        ),
        allow(Kind.SENDER, "a@example.net", author="a", created="2027-01-01T00:00:00Z", note="größer"),
        allow(Kind.DOMAIN, "example.net", expires=1, author="a", created="2027-01-01T00:00:00Z"),
    ]
    put(tmp_path / FILE_NAME, [*held, deny(Kind.CLIENT, "192.0.2.7")])
    written = run("allow", "export").stdout
    (tmp_path / FILE_NAME).unlink()
    brought = run("allow", "import", "-", given=written)
    assert brought.stdout == "5 entries imported, 0 of them in place of others\n", brought.stderr
    assert sorted(entries()) == sorted(held)
    assert [row["kind"] for row in csv.DictReader(io.StringIO(written))] == [
        "reverse", "sender", "sender-domain", "helo", "client",
    ]  # fmt: skip


def test_a_list_of_subjects_is_enough_to_import(run: Run, tmp_path: Path, entries: Callable[[], list[Entry]]) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(b'\xef\xbb\xbfSubject,Note\r\n192.0.2.7,\r\n\r\nspam.example,"rude, and loud"\r\n')
    assert run("deny", "import", str(file), "--author", "carol").exit_code == 0
    assert sorted((entry.kind, entry.subject, entry.author, entry.note) for entry in entries()) == [
        ("client", "192.0.2.7", "carol", ""),
        ("sender-domain", "spam.example", "carol", "rude, and loud"),
    ]


def test_all_that_is_wrong_with_a_file_is_said_at_once_and_nothing_is_imported(
    run: Run, tmp_path: Path, entries: Callable[[], list[Entry]]
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(
        "verb,subject,scope,expires,unauthenticated,note\n"
        "deny,192.0.2.7,,,,fine\n"
        "allow,192.0.2.8/24,nowhere at all,soon,perhaps,\n"
        "deny,192.0.2.9\n"
        'deny,"192.0.2.9"x,,,,\n'
        "deny,192.0.2.7,,,,again\n"
        "deny,example.net,,,,one\x07two\n"
    )
    refused = run("deny", "import", str(file))
    assert refused.exit_code == 1
    assert [line.removeprefix(f"{file}:") for line in refused.stderr.splitlines()] == [
        '3:1: verb: "allow", and this imports what is to deny',
        '3:7: subject: "192.0.2.8/24" is not a network; did you mean "192.0.2.0/24"?',
        '3:20: scope: "nowhere at all" is not a domain name',
        '3:35: expires: "soon" is neither a time such as "30d" nor a date such as "2027-06-01"',
        '3:40: unauthenticated: must be true or false, not "perhaps"',
        "4:1: line: has 2 fields, and the header 6",
        "5:17: line: a quote is out of place",
        "6:1: line: the same entry as in line 2",
        "7:21: note: must be one line without control characters",
    ]
    assert entries() == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "1:1: subject: missing"),
        (b"192.0.2.7\n", '1:1: "192.0.2.7": no such column; there are verb, '),
        (b"subjekt,note\n", '1:1: "subjekt": no such column; did you mean "subject"?'),
        (b"subject,note,note\n", "1:14: note: a column that was there before"),
        (b"note\n", "1:1: subject: missing"),
        (b'sub"ject\n', "1:4: line: a quote is out of place"),
        (b"subject\nb\xfccher.example\n", "2:1: line: not UTF-8"),
    ],
)
def test_a_header_that_does_not_name_the_columns_is_refused(run: Run, content: bytes, problem: str) -> None:
    refused = run("deny", "import", "-", given=content)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"-:{problem}")


@pytest.mark.parametrize(("wrong", "last"), [(100, ""), (150, "102:1: line: this line and 49 more were not read: ")])
def test_after_a_hundred_problems_an_import_says_how_much_is_left(run: Run, wrong: int, last: str) -> None:
    refused = run("deny", "import", "-", given="subject\n" + wrong * "no domain\n")
    told = [line.removeprefix("-:") for line in refused.stderr.splitlines()]
    assert told[99].startswith('101:1: subject: "no domain" is not a domain name')
    assert len(told) == 100 + bool(last)
    assert told[-1].startswith(last)


def test_a_state_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    gone = CliRunner().invoke(APP, ["allow", "list", "--state", str(tmp_path / "nowhere")])
    assert gone.exit_code == 1
    assert gone.stderr == f"{tmp_path}/nowhere: No such file or directory\n"


def test_what_denies_needs_no_word_about_proof(run: Run, entries: Callable[[], list[Entry]]) -> None:
    refused = run("deny", "add", "a@example.net", "--unauthenticated")
    assert refused.exit_code == 2
    assert refused.stderr == "--unauthenticated is for what allows; what denies always counts\n"
    assert entries() == []


def test_what_was_done_or_not_found_is_said(run: Run, tmp_path: Path) -> None:
    assert run("allow", "list").stdout == "no entries\n"
    assert run("deny", "list", "--json").stdout == '{\n  "v": 1,\n  "entries": []\n}\n'
    run("deny", "add", "*.example.net", "--domain", "example.org")
    assert (
        run("deny", "remove", "*.example.net").stderr
        == "no such entry: deny sender-domain *.example.net for everybody\n"
    )
    removed = run("deny", "remove", "*.example.net", "--domain", "example.org")
    assert removed.stdout == "removed: deny sender-domain *.example.net for example.org\n"
    missing = run("allow", "import", str(tmp_path / "nothing.csv"))
    assert missing.stderr == f"{tmp_path}/nothing.csv: No such file or directory\n"


def test_a_broken_file_is_said_and_not_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 1000)
    for words in (["list"], ["export"], ["add", "192.0.2.7"], ["remove", "192.0.2.7"]):
        refused = run("deny", *words)
        assert refused.exit_code == 1
        assert refused.stderr == f"{tmp_path}/{FILE_NAME}: file is not a database\n"
