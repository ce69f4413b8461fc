"""`earmark cluster lint` and `earmark cluster check`: what is wrong with a cluster before it is one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import WRONG_USE, fail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from earmark.cluster.files import File, Finding
    from earmark.cluster.inventory import Inventory
    from earmark.config.document import Document

InventoryArgument = Annotated[Path, typer.Argument(metavar="INVENTORY", help="The file that says what there is.")]
FilesOption = Annotated[
    Path | None,
    typer.Option("--files", metavar="DIR", help="Look at the files in this directory, not at freshly rendered ones."),
]


def register(family: typer.Typer) -> None:
    """Add the two commands."""
    family.command("lint")(lint_files)
    family.command("check")(check_files)


def lint_files(inventory: InventoryArgument, files: FilesOption = None) -> None:
    """Say what does not fit together, of what the programs themselves do not say. Exit status 1 where it is refused.

    Each finding is explained in docs/cluster-lint.md. Files are rendered, and looked at, where the inventory is well.
    """
    from earmark.cluster.lint import lint

    read, document = _inventory(inventory)
    of_inventory = lint(read, document)
    if files is None and any(finding.refuses for finding in of_inventory):
        _report(of_inventory)
    else:
        _report(lint(read, document, _files(read, files)))


def check_files(inventory: InventoryArgument, files: FilesOption = None) -> None:
    """Have the real programs look at the files, in namespaces of their own. Exit status 1 where one finds something.

    It takes root, and about ten seconds. What is not installed here is said, and not taken for well.
    """
    from earmark.cluster.check import check
    from earmark.cluster.lint import lint

    read, document = _inventory(inventory)
    if files is None:
        refused = [finding for finding in lint(read, document) if finding.refuses]
        _report(refused or check(read, _files(read, None)))
    else:
        _report(check(read, _files(read, files)))


def _inventory(path: Path) -> "tuple[Inventory, Document]":
    from earmark.cluster.inventory import load_inventory
    from earmark.config import ConfigError

    try:
        return load_inventory(path)
    except ConfigError as error:
        fail(error)


def _files(inventory: "Inventory", directory: Path | None) -> "Mapping[str, File]":
    """Return the files in a directory, or those that the inventory becomes."""
    from earmark.cluster.files import read_files
    from earmark.cluster.render import render

    if directory is None:
        return render(inventory)
    if not directory.is_dir():
        fail(f"{directory}: no such directory", WRONG_USE)
    try:
        return read_files(directory)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{directory}: {error}", WRONG_USE)


def _report(found: "Sequence[Finding]") -> None:
    for finding in found:
        print(finding)
    if any(finding.refuses for finding in found):
        raise typer.Exit(1)
