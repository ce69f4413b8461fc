"""What mail a guest has that nobody else has: what the way back must not forget."""

import re
from typing import Literal, NamedTuple

from earmark.cluster.migration.actions import Command

_POSTFIX_QUEUE = re.compile(
    r"^-- [0-9]+ [KM]?bytes in ([0-9]{1,9}) Requests?\.$", re.ASCII | re.IGNORECASE | re.MULTILINE
)
_SENT = re.compile(r": to=<[^>]{0,320}>, (?:orig_to=<[^>]{0,320}>, )?relay=([^,\s]{1,255}),.{0,200}? status=sent\b")
_OTHER_MACHINE = re.compile(r"\[(?!127\.|::1\])[0-9A-Fa-f.:]{2,45}\]")
"""Of a relay: an address that is not the guest's own."""


class Arrived(NamedTuple):
    """Mail since the move, as far as the log goes."""

    received: int
    """Messages."""
    kept: int
    """Deliveries to mailboxes on the guest itself."""
    passed_on: int
    """Deliveries to other machines: nothing of those is lost with the guest."""


def queue_command(mta: Literal["postfix", "exim"]) -> Command:
    """Return what asks the guest for its queue."""
    return Command(("exim4", "-bpc") if mta == "exim" else ("postqueue", "-p"), "guest")


def queued(output: str, mta: Literal["postfix", "exim"]) -> int | None:
    """Return how many messages wait in a queue, or None where the output does not say."""
    if mta == "exim":
        return int(output) if re.fullmatch(r"[0-9]{1,9}\s*", output, re.ASCII) else None
    if output.strip() == "Mail queue is empty":
        return 0
    found = _POSTFIX_QUEUE.search(output)
    return int(found[1]) if found else None


def arrived(since: str, mta: Literal["postfix", "exim"]) -> Arrived:
    """Count what the log tells of the time since the move."""
    if mta == "exim":
        delivered = re.findall(r"^.{0,60} (?:=>|->) (.*)$", since, re.MULTILINE)
        away = sum(" H=" in line for line in delivered)
        return Arrived(len(re.findall(r"^.{0,60} <= ", since, re.MULTILINE)), len(delivered) - away, away)
    relays = _SENT.findall(since)
    away = sum(bool(_OTHER_MACHINE.search(relay)) for relay in relays)
    received = re.findall(r" postfix(?:/[a-z]+)?/cleanup\[[0-9]+\]: [0-9A-Za-z]+: message-id=", since)
    return Arrived(len(received), len(relays) - away, away)
