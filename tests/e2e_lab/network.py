"""A network of its own, where this host has another name and every address of the documentation ranges.

A server in it is reached from whatever address a test likes, and asks the names of nobody but the test. For a server
that has nothing like XCLIENT.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

from e2e_lab.processes import PATH, Process, wait_until
from e2e_lab.stub_dns import SERVER

NEEDED = ("ip", "unshare", "nsenter")
_APART = ("--net", "--uts", "--mount")
_CLONE_NEWNET = 0x40000000
_ANSWER_WITHIN = 60.0

# A local route makes every address of a network this host's own (ip-route(8)); in IPv6 such an address must be allowed
# to be bound besides. The name server is what lives here as long as the network.
SETUP = """
ip link set lo up
ip route add local 192.0.2.0/24 dev lo
ip route add local 198.51.100.0/24 dev lo
ip route add local 203.0.113.0/24 dev lo
ip -6 route add local 2001:db8::/32 dev lo
echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind
echo "$1" >/proc/sys/kernel/hostname
mount --bind "$2" /etc/resolv.conf
exec "$3" "$4" 53 "$5"
"""


def missing() -> str:
    """Return why there can be none here; "" where there can."""
    absent = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid():
        return "only root makes networks"
    if not Path("/proc/sys/net/ipv6").exists():
        return "this kernel has no IPv6"
    made = subprocess.run(["unshare", *_APART, "true"], capture_output=True, check=False)
    return "" if not made.returncode else f"no network of its own: {made.stderr.decode().strip()}"


class Network:
    """One network, up from the constructor to `stop`."""

    def __init__(self, top: Path, name: str, zone: str) -> None:
        """`name` is this host's there; `zone` what the name server there knows, as in earmark/demo/zone.txt."""
        top.mkdir()
        self.log = top / "log"
        resolver, names = top / "resolv.conf", top / "zone"
        resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        names.write_text(zone, "utf-8")
        setup: list[str | Path] = ["sh", "-ec", SETUP, "sh", name, resolver, sys.executable, SERVER, names]
        self._process = Process(["unshare", *_APART, *setup], self.log)

    def wait_ready(self) -> None:
        wait_until(lambda: self.log.read_text().startswith("53"), "the network has its name server")

    def inside(self, *command: str | Path) -> list[str | Path]:
        """Return the command that runs a command there. Processes that are still there at `stop` lose nothing."""
        return ["nsenter", f"--target={self._process.pid}", *_APART, *command]

    def connect(self, source: str, port: int) -> socket.socket:
        """Return a TCP connection from an address to a port of this host there. Raises OSError."""
        six = ip_address(source).version == 6
        with ThreadPoolExecutor(1) as executor:  # a thread changes its network for itself alone, and ends here
            client = executor.submit(self._socket_there, socket.AF_INET6 if six else socket.AF_INET).result()
        client.settimeout(_ANSWER_WITHIN)
        try:
            client.bind((source, 0))
            client.connect(("::1" if six else "127.0.0.1", port))
        except OSError:
            client.close()
            raise
        return client

    def _socket_there(self, family: int) -> socket.socket:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{self._process.pid}/ns/net").open("rb") as there:
            if libc.setns(there.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return socket.socket(family)

    def stop(self) -> None:
        self._process.stop()
