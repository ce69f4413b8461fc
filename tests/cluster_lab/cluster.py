"""The laboratory: corosync, Pacemaker and qnetd on machines of their own, the service, and senders that never rest."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv4Interface
from pathlib import Path
from typing import NamedTuple

from cluster_lab import mail_service, namespaces, site
from cluster_lab.machine import LAB, Machine
from cluster_lab.mail_service import CLEAN_CLIENT, LISTED_CLIENT, RECIPIENT, Disk
from cluster_lab.members import Arbitrator, Host, exchange_certificates
from cluster_lab.namespaces import NETWORK, Namespaces
from cluster_lab.power import Order, Power
from cluster_lab.status import Status, read_status
from cluster_lab.switch import BACKPLANE, SERVICE, Plug, Switch
from cluster_lab.tries import Try, read_tries
from e2e_lab.processes import PATH, wait_until
from earmark.cluster import cib
from earmark.cluster.files import write_files


class Sender(NamedTuple):
    """Arguments of sender.py."""

    name: str
    source: str
    first: int
    streams: int
    pause: float
    dawdle: float = 0.0


# The slow one has nearly always a session under way, whatever happens.
GOOD = (Sender("quick", CLEAN_CLIENT, 1, 3, 0.2), Sender("slow", CLEAN_CLIENT, 1_000_000, 1, 0.05, 0.5))
LISTED = Sender("listed", LISTED_CLIENT, 2_000_000, 1, 1.0)
WITHIN = 90.0
"""Seconds for the cluster to come to rest, on a busy machine."""
NEEDED = (
    *("unshare", "nsenter", "setpriv", "ip", "ping", "nft", "ss", "postfix"),
    *("corosync", "corosync-qdevice", "corosync-qnetd", "certutil", "pacemakerd", "crm_mon"),
)
_REST = 0.3
"""Seconds between two looks: each is a program that is started."""


def missing() -> str:
    """Return why there can be no cluster here; "" where there can."""
    return namespaces.missing(NEEDED, PATH)


class Cluster:
    """Two hosts, an arbitrator, and the world outside, from the constructor to `stop`."""

    def __init__(self) -> None:
        # 0755, since the accounts of Postfix and earmark read their configuration below it
        self.top = Path(tempfile.mkdtemp(prefix="earmark-cluster-", dir="/tmp"))
        self.top.chmod(0o755)
        self.inventory = site.inventory(self.top / "board.sock")
        with ExitStack() as started:
            started.callback(shutil.rmtree, self.top, ignore_errors=True)
            network = self.inventory.service.prefixlen
            self.switch = Switch(IPv4Interface(f"{self.inventory.gateway}/{network}"), self.top / "switch.log")
            started.callback(self.switch.stop)
            self.disk = Disk(self.top / "disk")
            self.hosts = {host.name: self._host(host.name) for host in self.inventory.hosts}
            self.arbitrator = self._arbitrator()
            self.machines: list[Machine] = [self.arbitrator, *self.hosts.values()]
            started.callback(self._switch_off)
            self.power = Power(self.top / "board.sock", self.hosts)
            started.callback(self.power.stop)
            self._world = self._connect_world()
            started.callback(self._world.kill)
            self._start()
            self._senders = [self._send(*sender) for sender in (*GOOD, LISTED)]
            self._stop = started.pop_all()

    def _host(self, name: str) -> Host:
        host = self.inventory.host(name)
        plugs = (
            Plug(BACKPLANE, host.backplane.interface, (self._interface(BACKPLANE, str(host.backplane.address)),)),
            Plug(SERVICE, host.service.bridge, (self._interface(SERVICE, str(host.service.address)),)),
        )
        return Host(name, self.top / name, self.switch, plugs)

    def _arbitrator(self) -> Arbitrator:
        found = self.inventory.arbitrator
        assert found is not None
        plug = Plug(SERVICE, "eno1", (self._interface(SERVICE, str(found.address)),))
        return Arbitrator(found.name, self.top / found.name, self.switch, [plug])

    def _interface(self, network: str, address: str) -> IPv4Interface:
        length = (self.inventory.backplane if network == BACKPLANE else self.inventory.service).prefixlen
        return IPv4Interface(f"{address}/{length}")

    def _connect_world(self) -> Namespaces:
        world = Namespaces(["sleep", "infinity"], NETWORK, self.top / "world.log")
        addresses = tuple(self._interface(SERVICE, address) for address in (CLEAN_CLIENT, LISTED_CLIENT))
        self.switch.connect("world", world, Plug(SERVICE, "eth0", addresses))
        return world

    def _start(self) -> None:
        """Install the machines as the runbook does, then switch them on."""
        mail_service.write_configuration(self.top / "mail")
        for machine in self.machines:
            machine.boot()
        exchange_certificates(self.inventory.name, self.arbitrator, *self.hosts.values())
        agents = site.stand_ins(self.inventory, self.disk.top, self.top / "mail")
        write_files(site.files(self.inventory, agents), self.top)
        self.arbitrator.start_services()
        for host in self.hosts.values():
            host.own()
            host.start_services()

    def _send(self, name: str, source: str, *numbers: float) -> "subprocess.Popen[bytes]":
        words = [sys.executable, LAB / "sender.py", source, self.address, RECIPIENT, self._tries(name), *numbers]
        return self._world.start(self.top / f"{name}.log", "env", f"PYTHONPATH={LAB.parent}", *map(str, words))

    @property
    def address(self) -> str:
        assert self.inventory.group is not None
        return str(self.inventory.group.address)

    def _tries(self, sender: str) -> Path:
        return self.top / f"{sender}.tries"

    def tries(self) -> list[Try]:
        """Return what the senders of good mail have seen so far."""
        return read_tries(*(self._tries(sender.name) for sender in GOOD))

    def tries_of_listed(self) -> list[Try]:
        """Return what the client on the blocklist has seen."""
        return read_tries(self._tries(LISTED.name))

    def status(self) -> Status | None:
        """Return what the cluster says of itself; None while no host speaks for it."""
        for host in self.hosts.values():
            try:
                seen = read_status(host.run("crm_mon", "--one-shot", "--output-as=xml", within=20))
            except (AssertionError, subprocess.SubprocessError):
                continue
            if seen.speaks:
                return seen
        return None

    @property
    def place(self) -> str:
        """The host that the cluster has the service on; "" while it is on none or moves."""
        seen = self.status()
        places = {tuple(seen.at(resource)) for resource in self._resources()} if seen else set()
        return places.pop()[0] if len(places) == 1 and all(len(hosts) == 1 for hosts in places) else ""

    def _resources(self) -> list[str]:
        assert self.inventory.group is not None
        return ["filesystem", "address", *map(cib.unit_id, self.inventory.group.units)]

    def wait_at_rest(self) -> str:
        """Switch on what is off; return the host with the service once both are there and nothing is left to do."""
        self.power.give()
        self._slowly(self._at_rest, "both hosts are in the cluster, the service runs, nothing is under way")
        return self.place

    def _at_rest(self) -> bool:
        seen = self.status()
        if seen is None or seen.online != self.hosts.keys() or not self.place:
            return False
        roles = [len(seen.at(cib.STORAGE, role)) for role in ("Promoted", "Unpromoted")]
        if roles != [1, 1] or len(seen.at("ping")) != 2:
            return False
        return self._idle(seen)

    def _idle(self, seen: Status) -> bool:
        return "S_IDLE" in self.hosts[seen.coordinator].run("crmadmin", "--status", seen.coordinator)

    def wait_alone(self, host: str) -> None:
        """Wait until `host` knows that it is alone, and has done all about it, such as cutting the other's power."""

        def alone() -> bool:
            seen = self.status()
            return seen is not None and seen.online == {host} and self._idle(seen)

        self._slowly(alone, f"{host} has come to terms with being alone")

    def wait_accepted(self, since: float, host: str = "") -> Try:
        """Return the first message that was accepted, by `host` or anyone, on a connection made after `since`."""
        self._slowly(lambda: self._accepted(since, host), f"{host or 'somebody'} accepts mail")
        return self._accepted(since, host)[0]

    def _accepted(self, since: float, host: str) -> list[Try]:
        return [each for each in self._since(since) if each.accepted and host in ("", each.host)]

    def wait_tries(self, since: float, number: int) -> list[Try]:
        """Return the tries that began after `since`, once there are so many."""
        self._slowly(lambda: len(self._since(since)) >= number, f"{number} tries")
        return self._since(since)

    def _since(self, since: float) -> list[Try]:
        return [each for each in self.tries() if each.at > since]

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Return once `condition` holds of the cluster."""
        self._slowly(condition, what)

    def fenced(self, since: float) -> list[Order]:
        """Return what fence agents have had cut, or wanted to, since then."""
        return [order for order in self.power.orders if order.at > since]

    def _slowly(self, condition: Callable[[], object], what: str) -> None:
        def look() -> object:
            time.sleep(_REST)
            return condition()

        wait_until(look, what, WITHIN)

    def finish_sending(self) -> None:
        """Let the senders come to an end: nothing is left that they must come back with."""
        for sender in self._senders:
            sender.send_signal(signal.SIGTERM)
        for sender in self._senders:
            sender.wait(WITHIN)

    def logged(self) -> dict[str, str]:
        """Return all logs by name."""
        found = {name: text for machine in self.machines for name, text in machine.logged().items()}
        found["disk"] = "\n".join(self.disk.opened())
        found["orders to cut power"] = "\n".join(map(str, self.power.orders))
        return found

    def _switch_off(self) -> None:
        for machine in self.machines:
            if machine.running:
                machine.lose_power()

    def stop(self) -> None:
        """End everything."""
        self._stop.close()
