"""`earmark probe`: does a door answer at this socket, in its own protocol, as an MTA would have it?"""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(probe)


def probe(
    address: Annotated[str, typer.Argument(metavar="SOCKET", help="unix:/path or inet:host:port.")],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for all of it.")] = 5.0,
    policy: Annotated[bool, typer.Option("--policy", help="It is a policy door, as Postfix delegates to.")] = False,
) -> None:
    """Negotiate with the milter at SOCKET and say in one line what came of it; exit 0 if it answers, 1 if not."""
    from earmark.service.negotiation import ask_policy, negotiate, why_not
    from earmark.service.sockets import ListenError
    from earmark.wire import RemoteError

    try:
        told = (ask_policy if policy else negotiate)(address, timeout)
    except ListenError as error:
        raise typer.BadParameter(str(error)) from None
    except (OSError, RemoteError) as error:
        typer.echo(f"{address}: {why_not(error)}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{address}: {told}")
