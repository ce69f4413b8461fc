"""The control socket: one line of JSON asks, one line of JSON answers. Reachable by the service's own account and root.

{"do": "status"}   answers at once
{"do": "lists"}    answers at once
{"do": "reload"}   answers when the new generation serves, or why it does not
{"do": "drain"}    answers at once; the connection ends when the service has ended
"""

import json
import os
import selectors
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

_LINE_AT_MOST = 4096
_CALLERS_AT_MOST = 32
_PATIENCE = 5.0
"""Seconds that a caller may take to say what it wants."""

Answer = dict[str, Any]


class ControlError(Exception):
    """The service cannot be asked; the text says why."""


def control_path(state: Path) -> Path:
    """Return where the service with this state directory listens for commands."""
    return state / "control.sock"


class Caller:
    """One connection to the control socket."""

    def __init__(self, connection: socket.socket, hang_up: Callable[["Caller"], None]) -> None:
        self.socket = connection
        self.since = time.monotonic()
        self.asked = False
        self._hang_up = hang_up
        self._line = b""

    def read(self) -> dict[str, Any] | None:
        """Return the command when its line is whole; hang up on nonsense and on the caller's end."""
        try:
            data = self.socket.recv(_LINE_AT_MOST)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self._line += data
        if not data or self.asked or len(self._line) > _LINE_AT_MOST:
            self._hang_up(self)
        elif self._line.endswith(b"\n"):
            self.asked = True
            return self._parsed()
        return None

    def _parsed(self) -> dict[str, Any] | None:
        try:
            command = json.loads(self._line)
        except (ValueError, RecursionError):
            command = None
        if isinstance(command, dict):
            return command
        self._hang_up(self)
        return None

    def answer(self, answer: Answer, *, stay: bool = False) -> None:
        """Send the answer, and hang up unless told to `stay`. A caller that went away is no error."""
        try:
            self.socket.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            stay = False
        if not stay:
            self._hang_up(self)


class Control:
    """The supervisor's end of the control socket."""

    def __init__(
        self, state: Path, selector: selectors.BaseSelector, obey: Callable[[dict[str, Any], Caller], None]
    ) -> None:
        """Open it. The caller holds the lock of the state directory, so a file found there is stale."""
        self._path = control_path(state)
        self._path.unlink(missing_ok=True)
        self._selector = selector
        self._obey = obey
        self._callers: set[Caller] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(str(self._path))
        finally:
            os.umask(before)
        self._socket.listen(_CALLERS_AT_MOST)
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        if len(self._callers) >= _CALLERS_AT_MOST:
            connection.close()
            return
        connection.setblocking(False)
        caller = Caller(connection, self._hang_up)
        self._callers.add(caller)
        self._selector.register(connection, selectors.EVENT_READ, partial(self._read, caller))

    def _read(self, caller: Caller) -> None:
        command = caller.read()
        if command is not None:
            self._obey(command, caller)

    def _hang_up(self, caller: Caller) -> None:
        if caller in self._callers:
            self._callers.discard(caller)
            self._selector.unregister(caller.socket)
            caller.socket.close()

    def tick(self, now: float) -> None:
        """Hang up on callers that say nothing."""
        for caller in [c for c in self._callers if not c.asked and now - c.since > _PATIENCE]:
            self._hang_up(caller)

    def close(self) -> None:
        """Close and remove the socket, and hang up on everybody."""
        for caller in list(self._callers):
            self._hang_up(caller)
        self._selector.unregister(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)


def ask(state: Path, command: str, *, patience: float, to_the_end: bool = False) -> Answer:
    """Ask the service with this state directory; with `to_the_end`, return only when it has hung up.

    `patience` is in seconds. Raises ControlError: nobody there, not allowed, or no answer in time.
    """
    path = control_path(state)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps({"do": command}).encode() + b"\n")
            with connection.makefile("rb") as file:
                line = file.readline()
                if to_the_end:
                    file.read()
        except TimeoutError:
            raise ControlError(f"{path}: no answer within {patience:g} s") from None
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror}: is the service running?") from error
    if not line:
        raise ControlError(f"{path}: the service ended before it answered")
    answer: Answer = json.loads(line)
    return answer
