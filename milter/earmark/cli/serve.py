"""`earmark serve` and the commands to a running service: status, reload, drain."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earmark.core.text import printable

if TYPE_CHECKING:
    from earmark.service.control import Answer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration directory.", show_default="/etc/earmark, else what is shipped"),
]
StateOption = Annotated[
    Path | None, typer.Option("--state", help="State directory, in place of the one in server.toml.")
]
ShadowOption = Annotated[
    Path | None,
    typer.Option(
        "--shadow", help="A second directory of policies that judge the same and change nothing; see earmark compare."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_LONG = 3700.0
"""Seconds: longer than the longest drain that server.toml may ask for."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(serve)
    app.command()(status)
    app.command()(reload)
    app.command()(drain)


def serve(config: ConfigOption = None, state: StateOption = None, shadow: ShadowOption = None) -> None:
    """Run the service in the foreground. SIGHUP reloads, SIGTERM drains and stops, a second SIGTERM stops at once."""
    import os

    # A new program in the same process: the supervisor forks all its life and must hold nothing that typer brought.
    directories = [str(directory or "") for directory in (config, state, shadow)]
    words = [sys.executable, "-P", "-m", "earmark.service", *directories]
    os.execv(words[0], words)  # noqa: S606 - our own interpreter, no shell


def status(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show how the service fares. Exit status 1 when it does not run, or not with all its workers."""
    answer = ask_service("status", config, state, patience=10.0)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _print_status(answer)
    raise typer.Exit(0 if answer["state"] == "ready" else 1)


def reload(config: ConfigOption = None, state: StateOption = None) -> None:
    """Have the service read its configuration again; wait until that serves. Exit status 1 when it does not."""
    answer = ask_service("reload", config, state, patience=120.0)
    for problem in answer["problems"]:
        print(problem, file=sys.stderr)
    if not answer["ok"]:
        raise typer.Exit(1)
    print(f"generation {answer['generation'][:12]} serves")


def drain(config: ConfigOption = None, state: StateOption = None) -> None:
    """Have the service accept nothing more, finish what is under way and end; wait for that."""
    ask_service("drain", config, state, patience=_LONG, to_the_end=True)


def ask_service(
    command: str, config: Path | None, state: Path | None, *, patience: float, to_the_end: bool = False
) -> "Answer":
    """Ask the running service, and end with 1 where that cannot be; as `service.control.ask`."""
    from earmark.service.control import ControlError, ask

    try:
        return ask(state or state_directory(config), command, patience=patience, to_the_end=to_the_end)
    except ControlError as error:
        print(f"earmark: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def state_directory(config: Path | None) -> Path:
    """Return the state directory of server.toml, even while something else in the configuration does not hold."""
    import tomllib

    from earmark.config import find_directory

    default = "/var/lib/earmark"
    try:
        with (find_directory(config) / "policies" / "server.toml").open("rb") as file:
            return Path(str(tomllib.load(file).get("state", default)))
    except (OSError, ValueError) as error:
        print(f"earmark: cannot read the state directory from server.toml ({error}); taking {default}", file=sys.stderr)
        return Path(default)


def _print_status(answer: dict[str, Any]) -> None:
    from datetime import datetime

    since = datetime.fromtimestamp(answer["since"]).astimezone().isoformat(timespec="seconds")
    print(f"{answer['state']}: process {answer['pid']} since {since}, generation {answer['generation'][:12]}")
    print("configuration:", answer["directory"])
    if answer["shadow"]:
        print(f"shadow: {answer['shadow']['directory']}, generation {answer['shadow']['generation'][:12]}")
    print("listening:", ", ".join(answer["listening"]) or "nowhere")
    for child in answer["children"]:
        generation = child["generation"][:12]
        transactions = child["counters"].get("transactions", 0)
        print(
            f"  {child['role']:8} {child['pid']:7} {child['state']:9} {generation}  {child['age']:.0f} s,"
            f" {child['sessions']} sessions, {transactions} transactions"
        )
    for scanner in answer["scanners"]:
        print(_scanner_line(scanner))
    at = datetime.fromtimestamp(answer["reload"]["at"]).astimezone().isoformat(timespec="seconds")
    problems = answer["reload"]["problems"]
    print(f"last reload: {at}: {'failed' if problems else 'ok'}")
    for problem in problems:
        print(f"  {problem}")
    print(" ".join(f"{name}={value}" for name, value in answer["counters"].items()))


def _scanner_line(scanner: dict[str, Any]) -> str:
    why = f" ({printable(scanner['why'])})" if scanner["why"] else ""
    counts = f"{scanner['scans']} scanned, {scanner['unscanned']} not, failed for {scanner['failing_seconds']:.0f} s"
    issued = f", signatures of {scanner['signatures']}" if scanner["signatures"] else ""
    return f"{scanner['scanner']}: {scanner['state']}{why}: {counts}{issued}"
