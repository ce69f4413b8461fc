"""`earmark lessons`: who taught SpamAssassin what (docs/spam-folder.md)."""

from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.columns import aligned
from earmark.cli.exits import fail
from earmark.cli.learn import JournalOption
from earmark.cli.serve import ConfigOption, JsonOption
from earmark.cli.state import in_state
from earmark.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from earmark.stores.lessons import Lesson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(lessons)


def lessons(
    *,
    user: Annotated[str, typer.Option(help="What this one taught.", show_default="everybody")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    journal: JournalOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was taught by whom, the latest first."""
    from earmark.config import ConfigError, find_directory, load_server
    from earmark.stores import lessons as store

    try:
        directory = journal or load_server(find_directory(config)).learning.journal
    except ConfigError as error:
        fail(error)
    path = directory / store.FILE_NAME
    known = in_state(directory, lambda: store.lessons(path, teacher=user, limit=limit) if path.exists() else [])
    if as_json:
        _print_json(known)
        return
    for line in aligned([_HEAD, *map(_columns, known)] if known else [("nothing was taught",)]):
        print(line)


_HEAD = ("at", "teacher", "class", "outcome", "spam user", "Message-ID", "why")


def _columns(lesson: "Lesson") -> tuple[str, ...]:
    return (
        _when(lesson.at),
        printable(lesson.teacher, 60),
        printable(lesson.message_class, 4),
        lesson.outcome,
        printable(lesson.spam_user, 60),
        printable(lesson.message_id, 100) or "(none)",
        printable(lesson.why, 200),
    )


def _when(at: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def _print_json(several: "Iterable[Lesson]") -> None:
    import json

    told = [lesson._asdict() | {"digest": lesson.digest.hex()} for lesson in several]
    print(json.dumps({"v": 1, "lessons": told}, indent=2))
