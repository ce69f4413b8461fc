"""Before the way back: mail that only the guest has must not stay behind unseen."""

from collections.abc import Callable

from earmark.cluster.migration.actions import Command
from earmark.cluster.migration.arrived import arrived, queue_command, queued
from earmark.cluster.migration.execution import World
from earmark.cluster.migration.journal import State
from earmark.cluster.migration.request import Request
from earmark.cluster.migration.steps_copy import stopped
from earmark.cluster.migration.verify import log_since


def only_there(request: Request, state: State, world: World, say: Callable[[str], None]) -> str:
    """Return why the guest cannot be given up yet, or "" and its MTA is stopped. Says what came since the move."""
    if not request.guest.at or request.guest.at.startswith("/"):
        return "[guest] at names no machine that ssh reaches, so that its queue cannot be seen"
    mta = request.source.mta
    if "log-last" in state.notes:
        since = log_since(request, state, world)
        if not since or not since.startswith(state.notes["log-last"]):
            return "the source's last line is not in the guest's log, so that mail since the move cannot be counted"
        seen = arrived(since, mta)
        say(f"since the move: {seen.received} messages received, {seen.passed_on} deliveries to other machines,")
        say(f"{seen.kept} to mailboxes in the guest")
        if seen.kept:
            return "mailboxes in the guest have mail that the source has not: copy it"
    waiting = _waiting(request, world)
    if waiting:
        return waiting
    unit = stopped(request)[0]
    world.run(Command(("service", unit, "stop"), "guest", seconds=300))
    came = _waiting(request, world)
    if came:
        world.run(Command(("service", unit, "start"), "guest", seconds=300))
    return came


def _waiting(request: Request, world: World) -> str:
    """Return what stands in the queue, as a reason not to go back; "" where it is empty."""
    mta = request.source.mta
    answer = world.run(queue_command(mta))
    number = queued(answer.output, mta) if answer.status == 0 else None
    if number is None:
        return f"the guest's queue cannot be seen ({(answer.errors or answer.output).strip()[-200:]})"
    flush = "exim4 -qff" if mta == "exim" else "postqueue -f"
    return f"{number} messages wait in the guest's queue: {flush} there, or move them" if number else ""
