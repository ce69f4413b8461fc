"""`earmark probe`: does a milter answer at this socket? A whole option negotiation, as an MTA does it."""

import socket
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
    from earmark.wire import RemoteError

    try:
        told = _negotiate(address, timeout)
    except (OSError, RemoteError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        typer.echo(f"{address}: {reason}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{address}: {told}")


def _negotiate(address: str, timeout: float) -> str:
    """Return what was agreed, in words. Raises OSError (TimeoutError too), or RemoteError where it is no milter."""
    import time

    from earmark.wire import RemoteError
    from earmark.wire.milter import Command, packet
    from earmark.wire.milter_mta import MtaSide

    deadline = time.monotonic() + timeout
    side = MtaSide()
    with _connect(address, timeout) as connected:
        connected.sendall(side.negotiate())
        while side.agreed is None:
            connected.settimeout(max(deadline - time.monotonic(), 0.001))
            data = connected.recv(4096)
            if not data:
                raise RemoteError("closed without an answer")
            if side.feed(data) and side.agreed is None:
                raise RemoteError("answered something else than negotiation")
        connected.sendall(packet(Command.QUIT))
    agreed = side.agreed
    return f"milter version {agreed.version}, actions {agreed.actions.name or 'none'}"


def _connect(address: str, timeout: float) -> socket.socket:
    kind, _, place = address.partition(":")
    if kind == "unix" and place:
        connecting = socket.socket(socket.AF_UNIX)
        try:
            connecting.settimeout(timeout)
            connecting.connect(place)
        except OSError:
            connecting.close()
            raise
        return connecting
    host, _, port = place.rpartition(":")
    if kind != "inet" or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise typer.BadParameter(f"{address!r} is neither unix:/path nor inet:host:port")
    return socket.create_connection((host.strip("[]"), int(port)), timeout)
