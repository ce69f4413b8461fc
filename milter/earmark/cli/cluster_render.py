"""`earmark cluster render`: the files of an inventory, on disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earmark.cli.exits import fail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from earmark.cluster.files import File


def register(family: typer.Typer) -> None:
    """Add the command."""
    family.command()(render)


def render(
    inventory: Annotated[Path, typer.Argument(metavar="INVENTORY", help="The file that says what there is.")],
    to: Annotated[Path, typer.Option("--to", help="Directory for the files, by machine.")],
) -> None:
    """Write the files of all machines, and say which of them are new or changed.

    What lint refuses is printed, and nothing is written. What stands in the directory and belongs to no machine of the
    inventory any more is named, and stays.
    """
    from earmark.cluster.files import read_files, write_files
    from earmark.cluster.inventory import load_inventory
    from earmark.cluster.lint import lint
    from earmark.cluster.render import render
    from earmark.config import ConfigError

    try:
        read, document = load_inventory(inventory)
    except ConfigError as error:
        fail("\n".join(error.lines))
    files: Mapping[str, File] = {}
    findings = lint(read, document)
    if not any(finding.refuses for finding in findings):  # else there may be no files to make of it
        files = render(read)
        findings = lint(read, document, files)
    for finding in findings:
        typer.echo(finding, err=True)
    if any(finding.refuses for finding in findings):
        fail("nothing was written")
    try:
        before = read_files(to)
        write_files(files, to)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{to}: {error}")
    _tell(before, files)


def _tell(before: "Mapping[str, File]", files: "Mapping[str, File]") -> None:
    for name in sorted(before.keys() | files.keys()):
        if name not in files:
            print(f"left over  {name}")
        elif name not in before:
            print(f"new        {name}")
        elif before[name] != files[name]:
            print(f"changed    {name}")
    same = sum(before.get(name) == file for name, file in files.items())
    print(f"{len(files)} files, {same} of them unchanged")
