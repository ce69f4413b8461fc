"""Real clamd with three signatures of its own and no network: ready in half a second, 20 MB."""

import base64
import getpass
import hashlib
import io
import shutil
import signal
import socket
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

from e2e_lab.processes import PATH, Process, free_port, wait_until

SAMPLES = Path("/usr/share/clamav-testfiles")
"""One harmless program in 44 containers (Debian's clamav-testfiles)."""
MARKER = b"EARMARK-LAB-VIRUS-MARKER"
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-" + b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The EICAR test file (https://www.eicar.org), in two pieces, so that this file is none."""
CONFIGURATION = """
Foreground yes
LogFile {top}/log
LogTime yes
TemporaryDirectory {top}/tmp
DatabaseDirectory {top}/db
TCPSocket {port}
TCPAddr 127.0.0.1
LocalSocket {top}/socket
LocalSocketMode 666
FixStaleSocket yes
User {user}
SelfCheck 0
Bytecode no
"""
DEFAULTS = {
    "MaxThreads": "4",
    "MaxQueue": "16",
    "ReadTimeout": "5",
    "CommandReadTimeout": "3",
    "StreamMaxLength": "25M",
    "MaxScanSize": "25M",
    "MaxFileSize": "25M",
    "AlertExceedsMax": "yes",
}


def missing() -> str:
    """Return why there can be none here; "" where there can."""
    absent = [] if shutil.which("clamd", path=PATH) else ["clamav-daemon"]
    absent += [] if SAMPLES.is_dir() else ["clamav-testfiles"]
    return f"not installed: {', '.join(absent)}" if absent else ""


class ClamdServer:
    """One clamd, over TCP and a unix socket. `stop` ends it for good; the others are its accidents."""

    def __init__(self, **options: str) -> None:
        """Start it; `options` are those of clamd.conf, such as StreamMaxLength="1M"."""
        self.top = Path(tempfile.mkdtemp(prefix="earmark-clamd-"))
        self.port = free_port()
        self.tcp = f"inet:127.0.0.1:{self.port}"
        self.unix = f"unix:{self.top}/socket"
        self._database = self.top / "db"
        for directory in (self._database, self.top / "tmp"):
            directory.mkdir()
        self.sign()
        self._file = self.top / "clamd.conf"
        settings = "".join(f"{name} {value}\n" for name, value in {**DEFAULTS, **options}.items())
        own = CONFIGURATION.format(top=self.top, port=self.port, user=getpass.getuser())
        self._file.write_text(own + settings)
        self.top.chmod(0o755)
        self._process: Process | None = None
        self.start()

    def sign(self, **more: bytes) -> None:
        """Write the signatures: EICAR, a marker, the program of the samples, and `more` by name. Takes a reload."""
        named = {"Lab.Eicar": EICAR, "Lab.Marker": MARKER, **{f"Lab.{name}": text for name, text in more.items()}}
        # .ndb: Name:TargetType:Offset:HexSignature; .hdb: md5:size:Name. clamd adds ".UNOFFICIAL" to the names.
        lines = "".join(f"{name}:0:*:{text.hex()}\n" for name, text in named.items())
        (self._database / "lab.ndb").write_text(lines)
        sample = SAMPLES.joinpath("clam.exe").read_bytes()
        digest = hashlib.md5(sample, usedforsecurity=False).hexdigest()
        (self._database / "lab.hdb").write_text(f"{digest}:{len(sample)}:Lab.ClamExe\n")

    def break_signatures(self) -> None:
        """Write what is no signature."""
        (self._database / "lab.ndb").write_text("no signature\n")

    def logged(self) -> str:
        """Return its log."""
        return (self.top / "log").read_text()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = Process(["clamd", "-c", self._file], self.top / "out")
        wait_until(self.answers, f"clamd answers on port {self.port}")

    def answers(self) -> bool:
        """Return whether it says PONG."""
        try:
            return self.do(b"zPING\0") == b"PONG\0"
        except OSError:
            return False

    def do(self, command: bytes) -> bytes:
        """Send a command and return the raw answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(command)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def reload(self) -> None:
        """Have it read its signatures again; scans go on meanwhile."""
        assert self.do(b"zRELOAD\0") == b"RELOADING\0"

    def pause(self) -> None:
        """Stop the process: it takes connections, and says nothing."""
        self._running().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._running().send(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash does: the file of its socket stays."""
        self._running().send(signal.SIGKILL)
        self._running().wait()

    def open_sockets(self) -> int:
        """Return how many sockets it holds: those that it listens on, and its connections."""
        held = 0
        for descriptor in Path(f"/proc/{self._running().pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                held += str(descriptor.readlink()).startswith("socket:")
        return held

    def stop(self) -> None:
        """End it and remove what it wrote."""
        self._running().stop()
        shutil.rmtree(self.top)

    def _running(self) -> Process:
        assert self._process is not None
        return self._process


def attached(name: str, data: bytes) -> bytes:
    """Return a message with an attachment in base64."""
    text = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return (
        b'From: a@example.org\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nSee there.\r\n--b\r\nContent-Type: application/octet-stream\r\n"
        b'Content-Disposition: attachment; filename="%b"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        % name.encode()
        + text
        + b"--b--\r\n"
    )


def zipped(name: str, data: bytes) -> bytes:
    """Return an archive with one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()
