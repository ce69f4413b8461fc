"""The messages of the quarantine: one file each, named by the id of the verdict that holds it (docs/quarantine.md).

A file begins with one line of JSON that says who sent it, to whom it was not delivered and why; what follows is the
message as it came. So a file explains itself, and the index can be made again from the files.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from earmark.core.held import Held, HeldRecipient
from earmark.serial import decode, encode, encode_ascii
from earmark.stores.sqlite import StoreError

SCHEMA = 1
"""Rises when an older program could misread a newer file."""

_ID = re.compile(r"[0-9A-Z]{12}", re.ASCII)
_NEW = ".new"
"""How the names of files end that are being written."""
_LINE_AT_MOST = 16 * 1024 * 1024
"""Bytes of the line of JSON: far more than the recipients of a message can bring about."""
_FORGOTTEN_AFTER = 3600.0
"""Seconds after which nobody is writing a file any more."""


class Stored(NamedTuple):
    """A message that is held, open for reading."""

    held: Held
    file: BinaryIO
    """At the first byte of the message."""
    size: int
    """Bytes of the message."""


class NewFile:
    """A file that is being written. It has its name only when all of it is on the disk."""

    def __init__(self, directory: Path, held: Held) -> None:
        """Begin to write. Raises OSError, and ValueError for what JSON cannot hold."""
        first_line = _first_line(held)
        make_directory(directory)
        self._directory = directory
        self._path = directory / held.id
        self._written_at = self._path.with_suffix(_NEW)
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._written_at, how, 0o600), "wb", buffering=0)
        self.size = 0
        """Bytes of the message so far."""
        try:
            self._write(first_line)
        except OSError:
            self.discard()
            raise

    def write(self, piece: bytes) -> None:
        """Write the next piece of the message. Raises OSError."""
        self._write(piece)
        self.size += len(piece)

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]

    def keep(self) -> None:
        """Return when the file is on the disk, by its name. Raises OSError."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._written_at.rename(self._path)
        _sync(self._directory)

    def discard(self) -> None:
        """Leave nothing behind, whatever has been done so far. Raises OSError."""
        with suppress(OSError):  # that it cannot be closed is why it goes
            self._file.close()
        self._written_at.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)


def make_directory(directory: Path) -> None:
    """Make the directory where it is not there yet: mail is nothing for others to read. Raises OSError."""
    if not directory.is_dir():
        with suppress(FileExistsError):  # another worker was faster
            directory.mkdir(mode=0o700)
        _sync(directory.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_id(text: str) -> bool:
    """Return whether this may be the id of a verdict, and so the name of a file."""
    return _ID.fullmatch(text) is not None


def ids(directory: Path) -> set[str]:
    """Return the ids of the messages that are there. Raises OSError."""
    return {path.name for path in directory.iterdir() if is_id(path.name)}


@contextmanager
def opened(directory: Path, message_id: str) -> Iterator[Stored]:
    """Open a message. Raises StoreError where it is not there, or is none of ours."""
    path = directory / message_id
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        line = file.readline(_LINE_AT_MOST)
        held = _held(path, line)
        yield Stored(held, file, os.fstat(descriptor).st_size - len(line))


def is_there(directory: Path, message_id: str) -> bool:
    """Return whether the message's file is there."""
    return (directory / message_id).exists()


def remove(directory: Path, message_id: str) -> None:
    """Remove a message, where it is there. Raises OSError."""
    (directory / message_id).unlink(missing_ok=True)


def remove_unfinished(directory: Path, now: float) -> None:
    """Remove what a process left half written when it was killed. Raises OSError."""
    for path in directory.glob(f"*{_NEW}"):
        with suppress(FileNotFoundError):  # it has got its name
            if path.stat().st_mtime < now - _FORGOTTEN_AFTER:
                path.unlink()


def _first_line(held: Held) -> bytes:
    recipients = [recipient._asdict() for recipient in held.recipients]
    return encode_ascii({"v": SCHEMA, **held._asdict(), "recipients": recipients}) + b"\n"


def _held(path: Path, line: bytes) -> Held:
    try:
        told = decode(line, dict[str, Any])
        if told.get("v") != SCHEMA:
            raise StoreError(f"{path}: version {told.get('v')!r} is not one that this program reads ({SCHEMA})")
        recipients = [[one[name] for name in HeldRecipient._fields] for one in told["recipients"]]
        return decode(encode([*(told[name] for name in Held._fields[:-1]), recipients]), Held)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: is no message of the quarantine") from error
