"""What is wrong with a cluster's inventory, and with its files, of all that the programs themselves do not say."""

from collections.abc import Callable, Iterator

from earmark.cluster.files import Files, Finding
from earmark.cluster.inventory import Inventory
from earmark.cluster.lint_addresses import lint_addresses
from earmark.cluster.lint_cib import lint_cib
from earmark.cluster.lint_corosync import lint_corosync
from earmark.cluster.lint_drbd import lint_drbd
from earmark.cluster.lint_fencing import lint_fencing
from earmark.cluster.lint_guest import lint_guest
from earmark.cluster.lint_host import lint_host
from earmark.cluster.lint_inventory import At, lint_machines
from earmark.cluster.lint_secrets import lint_secrets
from earmark.cluster.lint_timers import lint_timers
from earmark.config.document import Document
from earmark.config.problems import one_line

_OF_INVENTORY: tuple[Callable[[Inventory, At], Iterator[Finding]], ...] = (
    lint_machines,
    lint_addresses,
    lint_fencing,
    lint_timers,
)
_OF_FILES: tuple[Callable[[Inventory, Files], Iterator[Finding]], ...] = (
    lint_corosync,
    lint_drbd,
    lint_cib,
    lint_guest,
    lint_host,
    lint_secrets,
)


def lint(inventory: Inventory, document: Document, files: Files | None = None) -> list[Finding]:
    """Return all findings: those of the inventory first, then those of the files. None looks at the inventory alone.

    Each code is explained in docs/cluster-lint.md.
    """

    def at(*path: str | int) -> str:
        line, column = document.position(path)
        return f"{document.name}:{line}:{column}"

    found = [finding for look in _OF_INVENTORY for finding in look(inventory, at)]
    if files is not None:
        found += [finding for look in _OF_FILES for finding in look(inventory, files)]
    return list(dict.fromkeys(map(_shown, found)))


def _shown(finding: Finding) -> Finding:
    """Return a finding for a terminal: what stands in a file, and its name, may be anybody's."""
    return finding._replace(where=one_line(finding.where), reason=one_line(finding.reason))
