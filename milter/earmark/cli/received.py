"""`earmark received`: the Received chain of a message, and who of it is believed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from earmark.core.mail import Site

_HEADER_LIMIT = 1 << 20
"""Bytes that are read: no server takes a header as long as this."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(received)


def received(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A message; - reads standard input.")],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Configuration directory.", show_default="/etc/earmark, else what is shipped"
        ),
    ] = None,
    client: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Who handed the message over; none: our own lines stand in it.")
    ] = "",
) -> None:
    """Print the Received chain of a message, newest hop first, as a JSON array."""
    import json

    from earmark.core.mail import Header, parse_address_text
    from earmark.core.received import read_chain
    from earmark.core.report import hop_report
    from earmark.wire.message import split_header

    address = parse_address_text(client.strip("[]"))
    if client and not address:
        raise typer.BadParameter(f"{client!r} is no IP address", param_hint="--client")
    site = _site(config)
    fields, _ = split_header(_head(file))
    hops = read_chain([Header(name, value) for name, value in fields], site, address)
    print(json.dumps([hop_report(hop) for hop in hops], indent=2))


def _head(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(_HEADER_LIMIT)
    try:
        with Path(file).open("rb") as message:
            return message.read(_HEADER_LIMIT)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None


def _site(config: Path | None) -> "Site":
    from earmark.config import ConfigError, find_directory, load

    try:
        return load(find_directory(config)).server.site
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        raise typer.Exit(1) from None
