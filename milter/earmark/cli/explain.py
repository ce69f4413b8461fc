"""`earmark explain`: why a verdict was what it was, or what one would be."""

import sys
from pathlib import Path
from typing import Annotated

import typer

_EXIT = {"accept": 0, "mark": 0, "quarantine": 0, "defer": 75, "reject": 1}
_WRONG_USE = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    what: Annotated[str, typer.Argument(metavar="ID|QUEUE-ID|MESSAGE-ID|FILE", help="A past verdict, or a message.")],
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Configuration directory.", show_default="/etc/earmark, else what is shipped"
        ),
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="The history's file, in place of the one in the state directory.")
    ] = None,
    ip: Annotated[str, typer.Option(metavar="ADDRESS", help="The client: judge FILE as if it came from there.")] = "",
    ptr: Annotated[str, typer.Option(metavar="NAME", help="Its confirmed reverse name; default: looked up.")] = "",
    helo: Annotated[str, typer.Option(metavar="NAME", help="What it said; default: its address literal.")] = "",
    sender: Annotated[str, typer.Option("--from", metavar="ADDRESS", help="Default: the null sender.")] = "",
    rcpt: Annotated[list[str] | None, typer.Option(metavar="ADDRESS", help="May be repeated.")] = None,
    user: Annotated[str, typer.Option("--auth", metavar="USER", help="Who authenticated; default: nobody.")] = "",
    dns: Annotated[Path | None, typer.Option(metavar="FILE", help="DNS answers, in place of the network.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 for reject, 75 for defer, 0 for all else.")
    ] = False,
) -> None:
    """Explain a past verdict from the history, or with --ip what FILE would meet."""
    import json

    from earmark.cli.render import show
    from earmark.config import ConfigError
    from earmark.stores.sqlite import StoreError

    if not ip and Path(what).is_file():
        print(f"{what} is a file: say with --ip which client it came from", file=sys.stderr)
        raise typer.Exit(_WRONG_USE)
    try:
        if ip:
            from earmark.cli.supposed import Supposed, explain_message

            supposed = Supposed(ip, ptr, helo, sender, tuple(rcpt or ()), user)
            explained = explain_message(what, supposed, config, dns)
        else:
            from earmark.cli.past import explain_past

            explained = explain_past(what, config, history)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        raise typer.Exit(1) from None
    except (ConfigError, StoreError, ValueError, LookupError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(explained, indent=2))
    else:
        show(explained)
    raise typer.Exit(_EXIT[explained["action"]] if exit_code else 0)
