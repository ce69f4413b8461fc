"""Real redis-server and redis-sentinel, each in a directory of its own, on ports that the kernel gave."""

import shutil
import signal
import socket
import tempfile
from pathlib import Path

from e2e_lab.processes import PATH, Process, free_port, wait_until

SERVICE = "lab"

SERVER = """
port {port}
bind 127.0.0.1
unixsocket {top}/redis.sock
save ""
appendonly no
maxmemory-policy noeviction
repl-diskless-sync-delay 0
dir {top}
"""

SENTINEL = """
port {port}
bind 127.0.0.1
dir {top}
sentinel monitor {service} 127.0.0.1 {master} 1
sentinel down-after-milliseconds {service} 1000
sentinel failover-timeout {service} 5000
"""


def missing() -> str:
    """Return why there can be none here; "" where there can."""
    absent = [name for name in ("redis-server", "redis-sentinel") if shutil.which(name, path=PATH) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def command(port: int, *words: str) -> bytes:
    """Send one command and return what comes back, up to 64 KB of it; a server that is down raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"".join([b"*%d\r\n" % len(words), *(_bulk(word.encode()) for word in words)]))
        return connection.recv(65536)


def _bulk(word: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(word), word)


class Redis:
    """One redis-server. `stop` ends it for good; `kill` and `start` are its accidents."""

    def __init__(self, *options: str) -> None:
        """`options` are further lines of its configuration, such as "requirepass secret"."""
        self.top = Path(tempfile.mkdtemp(prefix="earmark-redis-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket_url = f"unix://{self.top}/redis.sock"
        self._file = self.top / "redis.conf"
        self._file.write_text("\n".join([SERVER.format(port=self.port, top=self.top), *options, ""]))
        self._process: Process | None = None
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._process = Process(["redis-server", self._file], self.top / "log")
        wait_until(lambda: self.answers("PING"), f"redis-server on {self.port} answers")

    def answers(self, *words: str) -> bool:
        """Return whether it answers a command at all, if with an error."""
        try:
            return bool(command(self.port, *words))
        except OSError:
            return False

    def do(self, *words: str) -> bytes:
        """Send a command and return the raw answer."""
        return command(self.port, *words)

    def pause(self) -> None:
        """Stop the process: it takes connections, and says nothing."""
        self._running().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._running().send(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash does."""
        self._running().send(signal.SIGKILL)
        self._running().wait()

    def stop(self) -> None:
        """End it and remove what it wrote."""
        self._running().stop()
        shutil.rmtree(self.top)

    def _running(self) -> Process:
        assert self._process is not None
        return self._process


class Watched:
    """A master, a replica, and one sentinel that makes the replica master when the master dies."""

    def __init__(self) -> None:
        self.master = Redis()
        self.replica = Redis(f"replicaof 127.0.0.1 {self.master.port}")
        self.top = Path(tempfile.mkdtemp(prefix="earmark-sentinel-"))
        self.port = free_port()
        # the first sentinel of the list is dead: nobody may wait for it
        self.url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{self.port}/{SERVICE}"
        file = self.top / "sentinel.conf"
        file.write_text(SENTINEL.format(port=self.port, top=self.top, service=SERVICE, master=self.master.port))
        self._process = Process(["redis-sentinel", file], self.top / "log")
        wait_until(self._knows_the_replica, "the sentinel knows the replica")

    def _knows_the_replica(self) -> bool:
        try:
            said = command(self.port, "SENTINEL", "REPLICAS", SERVICE)
        except OSError:
            return False
        up = b"master_link_status:up" in self.replica.do("INFO", "replication")
        return up and str(self.replica.port).encode() in said

    def stop(self) -> None:
        """End all three."""
        self._process.stop()
        shutil.rmtree(self.top)
        self.replica.stop()
        self.master.stop()
