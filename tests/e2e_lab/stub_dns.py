"""A DNS server that knows one zone text and nothing else, as a process of its own: tests/fakes/dnsd.py."""

import socket
import sys
from pathlib import Path

from e2e_lab.processes import Process, free_port, wait_until
from earmark.wire.dnsxl import query, question

SERVER = Path(__file__).parents[1] / "fakes" / "dnsd.py"


class StubDns:
    """It answers on `port` of 127.0.0.1, by UDP. Names that the text does not have do not exist."""

    def __init__(self, top: Path, zone: str) -> None:
        self.port = free_port()
        top.mkdir()
        file = top / "zone"
        file.write_text(zone, "utf-8")
        self.log = top / "log"
        self._process = Process([sys.executable, SERVER, str(self.port), file], self.log)

    def wait_ready(self) -> None:
        wait_until(self._answers, "the stub DNS answers")

    def _answers(self) -> bool:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.connect(("127.0.0.1", self.port))
            try:
                client.send(query(1, question("ready.test", "A")))
                return bool(client.recv(512))
            except OSError:
                return False

    def stop(self) -> None:
        self._process.stop()
