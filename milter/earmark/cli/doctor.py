"""`earmark doctor`: what is wrong on this machine, and how to mend it."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.serve import ConfigOption, JsonOption, StateOption
from earmark.core.text import printable

if TYPE_CHECKING:
    from earmark.service.doctor import Diagnosis, State

PostfixOption = Annotated[
    Path | None,
    typer.Option("--postfix-config", help="Postfix's configuration directory.", show_default="postconf's own"),
]
SendmailOption = Annotated[
    Path | None,
    typer.Option("--sendmail-config", help="Sendmail's sendmail.cf.", show_default="/etc/mail/sendmail.cf, if there"),
]
EximOption = Annotated[
    Path | None,
    typer.Option("--exim-config", help="Exim's configuration file.", show_default="Exim's own"),
]
_LONGEST = 1000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    *,
    config: ConfigOption = None,
    state: StateOption = None,
    postfix_config: PostfixOption = None,
    sendmail_config: SendmailOption = None,
    exim_config: EximOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look, without changing anything, for what is wrong with earmark and around it. Exit status 1 if something is."""
    from earmark.config import find_directory
    from earmark.service.doctor import State, examine
    from earmark.service.doctor.examination import Places

    found = examine(Places(find_directory(config), state, postfix_config, sendmail_config, exim_config))
    states = _print_json(found) if as_json else _print_lines(found)
    raise typer.Exit(1 if State.FAIL in states else 0)


def _print_json(found: Iterable["Diagnosis"]) -> set["State"]:
    checks = [one._asdict() for one in found]
    print(json.dumps({"v": 1, "checks": checks}, indent=2))
    return {one["state"] for one in checks}


def _print_lines(found: Iterable["Diagnosis"]) -> set["State"]:
    from earmark.service.doctor import State

    counts: Counter[State] = Counter()
    for one in found:
        counts[one.state] += 1
        print(f"{one.state:8}", printable(f"{one.check}: {one.seen}", _LONGEST), flush=True)
        if one.mend:
            print(f"{'':8}", printable(f"mend: {one.mend}", _LONGEST))
    print(", ".join(f"{counts[state]} {state}" for state in State))
    return set(counts)
