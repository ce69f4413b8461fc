"""One host's DRBD files together: what holds for its resource, and where each statement stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from earmark.cluster.drbd_conf import Statement
from earmark.cluster.files import Finding


class Placed(NamedTuple):
    """A statement and the file that it stands in."""

    file: str
    statement: Statement

    @property
    def value(self) -> str:
        """The statement's second word."""
        return self.statement.value

    def finding(self, code: str, reason: str, *, refuses: bool = True) -> Finding:
        """Return a finding with the statement's place."""
        return Finding(f"{self.file}:{self.statement.line}", code, reason, refuses)


@dataclass(frozen=True, slots=True)
class DrbdFiles:
    """By file: what it says, each file's whole as one statement."""

    read: Mapping[str, Statement]

    @property
    def resources(self) -> list[Placed]:
        """The resources; there is always one."""
        return [Placed(name, found) for name, root in self.read.items() for found in root.within("resource")]

    def all(self, *path: str) -> list[Placed]:
        """Return the statements at a path of first words below `common` or a resource, those of resources last.

        So the last one holds where a statement can stand but once.
        """
        return [
            Placed(name, found)
            for top in ("common", "resource")
            for name, root in self.read.items()
            for found in root.within(top, *path)
        ]

    def last(self, *path: str) -> Placed | None:
        """Return the statement that holds."""
        found = self.all(*path)
        return found[-1] if found else None

    def number(self, default: int, *path: str) -> int:
        """Return the number that holds, or DRBD's default."""
        found = self.last(*path)
        text = found.value if found else ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default
