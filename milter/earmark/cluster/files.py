"""The files that an inventory becomes: values, and their way to and from a directory."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

LARGEST = 1 << 20
"""Bytes of a file that is read back; the largest that is rendered has 20,000."""


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
    """Write all files below a directory, each whole or not at all. Raises OSError, also for a link out of it."""
    for name, file in files.items():
        path = directory / name
        if not path.parent.resolve().is_relative_to(directory.resolve()):
            raise OSError(f"{name}: a link leads elsewhere")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, file.text.encode(), file.mode)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Write a file, whole or not at all. A link in its place is replaced, and never followed."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as opened:
        opened.write(content)
        os.fchmod(opened.fileno(), mode)
    new.replace(path)


def read_files(directory: Path) -> dict[str, File]:
    """Return what stands below a directory, such as files that somebody has edited since they were rendered.

    Raises OSError where one of them is not a plain file of at most LARGEST bytes, or not text.
    """
    return {
        str(path.relative_to(directory)): _read(path)
        for path in sorted(Path(top, name) for top, _, names in os.walk(directory) for name in names)
    }


def _read(path: Path) -> File:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        status = os.fstat(opened.fileno())
        content = opened.read(LARGEST + 1) if stat.S_ISREG(status.st_mode) else None
    if content is None or len(content) > LARGEST:
        raise OSError(f"{path}: not a plain file of at most {LARGEST} bytes")
    try:
        return File(content.decode(), status.st_mode & 0o777)
    except UnicodeDecodeError:
        raise OSError(f"{path}: not text") from None
