"""`earmark quarantine`: what is held, why, and what becomes of it (docs/quarantine.md)."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earmark.cli.columns import aligned
from earmark.cli.exits import WRONG_USE, fail
from earmark.cli.serve import ConfigOption, JsonOption, StateOption, state_directory
from earmark.cli.state import in_state
from earmark.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from earmark.stores.quarantine_index import Row

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The verdict's id.", show_default=False)]
RecipientsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RECIPIENT]...", help="For whom, as list shows them.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the family."""
    family = typer.Typer(help="Show what is held in quarantine, release or delete it.", no_args_is_help=True)
    for command in (list_, show, release, delete):
        family.command(command.__name__.strip("_"))(command)
    app.add_typer(family, name="quarantine")


def list_(
    *,
    domain: Annotated[str, typer.Option(help="Only recipients in this domain.")] = "",
    since: Annotated[
        str, typer.Option(metavar="SPAN", help="How far back, such as 24h or 7d.", show_default="all")
    ] = "",
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is held, the newest first, a line for each recipient."""
    import time

    from earmark.cli.span import seconds
    from earmark.core.mail import domain_key

    try:
        began = time.time() - seconds(since) if since else 0.0
    except ValueError as error:
        fail(error, WRONG_USE)
    rows = [
        row
        for row in _live(_rows(state or state_directory(config)))
        if row.at >= began and domain_key(domain) in ("", row.domain)
    ]
    if as_json:
        _print_json({"held": [row._asdict() for row in rows]})
        return
    for line in aligned([_HEAD, *map(_columns, rows)]) if rows else ["nothing is held"]:
        print(line)


def show(
    message_id: IdArgument,
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Write the message itself, byte for byte, to a file or pipe.")] = (
        False
    ),
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a message: where it came from, to whom it was not delivered, and why."""
    directory = state or state_directory(config)
    if raw:
        _write_raw(directory, message_id.upper())
        return
    rows = _rows_of(directory, message_id)
    held = _held(directory, rows[0].id)
    if as_json:
        _print_json({**held, "recipients": [row._asdict() for row in rows]})
        return
    for name, value in held.items():
        if name not in ("id", "at", "recipients"):
            print(f"{name.replace('_', ' ')}: {printable(str(value))}")
    for row in rows:
        print("\n".join(_told(row)))


def release(
    message_id: IdArgument,
    recipients: RecipientsArgument = None,
    *,
    infected: Annotated[bool, typer.Option("--infected", help="Even though a virus was found in it.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Even though it may have been delivered by an earlier release.")
    ] = False,
    as_test: Annotated[str, typer.Option(metavar="FILE|-", help=r"Also append a [\[test]] to this policy file.")] = "",
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Deliver a message to recipients for whom it is held, through our own MTA. Exit status 1 where one was not."""
    from earmark.config import ConfigError, find_directory, load_server

    try:
        server = load_server(find_directory(config))
    except ConfigError as error:
        fail(error)
    directory = state or server.state
    rows = _chosen(_rows_of(directory, message_id), recipients or [])
    if len(rows) > 1 and not recipients:
        fail(f"say to whom: {_names(rows)}", WRONG_USE)
    _assert_releasable(rows, infected=infected, again=again)
    tests = [_test(directory, row) for row in rows] if as_test else []
    well = [_release(directory, server.quarantine.submission, row, again=again) for row in rows]
    _append(as_test, [test for test, released in zip(tests, well, strict=False) if released])
    raise typer.Exit(0 if all(well) else 1)


def delete(
    message_id: IdArgument,
    recipients: RecipientsArgument = None,
    *,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Delete a message: for these recipients, or for all."""
    import time

    from earmark.stores import quarantine_index as index
    from earmark.stores.quarantine_upkeep import remove_unneeded

    directory = state or state_directory(config)
    rows = _chosen(_rows_of(directory, message_id), recipients or [])

    def delete_all() -> None:
        with index.opened(_quarantine(directory), _log()) as connection:
            for row in rows:
                index.delete(connection, row.id, row.recipient)
            remove_unneeded(connection, _quarantine(directory), time.time())

    in_state(directory, delete_all)
    for row in rows:
        print(f"deleted: {row.id} for {printable(row.recipient)}")


def _test(directory: Path, row: "Row") -> str:
    from earmark.cli.quarantine_test import policy_test

    try:
        return in_state(directory, lambda: policy_test(directory, row.id, row.recipient))
    except LookupError as error:
        fail(error)


def _append(file: str, tests: "Sequence[str]") -> None:
    """Append tests to a policy file, or print them."""
    if file == "-" or not tests:
        sys.stdout.write("".join(tests))
        return
    try:
        with Path(file).open("a", encoding="ascii") as policy:
            policy.write("".join(tests))
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    print(f"{file}: has a test more; earmark config check says whether its policy passes it")


def _release(directory: Path, submission: str, row: "Row", *, again: bool) -> bool:
    from earmark.cli import quarantine_release
    from earmark.clients.limits import Endpoint

    server = Endpoint.parse(submission)
    place = (server.host, server.port or 0)
    ended = in_state(
        directory,
        lambda: quarantine_release.release(_quarantine(directory), _log(), row, place, again=again),
    )
    print(f"{row.id} to {printable(row.recipient)}: {ended.words}", file=sys.stdout if ended.well else sys.stderr)
    return ended.well


def _quarantine(state: Path) -> Path:
    from earmark.stores.quarantine import DIRECTORY

    return state / DIRECTORY


def _log() -> Any:  # noqa: ANN401 - a Log, imported late
    from earmark.log import Log

    return Log(sys.stderr.buffer)


def _rows(state: Path, message_id: str = "") -> "list[Row]":
    """Return the rows of all messages, or of one; what has a file and no row is found first."""
    from earmark.stores import quarantine_index as index
    from earmark.stores.quarantine_upkeep import adopt

    def read() -> "list[Row]":
        if not _quarantine(state).is_dir():
            return []
        with index.opened(_quarantine(state), _log()) as connection:
            adopt(connection, _quarantine(state), _log())
            return index.rows(connection, message_id)

    return in_state(state, read)


def _rows_of(state: Path, message_id: str) -> "list[Row]":
    from earmark.stores.quarantine_files import is_id

    message_id = message_id.upper()
    rows = _rows(state, message_id) if is_id(message_id) else []
    if not rows:
        fail(f"{printable(message_id)}: the quarantine knows of no such message")
    return rows


def _live(rows: "Iterable[Row]") -> "list[Row]":
    from earmark.stores.quarantine_index import State

    return [row for row in rows if row.state in (State.HELD, State.RELEASING)]


def _chosen(rows: "Sequence[Row]", names: "Sequence[str]") -> "list[Row]":
    """Return the rows of these recipients, or of all for whom it is held."""
    live = _live(rows)
    if not live:
        fail(f"{rows[0].id} is held for nobody any more: {_names(rows)}")
    wanted = {name.lower() for name in names}
    missing = wanted - {row.recipient.lower() for row in live}
    if missing:
        fail(f"{rows[0].id} is not held for {printable(', '.join(sorted(missing)))}, but for {_names(live)}")
    return [row for row in live if not wanted or row.recipient.lower() in wanted]


def _names(rows: "Iterable[Row]") -> str:
    return printable(", ".join(f"{row.recipient} ({row.state})" for row in rows), 2000)


def _assert_releasable(rows: "Sequence[Row]", *, infected: bool, again: bool) -> None:
    from earmark.stores.quarantine_index import State

    for row in rows:
        if row.infected and not infected:
            fail(f"{row.id} is infected: {'; '.join(row.why)}\n--infected releases it all the same")
        if row.state is State.RELEASING and not again:
            fail(f"{row.id} may have been delivered to {printable(row.recipient)} already; --again releases it again")


def _held(state: Path, message_id: str) -> dict[str, Any]:
    """Return what the file says of a message; nothing where it is gone."""
    from earmark.stores.quarantine_files import is_there, opened

    def read() -> dict[str, Any]:
        if not is_there(_quarantine(state), message_id):
            return {"id": message_id}
        with opened(_quarantine(state), message_id) as stored:
            return {**stored.held._asdict(), "size": stored.size}

    return in_state(state, read)


def _write_raw(state: Path, message_id: str) -> None:
    import shutil

    from earmark.stores.quarantine_files import is_id, is_there, opened

    if sys.stdout.isatty():
        fail("--raw is for a file or a pipe: what is held may steer a terminal", WRONG_USE)
    if not is_id(message_id) or not in_state(state, lambda: is_there(_quarantine(state), message_id)):
        fail(f"{printable(message_id)}: the quarantine has no such message, or none any more")

    def write() -> None:
        with opened(_quarantine(state), message_id) as stored:
            shutil.copyfileobj(stored.file, sys.stdout.buffer)

    in_state(state, write)


_HEAD = ("id", "since", "recipient", "sender", "bytes", "until", "state", "why")


def _columns(row: "Row") -> tuple[str, ...]:
    return (
        row.id,
        _when(row.at),
        printable(row.recipient, 60),
        printable(row.sender, 60) or "(none)",
        str(row.size),
        _when(row.expires),
        row.state,
        printable("; ".join(row.why), 120),
    )


def _told(row: "Row") -> "Iterable[str]":
    from earmark.stores.quarantine_index import State

    until = f" until {_when(row.expires)}" if row.state is State.HELD else ""
    yield f"{printable(row.recipient)}: {row.state}{until}; the policy {printable(row.policy)} says {row.would}"
    yield from (f"  {printable(why)}" for why in row.why)


def _when(at: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def _print_json(told: dict[str, Any]) -> None:
    import json

    print(json.dumps({"v": 1, **told}, indent=2))
