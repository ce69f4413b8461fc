"""A machine's serial console, as somebody at it types and reads."""

import re
import time

from cluster_lab.machines.qemu import PATIENCE, Machine, NotInTimeError

_PROMPT = r"root@[a-z0-9.-]+:[^#\n]*# "
_ESCAPE = re.compile(rb"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78])|\r")
"""What terminals are told about colours and cursors (ECMA-48)."""


class Console:
    """From the constructor to `close`. What was shown before is in the machine's log.

    The machine waits for whoever does not read, after a few hundred bytes already: connect late, and close early.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._connection = machine.connect("console")
        self._unread = b""

    def expect(self, pattern: str, within: float = PATIENCE) -> str:
        """Return what is shown up to the end of a pattern; what comes after it is kept for the next one."""
        deadline = time.monotonic() + within
        while True:
            text = _ESCAPE.sub(b"", self._unread).decode("utf-8", "replace")
            found = re.search(pattern, text)
            if found:
                self._unread = text[found.end() :].encode()
                return text[: found.end()]
            self._connection.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                chunk = self._connection.recv(1 << 16)
            except TimeoutError:
                chunk = b""
            if not chunk:
                raise NotInTimeError(
                    f"{self._machine.name}: not within {within:g} s: {pattern!r}; shown: {text[-500:]}"
                )
            self._unread += chunk

    def type(self, line: str) -> None:
        self._connection.sendall(line.encode() + b"\n")

    def log_in(self, password: str, within: float = PATIENCE) -> None:
        """Log in as root at the prompt, which comes within so many seconds."""
        self.type("")
        self.expect("login: ", within)
        self.type("root")
        self.expect("Password: ")
        self.type(password)
        self.expect(_PROMPT)

    def run(self, line: str, within: float = PATIENCE) -> str:
        """Type a line at the shell and return what it prints."""
        self.type(line)
        shown = self.expect(_PROMPT, within)
        return shown.partition("\n")[2].rpartition("\n")[0]

    def close(self) -> None:
        self._connection.close()
