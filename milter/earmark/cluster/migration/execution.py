"""Where a plan meets the world: processes here and by ssh, and files below a mounted root."""

import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from earmark.cluster.migration.actions import Command, Edit, Link, Remove, Where
from earmark.cluster.migration.facts import Answer
from earmark.cluster.migration.ssh import by_ssh

TIMED_OUT = 124
_MOST_OUTPUT = 1 << 20


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
    with subprocess.Popen(  # noqa: S603 - a list of words, never a line for a shell
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
    ) as process:
        if hears is None:
            try:
                output, errors = process.communicate(command.stdin.encode(), timeout=command.seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                return Answer(TIMED_OUT, "", f"did not end within {command.seconds:g} s")
            return Answer(process.returncode, _text(output), _text(errors))
        return _heard(process, command.seconds, hears)


def _heard(process: "subprocess.Popen[bytes]", seconds: float, hears: Callable[[str], None]) -> Answer:
    """Hand on the lines of a process as they come; they end with CR where it writes over them."""
    assert process.stdin is not None  # noqa: S101 - they are pipes
    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    process.stdin.close()
    said: list[bytes] = []
    aside = threading.Thread(target=lambda stream: said.append(stream.read()), args=(process.stderr,))
    deadline = threading.Timer(seconds, process.kill)
    aside.start()
    deadline.start()
    rest = b""
    while chunk := os.read(process.stdout.fileno(), 65536):
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            hears(_text(line))
        rest = rest[:_MOST_OUTPUT]
    status = process.wait()
    deadline.cancel()
    aside.join()
    return Answer(status, "", _text(b"".join(said)))


def _text(output: bytes) -> str:
    return output[:_MOST_OUTPUT].decode("utf-8", "surrogateescape")


def _assert_inside(root: Path, path: Path) -> None:
    """Raise OSError where an absolute link in the copied tree leads to this host's own file."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise OSError(f"a link leads out of {root}: edit it by hand")


def _plain(path: Path) -> bytes:
    """Return what a file holds. Raises OSError: a pipe or a device in its place would not end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        content = opened.read(_MOST_OUTPUT + 1) if stat.S_ISREG(os.fstat(opened.fileno()).st_mode) else None
    if content is None or len(content) > _MOST_OUTPUT:
        raise OSError(f"not a plain file of at most {_MOST_OUTPUT} bytes: edit it by hand")
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
