"""The power of the hosts, and the management board ("BMC") that fence_lab asks to cut it, outside of all hosts."""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

_HEARD_WITHIN = 15.0


class Powered(Protocol):
    """What hangs on the power."""

    @property
    def running(self) -> bool: ...

    def boot(self) -> None: ...

    def lose_power(self) -> None: ...


class Order(NamedTuple):
    """What a fence agent asked for."""

    at: float
    action: str
    """ "off" or "reboot"."""
    host: str
    outlet: str
    """Of the host's two, by which of its fencing levels: "1" or "2". Each cuts all of its power."""
    obeyed: bool


class Power:
    """One for all hosts, on the unix socket `path`. `orders` are the cuts that fence agents asked for."""

    def __init__(self, path: Path, hosts: Mapping[str, Powered]) -> None:
        self.refuses = False
        """Set by a test: the board answers, and cuts nothing."""
        self.orders: list[Order] = []
        self._hosts = hosts
        self._one_at_a_time = threading.RLock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut(self, host: str) -> None:
        """Take a host's power away."""
        with self._one_at_a_time:
            if self._hosts[host].running:
                self._hosts[host].lose_power()

    def give(self) -> None:
        """Switch on what is off. A host that was rebooted comes up no earlier: a real one takes minutes."""
        with self._one_at_a_time:
            for host in self._hosts.values():
                if not host.running:
                    host.boot()

    def stop(self) -> None:
        """Hear nobody any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                asking, _ = self._listener.accept()
            except OSError:
                return
            asking.settimeout(_HEARD_WITHIN)
            with asking, asking.makefile("rw") as lines, suppress(OSError):
                lines.write(f"{self._obey(*lines.readline().split())}\n")

    def _obey(self, action: str, host: str = "", outlet: str = "") -> str:
        simple: dict[str, Callable[[], str]] = {
            "list": lambda: " ".join(self._hosts),
            "monitor": lambda: "ok",
            "status": lambda: "on" if self._hosts[host].running else "off",
        }
        if action in simple:
            return simple[action]()
        self.orders.append(Order(time.time(), action, host, outlet, not self.refuses))
        if self.refuses:
            return "refused"
        self.cut(host)
        return "ok"
