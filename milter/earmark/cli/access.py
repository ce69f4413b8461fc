"""`earmark allow` and `earmark deny`: the lists that are kept by hand (docs/access.md)."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from earmark.cli.columns import aligned
from earmark.cli.exits import WRONG_USE, fail
from earmark.cli.serve import ConfigOption, JsonOption, StateOption, state_directory
from earmark.cli.state import in_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from earmark.core.access import Entry, Kind, Verb
    from earmark.stores.access_file import Key

T = TypeVar("T")

_SUBJECT_HELP = "A client's address or network, a sender's address, its domain, or *.domain for all domains below."
SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help=_SUBJECT_HELP, show_default=False)]
HeloOption = Annotated[
    str, typer.Option("--helo", metavar="NAME", help="In place of SUBJECT: what the client greets with.")
]
ReverseOption = Annotated[
    str, typer.Option("--reverse", metavar="NAME", help="In place of SUBJECT: the client's confirmed reverse name.")
]
DomainOption = Annotated[str, typer.Option("--domain", help="Only for recipients of this domain.")]
RecipientOption = Annotated[str, typer.Option("--recipient", metavar="ADDRESS", help="Only for this recipient.")]
AuthorOption = Annotated[
    str, typer.Option("--author", metavar="NAME", help="Who makes the entry.", show_default="who is logged in")
]


def register(app: typer.Typer) -> None:
    """Add both families."""
    family = typer.Typer(no_args_is_help=True)
    for command in (add, list_, remove, import_, export):
        family.command(command.__name__.strip("_"))(command)
    app.add_typer(family, name="allow", help="Keep the list of whom to let through.")
    app.add_typer(family, name="deny", help="Keep the list of whom to refuse.")


def add(
    context: typer.Context,
    subject: SubjectArgument = "",
    *,
    helo: HeloOption = "",
    reverse: ReverseOption = "",
    domain: DomainOption = "",
    recipient: RecipientOption = "",
    expires: Annotated[
        str, typer.Option(metavar="WHEN", help="12h, 30d, 4w, or a date such as 2027-06-01.", show_default="never")
    ] = "",
    note: Annotated[str, typer.Option(help="Why: one line for whoever looks at it in a year.")] = "",
    unauthenticated: Annotated[
        bool, typer.Option("--unauthenticated", help="Counts even where anybody may have forged the subject.")
    ] = False,
    author: AuthorOption = "",
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Add an entry, or put it in place of the one for the same subject and scope. In force within two seconds."""
    from datetime import UTC, datetime

    from earmark.cli import access_entry
    from earmark.core.access import Entry, Verb
    from earmark.stores.access_file import put

    now = datetime.now(UTC)
    try:
        kind, told = _subject(subject, helo, reverse)
        until = access_entry.expiry(expires, now)
        if until and until <= now.timestamp():
            fail(f"--expires {expires}: is in the past", WRONG_USE)
        if unauthenticated and _verb(context) is Verb.DENY:
            fail("--unauthenticated is for what allows; what denies always counts", WRONG_USE)
        entry = Entry(
            _verb(context),
            kind,
            told,
            _scope(domain, recipient),
            until,
            unauthenticated,
            access_entry.author(author or _login()),
            access_entry.time_text(now.timestamp()),
            access_entry.line(note),
        )
    except ValueError as error:
        fail(error, WRONG_USE)
    replaced = _in_state(config, state, lambda path: put(path, [entry]))
    print(f"{'replaced' if replaced else 'added'}: {access_entry.entry_line(entry)}")


