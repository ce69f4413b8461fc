"""Reading and checking all configuration in a child that ends with it.

The supervisor keeps the bytes (the bundle) and the few values that it needs itself. It never parses or compiles: what
a broken file can do, it does to the child. Workers compile the same bytes once more, so they cannot differ from
what was checked.
"""

import json
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.service.process import fork

_BYTES_AT_MOST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bundle:
    """All files of one generation as they were read, and what the supervisor must know of it."""

    directory: str
    """Where they were read."""
    id: str
    files: Mapping[str, bytes]
    listen: tuple[str, ...]
    socket_mode: int
    user: str
    state: str
    workers: int
    drain: float
    """Seconds."""
    history_days: int
    history_megabytes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The configuration does not hold; `problems` are lines of the form file:line:column: key: reason."""

    problems: tuple[str, ...]


class Examination:
    """One child at work on one directory."""

    def __init__(self, directory: Path | None, forget: Callable[[], None]) -> None:
        """Start it; without a directory it finds the usual one. Raises OSError when the system has no process left.

        The report goes through memory that both processes hold, so that its size holds up nobody.
        """
        self._report = os.memfd_create("earmark-examination", os.MFD_CLOEXEC)
        try:
            self.pid = fork(lambda: _examine(directory, self._report), forget)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the report."""
        os.close(self._report)

    def result(self, how: str) -> Bundle | Refused:
        """Return what the child found; call once, when it has ended, with how it ended."""
        with os.fdopen(self._report, "rb") as report:
            report.seek(0)
            data = report.read(_BYTES_AT_MOST)
        try:
            found = json.loads(data)
        except ValueError:
            return Refused((f"the check of the configuration ended with {how} and no report",))
        if "problems" in found:
            return Refused(tuple(found["problems"]))
        files = {path: text.encode("latin-1") for path, text in found.pop("files").items()}
        return Bundle(files=files, listen=tuple(found.pop("listen")), **found)


def _examine(directory: Path | None, report: int) -> int:
    found = _read_and_compile(directory)
    with os.fdopen(report, "w", encoding="ascii") as file:
        json.dump(found, file)
    return 1 if "problems" in found else 0


def _read_and_compile(option: Path | None) -> dict[str, Any]:
    from earmark import config  # noqa: PLC0415 - the supervisor must never load it: pydantic and what it brings

    try:
        directory = config.find_directory(option).absolute()
        generation = config.load(directory)
    except config.ConfigError as error:
        return {"problems": [str(problem) for problem in error.problems]}
    except Exception:  # noqa: BLE001 - our own fault, but a reload must still change nothing
        return {"problems": traceback.format_exc().splitlines()}
    server = generation.server
    return {
        "directory": str(directory),
        "id": generation.id,
        "files": {path: data.decode("latin-1") for path, data in generation.files.items()},
        "listen": server.milter.listen,
        "socket_mode": server.milter.socket_mode,
        "user": server.user,
        "state": str(server.state),
        "workers": server.workers or len(os.sched_getaffinity(0)),
        "drain": server.drain,
        "history_days": server.history.days,
        "history_megabytes": server.history.megabytes,
    }
