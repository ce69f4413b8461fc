"""Other programs, asked what they are configured for: a list of arguments and no shell, and bounds for all of it."""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence

_LARGEST = 1 << 20
"""Bytes that one may print."""
_PLACES = f"{os.environ.get('PATH', '/usr/bin')}:/usr/sbin:/sbin:/usr/local/sbin"


class ProgramError(Exception):
    """It cannot be asked; the text says why."""


def find_program(name: str) -> str:
    """Return the path of a program; "" where there is none."""
    return shutil.which(name, path=_PLACES) or ""


def output_of(program: str, words: Sequence[str], patience: float) -> tuple[int, str]:
    """Run a program and return its exit status and what it prints. Raises ProgramError.

    The first word is what it is told that it is called. `patience` is in seconds.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell; the words are ours and a path of the administrator's
            [*words],
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": _PLACES, "LC_ALL": "C"},
        )
    except OSError as error:
        raise ProgramError(f"{program}: {error.strerror}") from error
    with process:
        try:
            said = _read(process, words[0], patience).decode("utf-8", "replace")
            return process.wait(patience), said
        except subprocess.TimeoutExpired:
            raise ProgramError(f"{words[0]}: it does not end within {patience:g} s") from None
        finally:
            process.kill()  # harmless to one that has ended


def _read(process: "subprocess.Popen[bytes]", name: str, patience: float) -> bytes:
    deadline = time.monotonic() + patience
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    pipe, said = process.stdout.fileno(), b""
    while len(said) < _LARGEST:
        if not select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise ProgramError(f"{name}: no answer within {patience:g} s")
        data = os.read(pipe, 65536)
        if not data:
            return said
        said += data
    raise ProgramError(f"{name}: it prints more than {_LARGEST} bytes")
