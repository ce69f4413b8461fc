"""The configuration directory on disk: which one it is, and its bytes."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from earmark.config.document import LARGEST, parse
from earmark.config.generation import SERVER, compile_generation, is_read
from earmark.config.problems import ConfigError, Problem, whole_file
from earmark.config.schema import ServerFile, validate
from earmark.config.server import server_settings
from earmark.config.settings import Generation, ServerSettings

INSTALLED = Path("/etc/earmark")
FOLDERS = ("policies", "policies/domains", "rules")


def shipped() -> Path:
    """Return the directory with the policies and rules that come with the program."""
    package = Path(__file__).resolve().parent.parent
    data = package / "data"
    return data if (data / "policies").is_dir() else package.parent.parent


def find_directory(option: Path | None) -> Path:
    """Return the configuration directory: the option, else $EARMARK_CONFIG, /etc/earmark if it exists, `shipped()`."""
    if option is not None:
        return option
    if os.environ.get("EARMARK_CONFIG"):
        return Path(os.environ["EARMARK_CONFIG"])
    return INSTALLED if INSTALLED.is_dir() else shipped()


def read_files(directory: Path) -> dict[str, bytes]:
    """Return the bytes of every file that counts, by relative path. Raises ConfigError where one cannot be read."""
    files, problems = _read(directory)
    if problems:
        raise ConfigError(problems)
    return files


def load(directory: Path) -> Generation:
    """Read and compile a directory. Raises ConfigError with everything that is wrong, unreadable files included."""
    files, problems = _read(directory)
    return compile_generation(files, problems)


def load_server(directory: Path) -> ServerSettings:
    """Read server.toml alone, for what is started often and needs no policy. Raises ConfigError."""
    try:
        read = parse(SERVER, _content(directory / SERVER))
    except OSError as error:
        read = whole_file(SERVER, f"cannot be read: {error.strerror or error}")
    if isinstance(read, Problem):
        raise ConfigError([read])
    file, problems = validate(read, ServerFile)
    if file is None:
        raise ConfigError(problems)
    return server_settings(read, file, frozenset())


def load_shadow(directory: Path, main: Generation) -> Generation:
    """Read and compile a second set of policies. Where it has no rules or no server.toml, those of `main` hold.

    Raises ConfigError, whose problems name the files with the directory in front.
    """
    files, problems = _read(directory)
    lent = [SERVER]
    if not any(name.startswith("rules/") for name in files):
        lent += [name for name in main.files if name.startswith("rules/")]
    try:
        return compile_generation({**{name: main.files[name] for name in lent}, **files}, problems)
    except ConfigError as error:
        raise ConfigError(in_directory(directory, error.problems)) from None


def in_directory(directory: Path, problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems with their files named from the root, for a directory that is not the usual one."""
    return [problem._replace(file=str(directory / problem.file)) for problem in problems]


def copy_shipped(target: Path) -> int:
    """Copy the shipped policies and rules to `target`, and return how many files that were.

    Raises FileExistsError, before anything is copied, where one of them exists.
    """
    source = shipped()
    names = [
        path.relative_to(source) for top in ("policies", "rules") for path in sorted((source / top).rglob("*.toml*"))
    ]
    for name in names:
        if (target / name).exists():
            raise FileExistsError(0, "exists", str(target / name))
    for folder in FOLDERS:
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        with (target / name).open("xb") as file:
            file.write((source / name).read_bytes())
    return len(names)


def writable_by_others(directory: Path) -> list[Path]:
    """Return the files and folders that anybody on this machine could change."""
    paths = [directory, *(directory / folder for folder in FOLDERS), *(directory / name for name in _names(directory))]
    return [path for path in paths if path.exists() and path.stat().st_mode & stat.S_IWOTH]


def _names(directory: Path) -> Iterator[str]:
    for folder in FOLDERS:
        try:
            entries = sorted(path.name for path in (directory / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield from (name for entry in entries if is_read(name := f"{folder}/{entry}"))


def _read(directory: Path) -> tuple[dict[str, bytes], list[Problem]]:
    """Return what can be read, and a problem for each file that cannot. Raises ConfigError without a directory."""
    if not directory.is_dir():
        raise ConfigError([whole_file(str(directory), "no such directory")])
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    for name in _names(directory):
        try:
            files[name] = _content(directory / name)
        except OSError as error:
            problems.append(whole_file(name, f"cannot be read: {error.strerror or error}"))
    return files, problems


def _content(path: Path) -> bytes:
    """Return a file's bytes, one more than allowed at most: what is too large need not be read to say so."""
    if not stat.S_ISREG(path.stat().st_mode):  # a FIFO would hold us up
        raise OSError(0, "not a regular file")
    with path.open("rb") as file:
        return file.read(LARGEST + 1)
