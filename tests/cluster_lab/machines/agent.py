"""Runs in a machine of the lab: takes commands from the test, one after the other, and says what came of each.

A line of JSON each way, over a virtio serial port. Standard library only: the machine has nothing else.
"""

import json
import os
import signal
import subprocess
import tempfile
from typing import Any

PORT = "/dev/virtio-ports/earmark.lab"


def main() -> None:
    with open(PORT, "r+b", buffering=0) as port:  # noqa: PTH123 - unbuffered, both ways
        rest = b""
        while True:
            chunk = port.read(65536)
            if not chunk:  # the test has gone; it ends this machine too
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                _write(port.fileno(), json.dumps(_answer(json.loads(line))).encode() + b"\n")


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run the command of a request; output goes to a file, so that a server it leaves behind holds no pipe open."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as given:
        given.write(request["given"].encode("utf-8", "surrogateescape"))
        given.seek(0)
        try:
            command = subprocess.Popen(
                request["words"], stdin=given, stdout=output, stderr=output, start_new_session=True, cwd="/"
            )
        except OSError as error:
            return {"status": 127, "text": f"{error.filename}: {error.strerror}"}
        try:
            status = command.wait(request["within"])
        except subprocess.TimeoutExpired:
            os.killpg(command.pid, signal.SIGKILL)
            status = command.wait()
        output.seek(0)
        return {"status": status, "text": output.read().decode("utf-8", "surrogateescape")}


if __name__ == "__main__":
    main()
