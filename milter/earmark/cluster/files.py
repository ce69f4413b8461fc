"""The files that an inventory becomes: values, and their way to and from a directory."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """A rendered file."""

    text: str
    mode: int = 0o644


Files = Mapping[str, File]
"""By "MACHINE/path/from/root", such as "hosta/etc/corosync/corosync.conf". What concerns no machine by itself stands
below "cluster/": "cluster/cib.xml"; what goes into the guest below "guest/"."""


class Finding(NamedTuple):
    """Something that lint or a real tool found."""

    where: str
    """A rendered file, with ":LINE" where there is one, or the place in the inventory (file:line:column)."""
    code: str
    """A short name of the defect, such as "stonith-off"; documented in docs/cluster-lint.md."""
    reason: str
    refuses: bool = True
    """False for what may be meant so: shown, and rendered all the same."""

    def __str__(self) -> str:
        return f"{self.where}: {'' if self.refuses else 'warning: '}{self.code}: {self.reason}"


def write_files(files: Files, directory: Path) -> None:
    """Write all files below a directory, each whole or not at all."""
    for name, file in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(file.text, encoding="utf-8")
        new.chmod(file.mode)
        new.replace(path)


def read_files(directory: Path) -> dict[str, File]:
    """Return what stands below a directory, such as files that somebody has edited since they were rendered."""
    return {
        str(path.relative_to(directory)): File(path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777)
        for path in sorted(Path(top, name) for top, _, names in os.walk(directory) for name in names)
    }
