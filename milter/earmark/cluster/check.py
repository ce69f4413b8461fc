"""What the real programs say of a cluster's files, each in namespaces of its own: this machine is not touched."""

import shutil
from collections.abc import Iterator

from earmark.cluster import namespaces
from earmark.cluster.check_cib import check_cib
from earmark.cluster.check_host import TOOLS as HOST_TOOLS
from earmark.cluster.check_host import check_machine
from earmark.cluster.files import File, Files, Finding
from earmark.cluster.inventory import Inventory

_TOOLS = {**HOST_TOOLS, "crm_verify": "pacemaker-cli-utils"}


def missing() -> list[str]:
    """Return what keeps a part of the files from being looked at here, each with what to do; [] where all is there."""
    lacking = [
        f"{tool}: install the Debian package {package}"
        for tool, package in {**_TOOLS, "unshare": "util-linux", "ip": "iproute2"}.items()
        if not _is_there(tool)
    ]
    impossible = namespaces.impossible()
    return [*lacking, *filter(None, [impossible])]


def check(inventory: Inventory, files: Files) -> list[Finding]:
    """Return what the programs find wrong. What could not be looked at is a finding too, "not-checked"."""
    impossible = namespaces.impossible()
    if impossible:
        return [Finding("check", "not-checked", f"{impossible}: run it as root, where namespaces are allowed")]
    return list(dict.fromkeys([*_absent(), *_found(inventory, files)]))


def _absent() -> Iterator[Finding]:
    for tool, package in _TOOLS.items():
        if not _is_there(tool):
            yield Finding("check", "not-checked", f"{tool} is not here: install the Debian package {package}")


def _is_there(tool: str) -> bool:
    return shutil.which(tool, path=namespaces.PATH) is not None


def _found(inventory: Inventory, files: Files) -> Iterator[Finding]:
    for name in sorted({path.partition("/")[0] for path in files} - {"cluster"}):
        own = {path.removeprefix(f"{name}/"): file for path, file in files.items() if path.startswith(f"{name}/")}
        yield from _on(inventory, name, own)
    if _is_there("crm_verify"):
        yield from check_cib(inventory, files)


def _on(inventory: Inventory, name: str, own: dict[str, File]) -> Iterator[Finding]:
    present = frozenset(filter(_is_there, HOST_TOOLS))
    for finding in check_machine(inventory, name, own, present):
        yield finding._replace(where=f"{name}/{finding.where}")
