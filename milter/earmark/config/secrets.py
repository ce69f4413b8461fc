"""What nobody else may know: the customer's keys of lists such as Spamhaus DQS, and the password of the store.

Each stands in a file of its own, and is kept nowhere else. They are read apart from the configuration, by who uses
them. A Generation holds none: its files are kept in the history and handed from process to process.
"""

import os
import re
import stat
from pathlib import Path

from earmark.config.document import Document, parse
from earmark.config.problems import Problem
from earmark.config.settings import Generation

_KEY = re.compile(rb"[a-z0-9]{8,63}\s*")
_PASSWORD = re.compile(rb"[!-~]{1,128}\s*")
_LONGEST = 200


def read_keys(generation: Generation) -> tuple[dict[str, str], list[Problem]]:
    """Return the keys of all lists in rules/, by the list's name, and what is wrong where one cannot be had.

    A list that no policy asks yet is looked at too: what is wrong shows when its rules are written. No problem's text
    holds anything of a file's content.
    """
    keys: dict[str, str] = {}
    problems: list[Problem] = []
    for zone, file in generation.key_files.items():
        try:
            keys[zone] = read_key(Path(file))
        except OSError as error:
            problems.append(_problem(generation, zone, f"cannot read {file}: {error.strerror}"))
        except ValueError as error:
            problems.append(_problem(generation, zone, f"{file} {error}"))
    return keys, problems


def store_password(generation: Generation) -> tuple[str, list[Problem]]:
    """Return the password of the store, "" for none, and what is wrong where it cannot be had."""
    settings = generation.server.store
    if not settings.password_file:
        return "", []
    try:
        content = _read_private(Path(settings.password_file))
    except OSError as error:
        reason = f"cannot read {settings.password_file}: {error.strerror}"
    except ValueError as error:
        reason = f"{settings.password_file} {error}"
    else:
        if _PASSWORD.fullmatch(content):
            return content.decode("ascii").strip(), []
        reason = f"{settings.password_file} holds no password, which is one line of 1 to 128 visible ASCII characters"
    place = generation.server.places["store.password_file"]
    return "", [Problem(place.file, place.line, 1, "store.password_file", reason)]


def read_key(path: Path) -> str:
    """Return the key in a file. Raises OSError, and ValueError where others may read it or it holds anything else."""
    content = _read_private(path)
    if not _KEY.fullmatch(content):
        raise ValueError("holds no key, which is one line of 8 to 63 letters a-z and digits")
    return content.decode("ascii").strip()


def _read_private(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would hold us up
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("is not a regular file")
        if mode & stat.S_IRWXO:
            raise ValueError(f"is open to everybody on this machine (mode {stat.S_IMODE(mode):03o}); chmod o= would do")
        return os.read(descriptor, _LONGEST)
    finally:
        os.close(descriptor)


def _problem(generation: Generation, zone: str, reason: str) -> Problem:
    """Return a problem at the place where a rules file names the key's file."""
    for name, content in generation.files.items():
        document = parse(name, content) if name.startswith("rules/") else None
        for number, raw in enumerate(document.values.get("zone", ()) if isinstance(document, Document) else ()):
            if raw["name"] == zone and isinstance(document, Document):
                return document.problem(("zone", number, "key_file"), reason)
    return Problem("rules", 1, 1, zone, reason)
