"""Runbooks: what an administrator types on which machine, made from the inventory.

They are Markdown, and a program can read them too: each block of commands names its machine, so that the laboratories
run the very lines that stand in the text.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from earmark.cluster.cib import DRBD_DEVICE, SERVICE, STORAGE, STORAGE_CLONE, device_id, guest_definition
from earmark.cluster.files import File
from earmark.cluster.inventory import Host, Inventory
from earmark.cluster.templates import fill

NAMES = ("install", "planned-move", "fence-test", "split-brain", "disk-replacement", "growing", "upgrade")
_BLOCK = re.compile(r"^```sh (?P<machine>[a-z0-9-]+)\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL)


class Command(NamedTuple):
    """A line of a runbook."""

    machine: str
    """Where it is typed: a host, the arbitrator, the guest, or "here", where the inventory and Ansible are."""
    line: str
    """For a POSIX shell, as root."""


def render_runbooks(inventory: Inventory) -> dict[str, File]:
    """Return all runbooks, by "cluster/runbooks/NAME.md"."""
    return {f"cluster/runbooks/{name}.md": File(_runbook(inventory, name)) for name in NAMES}


def commands(runbook: str, heading: str = "") -> Iterator[Command]:
    """Yield the commands of a runbook in their order: all of them, or those of one section, by its heading."""
    text = _section(runbook, heading) if heading else runbook
    for block in _BLOCK.finditer(text):
        for line in block["lines"].replace("\\\n", " ").splitlines():
            if line and not line.startswith("#"):
                yield Command(block["machine"], " ".join(line.split()))


def _section(runbook: str, heading: str) -> str:
    _, found, after = runbook.partition(f"\n## {heading}\n")
    if not found:
        raise KeyError(heading)
    return after.partition("\n## ")[0]


def _runbook(inventory: Inventory, name: str) -> str:
    first, second = inventory.hosts
    active = inventory.host(inventory.prefer) if inventory.prefer else first
    return fill(
        f"runbooks/{name}.md",
        inventory=inventory,
        active=active,
        passive=second if active is first else first,
        service=inventory.guest or inventory.group,
        mail=inventory.guest.name if inventory.guest else active.name,
        resource=SERVICE,
        storage=STORAGE,
        storage_clone=STORAGE_CLONE,
        device=DRBD_DEVICE,
        definition=guest_definition(inventory.guest) if inventory.guest else "",
        fencing={
            host.name: [device_id(host, level + 1) for level in range(len(host.fencing))] for host in inventory.hosts
        },
    )


def _devices(host: Host) -> list[str]:
    return [device_id(host, level + 1) for level in range(len(host.fencing))]
