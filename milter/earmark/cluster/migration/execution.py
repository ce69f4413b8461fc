"""Where a plan meets the world: processes here and by ssh, and files below a mounted root."""

import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from earmark.cluster.migration.actions import Command, Edit, Link, Remove, Where
from earmark.cluster.migration.facts import Answer
from earmark.cluster.migration.processes import run_process
from earmark.cluster.migration.ssh import by_ssh

_MOST_OF_A_LINE = 4096
_MOST_OF_A_FILE = 1 << 20


class World(Protocol):
    """What a runner needs of the world."""

    def run(self, command: Command, hears: Callable[[str], None] | None = None) -> Answer:
        """Run a command to its end, or its deadline. `hears` gets its lines as they come."""

    def change(self, action: Edit | Link | Remove) -> str:
        """Change a file; return why it could not be done, or ""."""

    def now(self) -> float:
        """Return seconds of a clock that only goes on."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""


class Machines:
    """The world as it is."""

    def __init__(self, places: Mapping[Where, str]) -> None:
        """`places` says how ssh reaches what is not here."""
        self._places = places

    def run(self, command: Command, hears: Callable[[str], None] | None = None) -> Answer:
        """Run a command. 124 is a deadline that went by, 127 a program that is not there."""
        words = command.words if command.on == "here" else by_ssh(self._places[command.on], command.words)
        try:
            return _run(words, command, hears)
        except OSError as error:
            return Answer(127, "", f"{words[0]}: {error.strerror}")

    def change(self, action: Edit | Link | Remove) -> str:
        """Change a file below a root, unless a link leads out of it."""
        path = Path(action.root + action.path)
        try:
            _assert_inside(Path(action.root), path.parent if isinstance(action, Link | Remove) else path)
            match action:
                case Edit():
                    _edit(path, action)
                case Link():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)
                    path.symlink_to(action.to)
                case Remove():
                    path.unlink(missing_ok=True)
        except OSError as error:
            return f"{path}: {error.strerror or error}"
        return ""

    def now(self) -> float:
        """Return seconds of the monotonic clock."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


def _run(words: tuple[str, ...], command: Command, hears: Callable[[str], None] | None) -> Answer:
    lines = _Lines(hears) if hears else None
    ended = run_process(words, command.stdin.encode(), command.seconds, lines.add if lines else None)
    return Answer(ended.status, _text(ended.output), _text(ended.errors))


class _Lines:
    """Lines out of what comes in pieces; they end with CR where a program writes over them."""

    def __init__(self, hears: Callable[[str], None]) -> None:
        self._hears = hears
        self._begun = b""

    def add(self, chunk: bytes) -> None:
        *lines, begun = (self._begun + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._hears(_text(line))
        self._begun = begun[:_MOST_OF_A_LINE]


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")


def _assert_inside(root: Path, path: Path) -> None:
    """Raise OSError where an absolute link in the copied tree leads to this host's own file."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise OSError(f"a link leads out of {root}: edit it by hand")


def _plain(path: Path) -> bytes:
    """Return what a file holds. Raises OSError: a pipe or a device in its place would not end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        content = opened.read(_MOST_OF_A_FILE + 1) if stat.S_ISREG(os.fstat(opened.fileno()).st_mode) else None
    if content is None or len(content) > _MOST_OF_A_FILE:
        raise OSError(f"not a plain file of at most {_MOST_OF_A_FILE} bytes: edit it by hand")
    return content


def _edit(path: Path, action: Edit) -> None:
    """Change a text file, byte for byte the same but for what changes; whole or not at all."""
    try:
        before = _plain(path)
    except FileNotFoundError:
        if not action.create:
            return
        before = b""
    after = action.change(before.decode("ascii", "surrogateescape")).encode("ascii", "surrogateescape")
    if after == before:
        return
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.earmark")
    new.unlink(missing_ok=True)  # in the copy it may be a link that leads out of it
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as opened:
        opened.write(after)
        if target.exists():
            status = target.stat()
            os.fchown(opened.fileno(), status.st_uid, status.st_gid)
            os.fchmod(opened.fileno(), status.st_mode & 0o7777)
        else:
            os.fchmod(opened.fileno(), 0o644)
    new.replace(target)
