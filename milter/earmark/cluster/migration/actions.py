"""What a plan consists of: steps and their actions, as values."""

import hashlib
import shlex
from collections.abc import Callable  # noqa: TC003 - a NamedTuple keeps its annotations
from functools import partial
from typing import Literal, NamedTuple

Where = Literal["here", "source", "guest"]
WEEK = 604_800.0


class Command(NamedTuple):
    """A program and its words. Never a line for a shell."""

    words: tuple[str, ...]
    on: Where = "here"
    seconds: float = 120.0
    """How long it may take."""
    statuses: tuple[int, ...] = (0,)
    """Exit statuses that are as good as 0. 255 is also what ssh says for itself."""
    stdin: str = ""
    shows_progress: bool = False
    """Prints rsync's --info=progress2."""

    def __str__(self) -> str:
        fed = f"  <<< {self.stdin!r}" if self.stdin else ""
        return ("" if self.on == "here" else f"[{self.on}] ") + shlex.join(self.words) + fed


class Demand(NamedTuple):
    """A command that changes nothing, and must end so before anything goes on."""

    command: Command
    why: str
    """What it means when it ends otherwise."""

    def __str__(self) -> str:
        return f"demand: {self.command} (status {'/'.join(map(str, self.command.statuses))})"


class Await(NamedTuple):
    """A command that changes nothing, asked again until it ends so."""

    command: Command
    seconds: float
    why: str

    def __str__(self) -> str:
        expected = "/".join(map(str, self.command.statuses))
        return f"wait up to {self.seconds:g} s: {self.command} (status {expected})"


class Note(NamedTuple):
    """A command whose output the journal keeps under a name."""

    name: str
    command: Command

    def __str__(self) -> str:
        return f"note {self.name}: {self.command}"


class Edit(NamedTuple):
    """A text file below `root` that becomes what a pure function makes of it."""

    root: str
    path: str
    change: "partial[str] | Callable[[str], str]"
    create: bool = False
    """False leaves a file alone that is not there."""

    def __str__(self) -> str:
        if isinstance(self.change, partial):
            knobs = ", ".join(f"{name}={value}" for name, value in self.change.keywords.items())
            return f"edit {self.root}{self.path}: {self.change.func.__name__}({knobs})"
        return f"edit {self.root}{self.path}: {self.change.__name__}"


class Link(NamedTuple):
    """A symbolic link below `root`; what stood there is replaced."""

    root: str
    path: str
    to: str

    def __str__(self) -> str:
        return f"link {self.root}{self.path} -> {self.to}"


class Remove(NamedTuple):
    """A file or link below `root` that is removed where it is there."""

    root: str
    path: str

    def __str__(self) -> str:
        return f"remove {self.root}{self.path}"


class ByHand(NamedTuple):
    """What is left to a person, because it destroys, or cannot be done from here."""

    words: str

    def __str__(self) -> str:
        return f"by hand: {self.words}"


Action = Command | Demand | Await | Note | Edit | Link | Remove
Undo = Command | Await | ByHand


class Look(NamedTuple):
    """How to see that something is so: the command ends with 0, and a line of its output begins with one of these."""

    command: Command
    shows: tuple[str, ...] = ()

    def seen_in(self, output: str) -> bool:
        """Whether the output of a command that ended with 0 shows it."""
        return not self.shows or any(line.strip().startswith(self.shows) for line in output.splitlines())

    def __str__(self) -> str:
        return f"{self.command}" + (f" shows {' or '.join(self.shows)}" if self.shows else "")


class Step(NamedTuple):
    """One step. Run twice it does no more than run once."""

    name: str
    about: str
    actions: tuple[Action, ...]
    look: Look | None = None
    """How to see that it is done; None where the journal alone knows."""
    undo: tuple[Undo, ...] = ()
    ended_by: str = ""
    """The step that ends what this one brings about (a mount); until then it must stand, also after a restart. "never":
    to the end."""
    outage: bool = False
    """Whether mail is down from here on."""
    advice: str = ""
    """What to do when it fails."""

    @property
    def digest(self) -> str:
        """Names what the step does: the same where its actions are."""
        return hashlib.sha256("\n".join(map(str, self.actions)).encode()).hexdigest()[:16]


Plan = tuple[Step, ...]
