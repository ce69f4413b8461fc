"""The machines of a cluster: two hosts and an arbitrator, and what each starts with."""

import shutil
import sys
from pathlib import Path
from subprocess import CalledProcessError

from cluster_lab.machine import Machine
from cluster_lab.mail_service import ZONE
from e2e_lab.processes import wait_until

DNS_SERVER = Path(__file__).parents[1] / "fakes" / "dnsd.py"
_STOPS_WITHIN = 60.0
_CERTIFICATES = Path("etc/corosync/qdevice/net/nssdb")


class Arbitrator(Machine):
    """It runs corosync-qnetd and nothing else."""

    def start_services(self) -> None:
        if (self.disk / "etc/corosync/qnetd/nssdb").exists():  # else it is yet to be installed
            self.run("nft", "-f", self.disk / "etc/nftables.conf")
            self.start("qnetd", "corosync-qnetd", "-f")


class Host(Machine):
    """It runs corosync, the client of the arbitrator, Pacemaker, and a resolver."""

    _pacemaker_after = 0.0
    """Seconds until Pacemaker starts."""

    def start_services(self) -> None:
        if not (self.disk / "etc/corosync/corosync.conf").exists():  # yet to be installed
            return
        self.run("nft", "-f", self.disk / "etc/nftables.conf")
        zone = self.disk / "etc/pacemaker/zone"
        zone.write_text(ZONE)
        self.start("resolver", "env", f"PYTHONPATH={DNS_SERVER.parents[1]}", sys.executable, DNS_SERVER, "53", zone)
        self.run("corosync")
        wait_until(self._has_configuration, f"corosync of {self.name} has read its configuration")
        self.start("qdevice", "corosync-qdevice", "-f")
        own = ["PCMK_logfacility=none", "PCMK_logfile=/var/log/pacemaker/pacemaker.log"]
        late = ["sh", "-c", 'sleep "$0"; exec "$@"', str(self._pacemaker_after)]
        self.start("pacemakerd", "env", *own, *late, "pacemakerd", "-f")

    @property
    def votes(self) -> int:
        """How many votes corosync counts here: each host has one, and so has the arbitrator."""
        return int(self._quorum("Total votes"))

    @property
    def quorate(self) -> bool:
        return self._quorum("Quorate") == "Yes"

    def _quorum(self, name: str) -> str:
        script = "corosync-quorumtool -s || true"  # it fails where there is no quorum
        lines = self.run("sh", "-c", script).splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))

    def send_corosync(self, signal_name: str) -> None:
        """Send a signal to its corosync, such as "STOP"."""
        self.run("pkill", "--exact", f"--signal={signal_name}", "corosync")

    def reboot(self, pacemaker_after: float) -> None:
        """Do what systemd does with the cluster's services at a reboot: stop them in good order, each waited for.

        The kernel knows a program by the first 15 characters of its name. Where a host starts, corosync is there, and
        counts, before Pacemaker is: for so many seconds.
        """
        for service in ("pacemakerd", "corosync-qdevic", "corosync"):
            self.run("pkill", "--exact", "--signal=TERM", service)
            wait_until(lambda: not self._runs(service), f"{service} of {self.name} has ended", _STOPS_WITHIN)  # noqa: B023
        self.lose_power()
        self._pacemaker_after = pacemaker_after
        self.boot()
        self._pacemaker_after = 0.0

    def _runs(self, service: str) -> bool:
        return bool(self.run("sh", "-c", f"pgrep --exact {service} || true"))

    def _has_configuration(self) -> bool:
        """Return whether corosync answers; the client of the arbitrator ends when it comes too early."""
        try:
            return bool(self.run("corosync-cmapctl", "-g", "totem.cluster_name"))
        except CalledProcessError:
            return False


def exchange_certificates(cluster: str, arbitrator: Machine, first: Machine, second: Machine) -> None:
    """Let the arbitrator sign a certificate that both hosts show it: corosync-qdevice-net-certutil(8).

    Both must have power, and need run nothing.
    """
    arbitrator.run("corosync-qnetd-certutil", "-i", "-G")
    _carry(arbitrator, "etc/corosync/qnetd/nssdb/qnetd-cacert.crt", first)
    first.run("corosync-qdevice-net-certutil", "-i", "-c", "/etc/corosync/qnetd-cacert.crt")
    first.run("corosync-qdevice-net-certutil", "-r", "-n", cluster)
    _carry(first, f"{_CERTIFICATES}/qdevice-net-node.crq", arbitrator)
    arbitrator.run(
        "corosync-qnetd-certutil", "-s", "-G", "-c", "/etc/corosync/qdevice-net-node.crq", "-n", cluster
    )  # fmt: skip
    _carry(arbitrator, f"etc/corosync/qnetd/nssdb/cluster-{cluster}.crt", first)
    first.run("corosync-qdevice-net-certutil", "-M", "-c", f"/etc/corosync/cluster-{cluster}.crt")
    shutil.copytree(first.disk / _CERTIFICATES, second.disk / _CERTIFICATES)


def _carry(giver: Machine, name: str, taker: Machine) -> None:
    shutil.copy(giver.disk / name, taker.disk / "etc/corosync")