def list_(
    context: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also what has expired.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Show the entries, by scope and subject."""
    import json
    import time

    from earmark.cli.access_entry import entry_columns

    now = time.time()
    entries = [entry for entry in _entries(context, config, state) if every or entry.holds_at(now)]
    if as_json:
        print(json.dumps({"v": 1, "entries": [_shown(entry) for entry in entries]}, indent=2))
        return
    print("\n".join(aligned(list(map(entry_columns, entries)))) or "no entries")


def remove(
    context: typer.Context,
    subject: SubjectArgument = "",
    *,
    helo: HeloOption = "",
    reverse: ReverseOption = "",
    domain: DomainOption = "",
    recipient: RecipientOption = "",
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Remove the entry for this subject and scope. Exit status 1 where there is none."""
    from earmark.stores import access_file

    try:
        key: Key = (_verb(context), *_subject(subject, helo, reverse), _scope(domain, recipient))
    except ValueError as error:
        fail(error, WRONG_USE)
    if not _in_state(config, state, lambda path: access_file.remove(path, key)):
        fail(f"no such entry: {_key_text(key)}")
    print(f"removed: {_key_text(key)}")


def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="CSV as export writes it; - is standard input.")],
    *,
    author: AuthorOption = "",
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Add all entries of a CSV file, or none: what is wrong is said as file:line:column."""
    from datetime import UTC, datetime

    from earmark.cli.access_csv import BYTES_AT_MOST, Defaults, read_csv
    from earmark.config import ConfigError
    from earmark.config.problems import counted
    from earmark.stores.access_file import put

    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            raw = stream.read(BYTES_AT_MOST + 1)
        if len(raw) > BYTES_AT_MOST:
            fail(f"{file}: larger than {BYTES_AT_MOST} bytes")
        entries = read_csv(raw, file, Defaults(_verb(context), author or _login(), datetime.now(UTC)))
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except ConfigError as error:
        fail(error)
    replaced = _in_state(config, state, lambda path: put(path, entries))
    print(f"{counted(len(entries), 'entry', 'entries')} imported, {replaced} of them in place of others")


def export(context: typer.Context, *, config: ConfigOption = None, state: StateOption = None) -> None:
    """Write the entries as CSV, expired ones too."""
    from earmark.cli.access_csv import export_text

    sys.stdout.write(export_text(_entries(context, config, state)))


def _key_text(key: "Key") -> str:
    verb, kind, subject, scope = key
    return f"{verb} {kind} {subject} for {scope or 'everybody'}"


def _shown(entry: "Entry") -> dict[str, Any]:
    from earmark.cli.access_entry import time_text

    return {**entry._asdict(), "expires": time_text(entry.expires) or None}


def _verb(context: typer.Context) -> "Verb":
    """Return which of the families was called."""
    from earmark.core.access import Verb

    return Verb((context.parent and context.parent.info_name) or "")


def _subject(subject: str, helo: str, reverse: str) -> "tuple[Kind, str]":
    from earmark.cli import access_entry
    from earmark.core.access import Kind

    given = [pair for pair in ((subject, ""), (helo, Kind.HELO), (reverse, Kind.REVERSE)) if pair[0]]
    if len(given) != 1:
        raise ValueError("say one of SUBJECT, --helo and --reverse")
    return access_entry.subject(*given[0])


def _scope(domain: str, recipient: str) -> str:
    from earmark.cli import access_entry

    if domain and recipient:
        raise ValueError("say one of --domain and --recipient")
    if ("@" in domain) or (recipient and "@" not in recipient):
        raise ValueError("--domain takes a domain, --recipient an address")
    return access_entry.scope(domain or recipient)


def _entries(context: typer.Context, config: Path | None, state: Path | None) -> "list[Entry]":
    """Return the family's entries as they are shown."""
    from earmark.stores.access_file import read

    verb = _verb(context)
    found = _in_state(config, state, read)
    return sorted((entry for entry in found if entry.verb is verb), key=lambda entry: (entry.scope, *entry[1:3]))


def _in_state(config: Path | None, state: Path | None, use: "Callable[[Path], T]") -> "T":
    """Return what `use` does with the lists' file."""
    from earmark.stores.access_file import FILE_NAME

    directory = state or state_directory(config)
    return in_state(directory, lambda: use(directory / FILE_NAME))


def _login() -> str:
    """Return who is at work; behind sudo, who called it."""
    import getpass
    import os

    return os.environ.get("SUDO_USER") or getpass.getuser()
