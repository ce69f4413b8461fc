"""`./dev bench`: the figures that docs/performance.md promises, measured on this machine.

Prints a line for each row with whether it holds its goal; the exit status says only whether the measuring worked.
"""

import argparse
import resource
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import content, engines, policy, rows
from bench.lists import lists
from bench.load import Addresses, run_load
from bench.machine import SERVER_CORE, pinned
from bench.report import as_json, line, write_page
from bench.rows import Conditions, Row
from bench.servers import write_configuration
from e2e_lab.processes import wait_until

_PROFILED_MESSAGES = 5000
_ROWS = rows.ROWS | content.ROWS | policy.ROWS | engines.ROWS
_GROUPS = {"content": tuple(content.ROWS), "policy": tuple(policy.ROWS), "engines": tuple(engines.ROWS)}
"""Names that stand for several rows."""
_NAMES = f"rows to measure: {', '.join((*_ROWS, *_GROUPS))} (default: all)"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure what docs/performance.md promises.")
    parser.add_argument("rows", nargs="*", metavar="NAME", help=_NAMES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/performance.md")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds (default 7)")
    parser.add_argument("--messages", type=int, default=200_000, help="messages of the row `memory` (default 200000)")
    parser.add_argument("--profile", action="store_true", help="profile the whole path instead of measuring")
    arguments = parser.parse_args()
    arguments.rows = [row for name in arguments.rows for row in _GROUPS.get(name, (name,))]
    if unknown := set(arguments.rows) - _ROWS.keys():
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return arguments


def _measure(conditions: Conditions, names: Sequence[str]) -> Iterator[Row]:
    for measure in dict.fromkeys(_ROWS[name] for name in names):
        yield from measure(conditions, [name for name in names if _ROWS[name] is measure])


def _profile(dns: int, top: Path) -> None:
    socket = top / "socket"
    directory = write_configuration(top, socket, dns)
    command = pinned(SERVER_CORE, sys.executable, "-m", "bench.profiled", directory, socket, top / "state")
    log = top / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, cwd=Path(__file__).parents[1]) as worker,
    ):
        assert worker.stdin is not None
        try:
            wait_until(lambda: worker.poll() is not None or socket.is_socket(), "the worker listens")
            load = run_load(socket, 0, _PROFILED_MESSAGES)
            sys.stderr.write(f"{load.messages} messages at {load.rate:.0f} a second, {load.lost} lost\n")
        finally:
            worker.stdin.close()


def _run(arguments: argparse.Namespace, top: Path) -> None:
    with lists(top / "lists") as dns:
        if arguments.profile:
            _profile(dns, top)
            return
        measured = []
        names = [name for name in _ROWS if name in arguments.rows or not arguments.rows]
        for row in _measure(Conditions(dns, arguments.rounds, arguments.messages, Addresses()), names):
            sys.stdout.write(line(row))
            sys.stdout.flush()
            measured.append(row)
    if arguments.json:
        arguments.json.write_text(as_json(measured))
    if arguments.write:
        write_page(measured, shlex.join(["./dev", "bench", *sys.argv[1:]]))


def main() -> None:
    """Measure or profile in a temporary directory."""
    arguments = _arguments()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        top = Path(name)
        top.chmod(0o755)
        _run(arguments, top)


if __name__ == "__main__":
    main()
