"""What is looked at once the guest runs: network, mail, services, and a log that goes on."""

import smtplib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from earmark.cluster.migration.actions import Command, Where
from earmark.cluster.migration.continuity import continued
from earmark.cluster.migration.execution import World
from earmark.cluster.migration.facts import Facts
from earmark.cluster.migration.journal import State
from earmark.cluster.migration.request import Request
from earmark.cluster.migration.smtp import BoundedClient
from earmark.cluster.migration.steps_copy import stopped

_PAUSE = 2.0
_BANNER_WITHIN = 15.0
_PROBE_WITHIN = 60.0
_MOST_DIGITS = 20
_NO_SIZE = "the journal does not say how long the source's log was"


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    well: bool | None
    """None where it could not be looked at."""
    said: str


def checks(request: Request, facts: Facts, state: State, world: World, *, port: int = 25) -> Iterator[Check]:
    """Look at everything, one thing after the other."""
    address = request.guest.address
    if address is None:
        yield Check("network", None, "[guest] address is not set")
    elif request.is_new:
        yield _patiently(world, request.guest.boot, lambda: _network(str(address), world))
    else:
        yield _network(str(address), world)
        banner = _patiently(world, request.guest.boot, lambda: greeting(str(address), port))
        yield banner
        if request.guest.probe and banner.well:
            yield deliver(str(address), port, request.guest.probe)
    if request.is_new:
        return
    yield from _services(request, facts, world)
    yield _log(request, state, world)


def _network(address: str, world: World) -> Check:
    pinged = world.run(Command(("ping", "-c", "3", "-W", "2", address)))
    return Check("network", pinged.status == 0, f"{address} {'answers' if pinged.status == 0 else 'is silent'}")


def greeting(address: str, port: int) -> Check:
    """Ask an SMTP server for its banner (RFC 5321, 3.1)."""
    try:
        with BoundedClient(_BANNER_WITHIN) as server:
            code, words = server.connect(address, port)
    except (OSError, smtplib.SMTPException) as error:
        return Check("banner", False, f"{address} port {port}: {error}")
    return Check("banner", code == 220, f"{code} {words.decode(errors='replace')}")


def deliver(address: str, port: int, recipient: str) -> Check:
    """Hand over one message from the null sender, as a stranger would."""
    message = f"From: <{recipient}>\r\nTo: <{recipient}>\r\nSubject: the move is done\r\n\r\nMail comes through.\r\n"
    try:
        with BoundedClient(_PROBE_WITHIN) as server:
            server.connect(address, port)
            server.sendmail("", [recipient], message)
    except smtplib.SMTPRecipientsRefused as refused:
        return Check("probe message", False, str(refused.recipients[recipient]))
    except (OSError, smtplib.SMTPException) as error:
        return Check("probe message", False, str(error))
    return Check("probe message", True, f"taken for {recipient}")


def _patiently(world: World, seconds: float, look: Callable[[], Check]) -> Check:
    deadline = world.now() + seconds
    while not (seen := look()).well and world.now() < deadline:
        world.wait(_PAUSE)
    return seen


def _services(request: Request, facts: Facts, world: World) -> Iterator[Check]:
    if not request.guest.at or request.guest.at.startswith("/"):
        yield Check("services", None, "[guest] at names no machine that ssh reaches")
        return
    for name in stopped(request):
        words = ("systemctl", "is-active", name) if facts.systemd else (f"/etc/init.d/{name}", "status")
        answer = world.run(Command(words, "guest"))
        yield Check(name, answer.status == 0, (answer.output or answer.errors).strip()[:200])


def _log(request: Request, state: State, world: World) -> Check:
    if "log-last" not in state.notes or not request.guest.at:
        return Check("log", None, "[guest] at is not set, or the source's log was not")
    since = log_since(request, state, world)
    if since is None:
        return Check("log", False, _NO_SIZE)
    return Check("log", *continued(state.notes["log-last"], since))


def log_since(request: Request, state: State, world: World) -> str | None:
    """Return the guest's log from the source's last line on, also where it has been rotated once since.

    None where the journal does not say how long the source's log was.
    """
    last = state.notes.get("log-last", "")
    size = state.notes.get("log-size", "").strip()
    if not (size.isascii() and size.isdigit() and len(size) < _MOST_DIGITS):
        return None
    begin = max(1, int(size) - len(last.encode("utf-8", "surrogateescape")) + 1)
    inside = request.guest.at.startswith("/")
    on: Where = "here" if inside else "guest"
    log = f"{request.guest.at if inside else ''}{request.source.log}"

    def read(name: str, from_byte: int) -> str:
        return world.run(Command(("tail", "-c", f"+{from_byte}", name), on)).output

    now = read(log, begin)
    if now.startswith(last):
        return now
    rotated = read(f"{log}.1", begin)
    return rotated + read(log, 1) if rotated.startswith(last) else now
