"""Telling systemd how the service fares: sd_notify(3), without its library."""

import os
import socket
import time
from collections.abc import MutableMapping


class Notifier:
    """The way to the service manager; silent where none asked to be told."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take the variables of sd_notify(3) and sd_watchdog_enabled(3) out of `environment`: children use none."""
        address = environment.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environment.pop("WATCHDOG_USEC", "")
        mine = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every = int(microseconds) / 2e6 if mine and microseconds.isdecimal() else 0.0
        self._fed = 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)

    def tell(self, *lines: str) -> None:
        """Send assignments such as "READY=1". A manager that cannot be reached changes nothing here."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return

    def reloading(self) -> None:
        """Say that a reload began; the time lets systemd 253 and later match it with the "READY=1" that ends it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def feed_watchdog(self, now: float) -> None:
        """Say that the loop turns, when half of WatchdogSec has passed. `now` is the monotonic clock's."""
        if self._every and now - self._fed >= self._every:
            self._fed = now
            self.tell("WATCHDOG=1")

    def close(self) -> None:
        """Forget the manager; a child does this first."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
