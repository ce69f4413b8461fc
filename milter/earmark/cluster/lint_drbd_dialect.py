"""DRBD 8.4 and 9: each refuses the other's files, and drbdadm takes its dialect from the module that happens to run."""

from collections.abc import Iterator

from earmark.cluster.drbd_files import DrbdFiles, Placed
from earmark.cluster.files import Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.known import known
from earmark.config.problems import did_you_mean, quoted

_PROGRAMS = "/usr/lib/drbd/"
_UNFENCING = {"8.4": ("after-resync-target", "crm-unfence-peer.sh"), "9": ("unfence-peer", "crm-unfence-peer.9.sh")}


def lint_dialect(inventory: Inventory, drbd: DrbdFiles) -> Iterator[Finding]:
    """Find what belongs to the other dialect, and handlers that would not run."""
    if inventory.storage.drbd == "8.4":
        yield from _of_9(drbd)
    else:
        yield from _of_84(drbd)
    yield from _handlers(inventory, drbd)


def _of_9(drbd: DrbdFiles) -> Iterator[Finding]:
    for found in drbd.all("net", "fencing"):
        yield found.finding(
            "drbd-dialect", "8.4 has `fencing` in disk, 9 in net: move it, or set drbd in the inventory"
        )
    for section in drbd.all("options"):
        for statement in section.statement.block:
            if statement.name in known()["drbd"]["options_9"]:
                here = Placed(section.file, statement)
                yield here.finding("drbd-dialect", f"8.4 has no {statement.name}: remove it")
    for found in drbd.all("on", "node-id"):
        yield found.finding("drbd-dialect", "8.4 has no node-id: remove it")
    for name in ("connection-mesh", "connection"):
        for found in drbd.all(name):
            yield found.finding("drbd-dialect", f"8.4 has no {name}: it knows two hosts, each in its `on`")


def _of_84(drbd: DrbdFiles) -> Iterator[Finding]:
    for found in drbd.all("disk", "fencing"):
        yield found.finding(
            "drbd-dialect", "9 has `fencing` in net, 8.4 in disk: move it, or set drbd in the inventory"
        )
    for peer in drbd.all("on"):
        if not any(peer.statement.within("node-id")):
            yield peer.finding("drbd-dialect", f"9 needs a node-id for {peer.value}: 0 and 1")
    promotes = drbd.last("options", "auto-promote")
    if promotes is None or promotes.value != "no":
        reason = "9 promotes whichever host opens the device: set `auto-promote no`, promoting is Pacemaker's"
        yield (promotes or drbd.resources[0]).finding("drbd-auto-promote", reason)


def _handlers(inventory: Inventory, drbd: DrbdFiles) -> Iterator[Finding]:
    dialect = inventory.storage.drbd
    names = [*known()["drbd"]["handlers"], *(known()["drbd"]["handlers_9"] if dialect == "9" else [])]
    for section in drbd.all("handlers"):
        for statement in section.statement.block:
            here = Placed(section.file, statement)
            if statement.name in known()["drbd"]["handlers_9"] and dialect == "8.4":
                yield here.finding("drbd-dialect", f"8.4 has no handler {statement.name}, and never calls it")
            elif statement.name not in names:
                reason = f"there is no handler {statement.name}{did_you_mean(statement.name, names)}"
                yield here.finding("drbd-handler-unknown", reason)
            yield from _program(dialect, here)
    name, program = _UNFENCING[dialect]
    if not any(program in found.value for found in drbd.all("handlers", name)):
        reason = f"after a resync nobody takes the constraint back, and the host stays barred: {name} {program}"
        yield drbd.resources[0].finding("drbd-unfencing-missing", reason)


def _program(dialect: str, handler: Placed) -> Iterator[Finding]:
    program = handler.value.partition(" ")[0]
    base = program.removeprefix(_PROGRAMS)
    if not program.startswith(_PROGRAMS):
        reason = f"{quoted(program)} is none of {_PROGRAMS}: see that it is there on both hosts"
        yield handler.finding("drbd-handler-path", reason, refuses=False)
    elif base not in known()["drbd"]["programs"]:
        hint = did_you_mean(base, known()["drbd"]["programs"])
        yield handler.finding("drbd-handler-path", f"drbd-utils has no {program}{hint}: the handler would fail")
    elif base.startswith("crm-") and base.endswith(".9.sh") != (dialect == "9"):
        reason = f"{base} is for the other dialect, and fails under {dialect}"
        yield handler.finding("drbd-dialect", reason)
