"""How a command ends that cannot do what it was asked for."""

import sys
from typing import NoReturn

import typer

WRONG_USE = 2
"""The exit status where the command line itself is at fault, as typer has it for what it finds itself."""


def fail(reason: object, status: int = 1) -> NoReturn:
    """Say why on standard error, and end with this exit status."""
    print(reason, file=sys.stderr)
    raise typer.Exit(status)
