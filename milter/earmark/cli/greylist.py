"""`earmark greylist`: who is waiting, who passed, and who keeps coming (docs/greylisting.md)."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from earmark.cli.columns import aligned
from earmark.cli.exits import WRONG_USE, fail
from earmark.cli.serve import ConfigOption, JsonOption, StateOption
from earmark.cli.state import in_state
from earmark.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from earmark.stores.triplets import Triplet

WhoArgument = Annotated[
    str,
    typer.Argument(metavar="WHO", help="A domain, a network, or an address of one.", show_default=False),
]

T = TypeVar("T")


class Which(StrEnum):
    """Which triplets are listed."""

    ALL = "all"
    WAITING = "waiting"
    PASSED = "passed"
    TOP = "top"


def register(app: typer.Typer) -> None:
    """Add the family."""
    family = typer.Typer(help="Show and change what greylisting remembers.", no_args_is_help=True)
    family.command("list")(list_)
    family.command()(show)
    family.command()(clear)
    app.add_typer(family, name="greylist")


def list_(
    which: Annotated[Which, typer.Argument(help="top: who was told to come back most often.")] = Which.ALL,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List triplets, the last seen first."""
    known = _Store(config, state).triplets()
    chosen = [one for one in known if which in (Which.ALL, Which.TOP) or bool(one.passed) is (which is Which.PASSED)]
    chosen.sort(key=lambda one: (-one.tries if which is Which.TOP else 0, -one.last))
    if as_json:
        _print_json(chosen[:limit])
        return
    passed = sum(bool(one.passed) for one in known)
    print(f"{len(known) - passed} waiting, {passed} passed")
    for line in aligned([_HEAD, *map(_columns, chosen[:limit])] if chosen else []):
        print(line)


def show(
    who: WhoArgument, *, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Show all that is remembered of an origin, a sender or a recipient. Exit status 1 where that is nothing."""
    found = _matching(_Store(config, state).triplets(), who)
    if as_json:
        _print_json(found)
    elif not found:
        print(f"nothing is remembered of {printable(who)}")
    else:
        _print_told(found)
    raise typer.Exit(0 if found else 1)


def clear(
    who: WhoArgument = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Forget all triplets.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Forget triplets: who comes again has to wait again."""
    if bool(who) is everything:
        fail("say who is to be forgotten, or --all", WRONG_USE)
    store = _Store(config, state)
    found = store.triplets() if everything else _matching(store.triplets(), who)
    store.forget(found)
    print(f"{len(found)} forgotten")


class _Store:
    """The store that the configuration names: a file, or a Redis."""

    def __init__(self, config: ConfigOption, state: StateOption) -> None:
        from earmark.config import ConfigError, find_directory, load, store_password

        self._url = self._password = ""
        try:
            if state is None:
                generation = load(find_directory(config))
                state, self._url = generation.server.state, generation.server.store.url
                self._password, problems = store_password(generation)
                if problems:
                    fail("\n".join(map(str, problems)))
        except ConfigError as error:
            fail(error)
        self._directory = state

    def triplets(self) -> "list[Triplet]":
        """Return all of them."""
        if self._url:
            from earmark.stores import redis

            return _asked(redis.triplets(self._url, self._password))
        from earmark.stores import state_sqlite

        path = self._directory / state_sqlite.FILE_NAME
        return in_state(self._directory, lambda: state_sqlite.triplets(path) if path.exists() else [])

    def forget(self, several: "Sequence[Triplet]") -> None:
        """Forget some of them."""
        if self._url:
            from earmark.stores import redis

            _asked(redis.forget(self._url, self._password, several))
        elif several:
            from earmark.log import Log
            from earmark.stores import state_sqlite

            path, log = self._directory / state_sqlite.FILE_NAME, Log(sys.stderr.buffer)
            in_state(self._directory, lambda: state_sqlite.forget(path, log, several))


def _asked(asking: "Coroutine[Any, Any, T]") -> "T":
    """Return what a Redis answers."""
    import asyncio

    from earmark.stores.sqlite import StoreError

    try:
        return asyncio.run(asking)
    except (StoreError, OSError) as error:
        fail(error)


def _matching(known: "Iterable[Triplet]", who: str) -> "list[Triplet]":
    from earmark.core.mail import domain_key, parse_address_text
    from earmark.core.networks import network_of

    address = parse_address_text(who)
    names = {who, domain_key(who), network_of(address) if address else who}
    return [one for one in known if not names.isdisjoint((one.origin, one.sender, one.recipient))]


_HEAD = ("origin", "sender", "recipient", "first", "last", "tries", "passed", "first verdict")


def _columns(one: "Triplet") -> tuple[str, ...]:
    return (
        printable(one.origin, 60),
        printable(one.sender, 60) or "(none)",
        printable(one.recipient, 60),
        _when(one.first),
        _when(one.last),
        str(one.tries),
        str(one.times),
        one.id or "-",
    )


def _print_told(found: "Iterable[Triplet]") -> None:
    from earmark.config.problems import counted

    for one in found:
        print(printable(f"{one.origin} {one.sender or '(none)'} {one.recipient}", 800))
        if one.tries:
            verdict = f", first by verdict {one.id}" if one.id else ""
            print(f"  first seen {_when(one.first)}; told to come back {counted(one.tries, 'time')}{verdict}")
        if one.passed:
            print(f"  first let through {_when(one.passed)}; noted as passing {counted(one.times, 'time')}")
        print(f"  last seen {_when(one.last)}; forgotten {_when(one.until)}")


def _when(at: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def _print_json(several: "Iterable[Triplet]") -> None:
    import json

    told: dict[str, Any] = {"v": 1, "triplets": [one._asdict() for one in several]}
    print(json.dumps(told, indent=2))
