"""The listening sockets: opened, told from stale ones, and closed so that a caller is refused at once."""

import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BACKLOG = 1024
"""Connections that wait in the kernel while all workers are busy; net.core.somaxconn bounds it."""
_PROBE_SECONDS = 2.0
_PRIVILEGED = 1024
"""Ports below it are root's, unless the system was told otherwise."""
_NOBODY_ELSE = (-1, -1)
"""As owner (uid, gid): files stay whose they are by birth."""


class ListenError(Exception):
    """A socket cannot be opened; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One open listening socket and the words of server.toml that asked for it."""

    spec: str
    socket: socket.socket
    inode: int = 0
    """Of a unix socket: what tells our file from one that somebody put in its place."""

    @property
    def reopens(self) -> bool:
        """Whether this process could open it again, who may have given up root since it did."""
        if self.inode:
            return os.access(_unix_path(self.spec).parent, os.W_OK | os.X_OK)
        port: int = self.socket.getsockname()[1]
        return port >= _PRIVILEGED or os.geteuid() == 0

    def forget(self) -> None:
        """Close this process's copy only; a child does this first."""
        self.socket.close()

    def close(self) -> None:
        """Refuse from now on, in every process that holds the socket, and remove the file.

        shutdown(2) on a listening socket ends it for all its holders, so a worker that hangs cannot keep it open.
        """
        with suppress(OSError):  # it is down already
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        if self.inode:
            _remove(_unix_path(self.spec), self.inode)


def open_listener(spec: str, mode: int, owner: tuple[int, int] = _NOBODY_ELSE) -> Listener:
    """Open "unix:/path" or "inet:host:port". `mode` and `owner` are for the file of a unix socket.

    Raises ListenError: another instance answers there, the place is unsafe, or the system refuses.
    """
    try:
        if spec.startswith("unix:"):
            return _open_unix(spec, mode, owner)
        return Listener(spec, _open_inet(spec))
    except OSError as error:
        raise ListenError(f"{spec}: {error.strerror or error}") from error


class Listeners:
    """The sockets that workers accept on, by the words that asked for them. One instance, the supervisor's."""

    def __init__(self, owner: tuple[int, int] = _NOBODY_ELSE) -> None:
        """`owner` (uid, gid) is for the files of unix sockets opened while still root."""
        self._owner = owner
        self._open: dict[str, Listener] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def require(self, specs: Iterable[str], mode: int) -> None:
        """Have a socket open for each of `specs`. Raises ListenError, and then nothing has changed."""
        missing = [spec for spec in dict.fromkeys(specs) if spec not in self._open]
        opened: list[Listener] = []
        try:
            opened.extend(open_listener(spec, mode, self._owner) for spec in missing)
        except ListenError:
            for listener in opened:
                listener.close()
            raise
        self._open.update((listener.spec, listener) for listener in opened)

    def keep(self, specs: Iterable[str]) -> None:
        """Close all that are not among `specs`."""
        for spec in self._open.keys() - set(specs):
            self._open.pop(spec).close()

    def refuse(self) -> bool:
        """Close all that could be opened again; return whether there was one. Callers of the others wait."""
        closed = [spec for spec, listener in self._open.items() if listener.reopens]
        for spec in closed:
            self._open.pop(spec).close()
        return bool(closed)

    def chosen(self, specs: Iterable[str]) -> list[int]:
        """Return the descriptors of `specs`, to be handed to a worker."""
        return [self._open[spec].socket.fileno() for spec in dict.fromkeys(specs)]

    def forget(self) -> None:
        """Close this process's copies only; a child does this first."""
        for listener in self._open.values():
            listener.forget()


def _unix_path(spec: str) -> Path:
    return Path(spec.removeprefix("unix:"))


def parse_inet(spec: str) -> tuple[str, int]:
    """Return host and port of "inet:host:port"; an IPv6 address stands in brackets. Raises ListenError."""
    host, colon, port = spec.removeprefix("inet:").rpartition(":")
    if not spec.startswith("inet:") or not colon or not port.isdecimal():
        raise ListenError(f'{spec}: is neither "unix:/path" nor "inet:host:port"')
    return host.strip("[]"), int(port)


def _open_inet(spec: str) -> socket.socket:
    host, port = parse_inet(spec)
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it; without it each message waits 44 ms for a delayed ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)  # a worker that loses the race for a connection must not hang in accept
    except OSError:
        listener.close()
        raise
    return listener


def _open_unix(spec: str, mode: int, owner: tuple[int, int]) -> Listener:
    path = _unix_path(spec)
    refuse_unsafe(path.parent)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        if owner != _NOBODY_ELSE:  # not even called: a system call filter may forbid it
            os.chown(path, *owner)
        path.chmod(mode)
        listener.listen(_BACKLOG)  # last: nobody connects while owner and mode are not yet right
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return Listener(spec, listener, path.stat().st_ino)


def refuse_unsafe(directory: Path) -> None:
    """Raise ListenError where anybody could replace what we put into `directory`."""
    mode = directory.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise ListenError(f"{directory}: anybody may write there; chmod o-w it, or choose another place")


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(f"{path}: exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            _remove(path, found.st_ino)
            return
        except TimeoutError:
            pass  # its backlog is full: busy, but there
    raise ListenError(f"{path}: another instance answers there")


def _remove(path: Path, inode: int) -> None:
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except OSError:
        pass  # gone already, or no longer ours to remove: the next start finds it stale
