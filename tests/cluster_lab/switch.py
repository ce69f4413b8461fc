"""The two networks, as bridges in a namespace of their own: nothing of it is seen in the machine's own network."""

from contextlib import suppress
from ipaddress import IPv4Interface
from pathlib import Path
from subprocess import CalledProcessError
from typing import NamedTuple

from cluster_lab.namespaces import NETWORK, Namespaces

BACKPLANE = "backplane"
SERVICE = "service"


class Plug(NamedTuple):
    """Where a machine hangs on a network."""

    network: str
    interface: str
    """Of the machine."""
    addresses: tuple[IPv4Interface, ...]


class Switch:
    """It answers pings on the gateway's address."""

    def __init__(self, gateway: IPv4Interface, log: Path) -> None:
        self._inside = Namespaces(["sleep", "infinity"], NETWORK, log)
        for number, network in enumerate((BACKPLANE, SERVICE), 1):
            # without an address of its own, a bridge changes it when ports come and go: neighbours lose sight of it
            self._ip("link", "add", network, "address", f"02:00:00:00:00:0{number}", "type", "bridge")
            self._ip("link", "set", network, "up")
        self._ip("address", "add", str(gateway), "dev", SERVICE)

    def connect(self, name: str, machine: Namespaces, plug: Plug) -> None:
        """Give a machine, newly made, its end of a cable."""
        port = _port(name, plug.network)
        with suppress(CalledProcessError):  # of the machine before, when its namespace is still being taken down
            self._ip("link", "delete", port)
        self._ip("link", "add", port, "type", "veth", "peer", "name", plug.interface, "netns", str(machine.pid))
        self._ip("link", "set", port, "master", plug.network, "up")
        for address in plug.addresses:
            machine.run("ip", "address", "add", str(address), "dev", plug.interface)
        machine.run("ip", "link", "set", plug.interface, "up")

    def cut(self, name: str, *networks: str) -> None:
        """Pull a machine's cables."""
        for network in networks:
            self._ip("link", "set", _port(name, network), "down")

    def mend(self, name: str, *networks: str) -> None:
        """Put them back."""
        for network in networks:
            self._ip("link", "set", _port(name, network), "up")

    def stop(self) -> None:
        self._inside.kill()

    def _ip(self, *words: str) -> None:
        self._inside.run("ip", *words)


def _port(name: str, network: str) -> str:
    return f"{network[:4]}-{name}"
