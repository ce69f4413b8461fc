"""How a command is run that looks at a host's files: in namespaces of its own, which end with it.

The command sees the file systems of this machine with the host's rendered files laid over them, the host's name and
addresses, and no other network. This file is also the program that sets all that up from within, so it needs the
standard library alone.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for: not below /usr/local, over which a host's files are laid."""
_OUTPUT = 20_000
"""Characters of a command's output that are kept."""


class Output(NamedTuple):
    """How a command ended, and what it said on standard output and error together."""

    status: int
    """Exit status, -1 where the deadline came first."""
    text: str


@dataclass(frozen=True, slots=True)
class Host:
    """What a command finds itself on."""

    name: str
    addresses: Sequence[str] = ()
    files: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Text and mode by path from the root, without the leading slash."""
    hidden: Sequence[str] = ()
    """Directories of this machine that are seen empty, but for `files`. One that is not there is passed over."""


@cache
def impossible() -> str:
    """Return why no command can be run in namespaces here, "" where it can. Tried once in the life of a process."""
    if os.geteuid() != 0:
        return "not root: no namespaces"
    try:
        output = run(Host("here", ["192.0.2.1"], {"etc/hostname": ("here", 0o644)}), ["cat", "/etc/hostname"], 20.0)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return "" if output == (0, "here") else f"no namespaces here: {output.text.strip()[-200:]}"


def run(host: Host, command: Sequence[str], deadline: float, environment: Mapping[str, str] | None = None) -> Output:
    """Run a command on `host` for at most `deadline` seconds, after which all that it started is killed.

    Raises FileNotFoundError where unshare or setpriv is missing.
    """
    with tempfile.TemporaryDirectory(prefix="earmark-check-") as scratch, tempfile.TemporaryFile() as output:
        request = {
            "scratch": scratch,
            "name": host.name,
            "addresses": list(host.addresses),
            "files": dict(host.files),
            "hidden": list(host.hidden),
            "command": list(command),
            "environment": dict(environment or {}),
        }
        Path(scratch, "request").write_text(json.dumps(request), encoding="utf-8")
        status = _in_namespaces([sys.executable, "-I", __file__, scratch], output.fileno(), deadline)
        output.seek(0)
        return Output(status, output.read(_OUTPUT).decode("utf-8", "replace"))


_UNSHARE = ("--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")


def _in_namespaces(command: Sequence[str], output: int, deadline: float) -> int:
    """Run a command as the first process of new namespaces, which die with it, with unshare and with this process.

    Its output goes to a file: what it leaves behind may hold a pipe open for ever.
    """
    words = ["setpriv", "--pdeathsig", "KILL", "unshare", *_UNSHARE, *command]
    try:
        done = subprocess.run(  # noqa: S603 - words of ours
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=deadline,
            check=False,
            env={**os.environ, "PATH": PATH},
        )
    except subprocess.TimeoutExpired:
        return -1
    return done.returncode


def _become(request: dict[str, Any]) -> None:
    """Turn the namespaces that this process is in into the host, and this process into the command."""
    layers = PurePosixPath(request["scratch"], "layers")
    Path(layers).mkdir()
    _mount("tmpfs", layers)
    tops = sorted({PurePosixPath("/", name).parts[1] for name in request["files"]})
    for top in tops:
        _overlay(PurePosixPath("/", top), layers / top)
    for directory in filter(os.path.isdir, request["hidden"]):
        _mount("tmpfs", PurePosixPath(directory))
    for name, (text, mode) in request["files"].items():
        path = Path("/", name)
        if path.parent.resolve().parts[1:2] != path.parts[1:2]:  # such as /var/run, which is not below our layer
            sys.exit(f"{path}: leads elsewhere")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
    _quietly("hostname", request["name"])
    _quietly("ip", "link", "set", "lo", "up")
    for address in request["addresses"]:
        _quietly("ip", "address", "add", f"{address}/32", "dev", "lo")
    command = request["command"]
    os.execvpe(command[0], command, {**os.environ, **request["environment"], "LC_ALL": "C"})  # noqa: S606 - no shell


def _overlay(directory: PurePosixPath, layer: PurePosixPath) -> None:
    upper, work = layer / "upper", layer / "work"
    Path(upper).mkdir(parents=True)
    Path(work).mkdir()
    _mount("overlay", directory, f"lowerdir={directory},upperdir={upper},workdir={work}")


def _mount(kind: str, directory: PurePosixPath, options: str = "mode=0755") -> None:
    _quietly("mount", "-t", kind, "-o", options, kind, str(directory))


def _quietly(*words: str) -> None:
    subprocess.run(words, check=True)  # noqa: S603 - words of ours


if __name__ == "__main__":
    _become(json.loads(Path(sys.argv[1], "request").read_text(encoding="utf-8")))
