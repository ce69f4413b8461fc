"""One resolver that we ask: its address, its UDP socket and those before, and whether it is well."""

import asyncio
import os
import socket
import time
from array import array
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, TypeVar

_QUERIES_A_SOCKET = 64
"""Then another source port: who cannot see our traffic has to guess port and id (RFC 5452)."""
_SECONDS_A_SOCKET = 10.0
_RETIRED_AT_MOST = 64
"""Old sockets that still wait for answers; with that many, the present one goes on."""
_PACKET_AT_MOST = 4096
_PACKETS_A_TURN = 64
"""Then the event loop's other work has its turn."""
_NUMBERS_AT_ONCE = 2048
_MISSED_AT_MOST = 3
"""Tries in a row without any answer, after which a resolver is held to be down."""
_PROBE_EVERY = 2.0
"""Seconds; one look-up at a time tries a resolver that is down."""

T = TypeVar("T")


def read_address(text: str) -> tuple[str, int]:
    """Read "address", "address:port", "[address]" or "[address]:port". Raises ValueError."""
    host, port = text, "53"
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or (port if bracket else "")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    ip_address(host.partition("%")[0])
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"not a port: {text!r}")
    return host, int(port)


def system_resolvers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
    """Return the addresses of the system's resolvers (resolv.conf(5)); 127.0.0.1 where it names none, as libc does."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    fields = [line.split() for line in lines]
    return [f"[{words[1]}]" for words in fields if len(words) > 1 and words[0] == "nameserver"] or ["127.0.0.1"]


class Socket(Generic[T]):
    """A connected UDP socket and who waits on it, by query id. The kernel drops what others send to it."""

    def __init__(self, server: "Server[T]", now: float) -> None:
        self.waiting: dict[int, T] = {}
        self.server = server
        self.queries_left = _QUERIES_A_SOCKET
        self.until = now + _SECONDS_A_SOCKET
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect((server.host, server.port))
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket.fileno(), self._readable)
        except OSError:
            self._socket.close()
            raise

    def send(self, packet: bytes) -> None:
        """Send, or lose it as a network would. Raises OSError where the resolver cannot be reached."""
        try:
            self._socket.send(packet)
        except BlockingIOError:
            return

    def _readable(self) -> None:
        """Read while somebody waits: to find out that nothing is left would cost more than an answer does."""
        receive, waiting, server = self._socket.recv, self.waiting, self.server
        now = time.monotonic()
        try:
            for _ in range(_PACKETS_A_TURN):
                packet = receive(_PACKET_AT_MOST)
                if len(packet) >= 12:
                    who = waiting.get(packet[0] << 8 | packet[1])
                    if who is not None:
                        server.hear(server, who, packet, now)
                if not waiting:
                    return
        except BlockingIOError:
            return
        except OSError as error:
            server.lose(self, error)

    def close(self) -> None:
        """Give the socket back; harmless when done again."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


class Server(Generic[T]):
    """A resolver. What goes out gets a random id, and the socket with its random port is replaced all the time.

    `hear(server, who, packet, now)` gets packets of 12 bytes or more whose id is waited for, and about when they came;
    `refused(who, error)` gets those whose socket said that nobody listens there (ICMP port unreachable).
    """

    def __init__(
        self,
        text: str,
        hear: Callable[["Server[T]", T, bytes, float], None],
        refused: Callable[[Iterable[T], OSError], None],
    ) -> None:
        self.host, self.port = read_address(text)
        self.name = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        self.hear = hear
        self.heard_at = 0.0
        self._refused = refused
        self._missed = 0
        self._probe_at = 0.0
        self._present: Socket[T] | None = None
        self._retired: list[Socket[T]] = []
        self._numbers = array("H")

    @property
    def is_well(self) -> bool:
        """It has answered, or has not been silent for long."""
        return self._missed < _MISSED_AT_MOST

    def may_be_probed(self, now: float) -> bool:
        """Return whether it is time to see if a resolver that is down is back; true once in a while."""
        if now < self._probe_at:
            return False
        self._probe_at = now + _PROBE_EVERY
        return True

    def answered(self, now: float) -> None:
        """Note that it has answered: it is well."""
        self.heard_at = now
        self._missed = 0

    def missed(self, sent_at: float) -> None:
        """Note that a try of that time got no answer; it counts where nothing else has been answered since."""
        if self.heard_at < sent_at:
            self._count_missed(1)

    def _count_missed(self, tries: int) -> None:
        was_well = self.is_well
        self._missed += tries
        if was_well and not self.is_well:
            self._probe_at = time.monotonic() + _PROBE_EVERY

    def lose(self, lost: Socket[T], error: OSError) -> None:
        """Drop a socket that said nobody listens, and hand over who waited on it."""
        self._count_missed(_MISSED_AT_MOST)
        if self._present is lost:
            self._present = None
        self._retired = [kept for kept in self._retired if kept is not lost]
        lost.close()
        waiting = tuple(lost.waiting.values())
        lost.waiting.clear()
        self._refused(waiting, error)

    def draw(self, now: float) -> tuple[Socket[T], int]:
        """Return a socket, and an id that is free on it. Raises OSError where no socket can be had."""
        chosen = self._present
        if chosen is None or not chosen.queries_left or now >= chosen.until:
            chosen = self._replace_socket(now)
        chosen.queries_left -= 1
        number = self._draw_number()
        while number in chosen.waiting:
            number = self._draw_number()
        return chosen, number

    def _draw_number(self) -> int:
        if not self._numbers:
            self._numbers.frombytes(os.urandom(2 * _NUMBERS_AT_ONCE))
        return self._numbers.pop()

    def _replace_socket(self, now: float) -> Socket[T]:
        if self._present is not None:
            if len(self._retired) >= _RETIRED_AT_MOST:
                self._present.queries_left = _QUERIES_A_SOCKET
                return self._present
            self._retired.append(self._present)
            self._present = None
        self._present = Socket(self, now)
        return self._present

    def tidy(self) -> bool:
        """Close old sockets on which nobody waits; return whether some are left."""
        kept = []
        for old in self._retired:
            if old.waiting:
                kept.append(old)
            else:
                old.close()
        self._retired = kept
        return bool(kept)

    def close(self) -> None:
        """Close all sockets."""
        if self._present is not None:
            self._retired.append(self._present)
            self._present = None
        for opened in self._retired:
            opened.close()
        self._retired = []
