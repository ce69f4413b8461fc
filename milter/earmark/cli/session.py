"""`earmark session`: an SMTP dialogue from standard input, answered as `exim -bh` does."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from earmark.cli.dialogue import Dialogue
    from earmark.config import Generation


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(session)


def session(
    ip: Annotated[str, typer.Option(metavar="ADDRESS", help="The client.")],
    ptr: Annotated[str, typer.Option(metavar="NAME", help="Its confirmed reverse name; default: looked up.")] = "",
    user: Annotated[str, typer.Option("--auth", metavar="USER", help="Who authenticated; default: nobody.")] = "",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Configuration directory.", show_default="/etc/earmark, else what is shipped"
        ),
    ] = None,
    dns: Annotated[Path | None, typer.Option(metavar="FILE", help="DNS answers, in place of the network.")] = None,
) -> None:
    """Play an SMTP dialogue from standard input, and print the reply to each command. AUTH USER authenticates."""
    import asyncio

    from earmark.cli.supposed import client_address
    from earmark.config import ConfigError, find_directory, load

    try:
        address = client_address(ip)
        asyncio.run(_play(load(find_directory(config)), address, ptr, user, dns))
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        raise typer.Exit(1) from None
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


async def _play(generation: "Generation", address: str, ptr: str, user: str, dns: Path | None) -> None:
    from earmark.cli.dialogue import Dialogue
    from earmark.playing import Player, access_lists, answers
    from earmark.world import scanners_of

    with answers(generation, dns) as lookups:
        async with Player(generation, lookups, access_lists(generation), scanners_of(generation.server)) as player:
            await _talk(Dialogue(player, address, ptr, user))


async def _talk(dialogue: "Dialogue") -> None:
    print(dialogue.greeting())
    for line in sys.stdin.buffer:
        for reply in await dialogue.say(line):
            print(reply, flush=True)
        if dialogue.ended:
            return
    dialogue.close()
