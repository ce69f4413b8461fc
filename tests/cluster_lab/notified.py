"""What systemd does with a unit of Type=notify: starts it, waits for READY=1 (sd_notify(3)), ends it by SIGTERM.

    notified.py start PIDFILE COMMAND... | stop PIDFILE | status PIDFILE

Needs the standard library alone.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

READY_WITHIN = 60.0
_POLL = 0.2
_KILL_AFTER = 45.0
"""TimeoutStopSec= of deploy/systemd/earmark.service."""


def start(pidfile: Path, *command: str) -> int:
    address = pidfile.with_suffix(".notify")
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(address))
        address.chmod(0o666)
        told.settimeout(_POLL)
        environment = {**os.environ, "NOTIFY_SOCKET": str(address)}
        child = subprocess.Popen(command, env=environment, cwd="/", start_new_session=True)
        pidfile.write_text(str(child.pid))
        ready = _ready(told, child)
    child.returncode = 0  # it is left running, and need not be waited for
    return 0 if ready else 1


def _ready(told: socket.socket, child: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and child.poll() is None:
        with suppress(TimeoutError):
            if b"READY=1" in told.recv(4096).split(b"\n"):
                return True
    return False


def stop(pidfile: Path) -> int:
    deadline = time.monotonic() + _KILL_AFTER
    os.kill(_pid(pidfile), signal.SIGTERM)
    while not status(pidfile):
        if time.monotonic() > deadline:
            os.kill(_pid(pidfile), signal.SIGKILL)
        time.sleep(0.02)
    return 0


def status(pidfile: Path) -> int:
    """Return 0 while it runs, and 3 otherwise, as systemctl does."""
    try:
        os.kill(_pid(pidfile), 0)
    except (ProcessLookupError, FileNotFoundError):
        return 3
    return 0


def _pid(pidfile: Path) -> int:
    return int(pidfile.read_text())


if __name__ == "__main__":
    action, file, *words = sys.argv[1:]
    sys.exit({"start": start, "stop": stop, "status": status}[action](Path(file), *words))
