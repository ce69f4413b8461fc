"""`earmark probe`: does a milter answer at this socket? A whole option negotiation, as an MTA does it."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(probe)


def probe(
    address: Annotated[str, typer.Argument(metavar="SOCKET", help="unix:/path or inet:host:port.")],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for all of it.")] = 5.0,
) -> None:
    """Negotiate with the milter at SOCKET and say in one line what came of it; exit 0 if it answers, 1 if not."""
    from earmark.service.negotiation import negotiate, why_not
    from earmark.service.sockets import ListenError
    from earmark.wire import RemoteError

    try:
        told = negotiate(address, timeout)
    except ListenError as error:
        raise typer.BadParameter(str(error)) from None
    except (OSError, RemoteError) as error:
        typer.echo(f"{address}: {why_not(error)}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{address}: {told}")
