"""`--help` of all commands."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.text import Text

from earmark.cli.app import app


def _commands(command: Any, name: str = "earmark") -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from _commands(below, f"{name} {word}")


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_no_name_in_brackets_is_taken_for_markup(name: str) -> None:
    command = COMMANDS[name]
    texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    for text in filter(None, texts):
        assert Text.from_markup(text).plain == text.replace("\\[", "[")
