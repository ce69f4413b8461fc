"""Reading and checking all configuration in a child that ends with it.

The supervisor keeps the bytes (the bundle) and the few values that it needs itself. It never parses or compiles: what
a broken file can do, it does to the child. Workers compile the same bytes once more, so they cannot differ from
what was checked.
"""

import json
import os
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from earmark.clients.health import Health
from earmark.service.process import fork

if TYPE_CHECKING:
    from earmark.config import Generation
    from earmark.config.settings import ServerSettings

_BYTES_AT_MOST = 64 * 1024 * 1024


class Sources(NamedTuple):
    """Where the command line says that configuration is read."""

    directory: Path | None = None
    """None for the usual one."""
    shadow: Path | None = None
    """None for the one that server.toml names, if any."""


@dataclass(frozen=True, slots=True)
class ShadowFiles:
    """All files of the second set of policies, with what it takes over from the first."""

    directory: str
    id: str
    files: Mapping[str, bytes]


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
    scanners: tuple[str, ...] = ()
    """The content scanners that it has endpoints for."""
    shadow: ShadowFiles | None = None
    health: Health = field(default_factory=lambda: Health(()))
    """Of the lists that this generation asks; shared with its children."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The configuration does not hold; `problems` are lines of the form file:line:column: key: reason."""

    problems: tuple[str, ...]


class Examination:
    """One child at work on one configuration."""

    def __init__(self, sources: Sources, forget: Callable[[], None]) -> None:
        """Start it. Raises OSError when the system has no process left.

        The report goes through memory that both processes hold, so that its size holds up nobody.
        """
        self._report = os.memfd_create("earmark-examination", os.MFD_CLOEXEC)
        try:
            self.pid = fork(lambda: _examine(sources, self._report), forget)
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
        shadow = found.pop("shadow")
        health = Health(found.pop("lists"))
        return Bundle(
            files=_decoded(found.pop("files")),
            listen=tuple(found.pop("listen")),
            scanners=tuple(found.pop("scanners")),
            shadow=ShadowFiles(shadow["directory"], shadow["id"], _decoded(shadow["files"])) if shadow else None,
            health=health,
            **found,
        )


def worker_count(server: "ServerSettings") -> int:
    """Return how many workers serve: as many as server.toml says, else one for each core that we may use."""
    return server.workers or len(os.sched_getaffinity(0))


def _encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: data.decode("latin-1") for path, data in files.items()}


def _decoded(files: Mapping[str, str]) -> dict[str, bytes]:
    return {path: text.encode("latin-1") for path, text in files.items()}


def _examine(sources: Sources, report: int) -> int:
    found = _read_and_compile(sources)
    with os.fdopen(report, "w", encoding="ascii") as file:
        json.dump(found, file)
    return 1 if "problems" in found else 0


def _key_problems(generation: "Generation", shadow: "Generation | None") -> list[str]:
    """Return what is wrong with the files that hold keys, for the account that will read them.

    To be called in a child when nothing is left to read: root gives itself up here, as it will in the service.
    """
    from earmark.service.account import StartError, account_for, become  # noqa: PLC0415
    from earmark.service.lists import keys_of  # noqa: PLC0415

    with suppress(StartError):  # the service will say so
        account = account_for(generation.server.user)
        if account is not None:
            become(account)
    return [str(problem) for problem in keys_of(generation, shadow)[1]]


def _read_and_compile(sources: Sources) -> dict[str, Any]:
    # The supervisor must never load these: pydantic, asyncio and what they bring.
    from earmark import config  # noqa: PLC0415
    from earmark.service.engines import engine_problems  # noqa: PLC0415
    from earmark.service.lists import lists_of  # noqa: PLC0415
    from earmark.service.policy_tests import load_tested  # noqa: PLC0415

    try:
        directory = config.find_directory(sources.directory).absolute()
        tested = load_tested(directory, sources.shadow)
    except config.ConfigError as error:
        return {"problems": error.lines}
    except Exception:  # noqa: BLE001 - our own fault, but a reload must still change nothing
        return {"problems": traceback.format_exc().splitlines()}
    generation, shadow, shadow_directory = tested
    server = generation.server
    problems = [str(problem) for problem in engine_problems(generation)]
    if problems := problems + _key_problems(generation, shadow):
        return {"problems": problems}
    return {
        "directory": str(directory),
        "id": generation.id,
        "files": _encoded(generation.files),
        "listen": [spec for _, spec in server.doors],
        "socket_mode": server.milter.socket_mode,
        "user": server.user,
        "state": str(server.state),
        "workers": worker_count(server),
        "drain": server.drain,
        "history_days": server.history.days,
        "history_megabytes": server.history.megabytes,
        "scanners": sorted(server.site.scanners),
        "lists": sorted(lists_of(generation, shadow)),
        "shadow": shadow and {"directory": shadow_directory, "id": shadow.id, "files": _encoded(shadow.files)},
    }
