"""The cluster as its inventory says it, and the files that the product makes of it, with the lab's few stand-ins."""

import secrets
import sys
from pathlib import Path

from cluster_lab.mail_service import MOUNT, POSTFIX
from earmark.cluster.cib import STORAGE, Agent, Agents, render_cib, unit_id
from earmark.cluster.files import File
from earmark.cluster.inventory import Inventory, read_inventory
from earmark.cluster.render import render

INVENTORY = """
schema = 1
name = "lab"
backplane = "10.77.0.0/24"
service = "192.0.2.0/24"
gateway = "192.0.2.1"
ping = ["192.0.2.1"]
prefer = "hosta"
admin = "root"

[arbitrator]
name = "arbiter"
address = "192.0.2.13"

[storage]
drbd = "8.4"

[group]
address = "192.0.2.25"
mount = "{mount}"
disk = 1
memory = 256

[timers]
token = 1000
qdevice = 3000
qdevice_sync = 6000
ping_interval = 2
ping_dampen = 1
monitor = 2
start = 60
stop = 60
failure = 60
fencing = 20
"""
HOST = """
[[hosts]]
name = "{name}"
memory = 1024
disks = ["/dev/sda2"]
backplane = {{ interface = "eno2", address = "10.77.0.{number}" }}
service = {{ interface = "eno1", address = "192.0.2.1{number}", bridge = "br0", mac = "02:00:c0:00:02:1{number}" }}
[[hosts.fencing]]
agent = "fence_lab"
parameters = {{ socket = "{board}", plug = "{name}", outlet = "1" }}
[[hosts.fencing]]
agent = "fence_lab"
parameters = {{ socket = "{board}", plug = "{name}", outlet = "2" }}
"""
OWN_SYSTEM = """
system {
    # neither real-time scheduling nor the root control group can be had in a container
    sched_rr: no
    move_to_root_cgroup: no
}
"""
NOTIFIED = Path(__file__).with_name("notified.py")
PID = "/run/earmark.pid"


def inventory(board: Path) -> Inventory:
    """Return the lab's inventory; `board` is the socket of the hosts' management board."""
    hosts = "".join(
        HOST.format(name=name, number=number, board=board) for number, name in enumerate(("hosta", "hostb"), 1)
    )
    return read_inventory("lab.toml", (INVENTORY.format(mount=MOUNT) + hosts).encode())[0]


def stand_ins(inventory: Inventory, disk: Path, mail: Path) -> Agents:
    """Return what stands for DRBD, the file system on it, and systemd; all else is as in production."""
    assert inventory.group is not None
    earmark, postfix = map(unit_id, inventory.group.units)
    serve = f"env EARMARK_CONFIG={mail / 'earmark'} {sys.executable} -m earmark serve"
    notified = f"/usr/bin/python3 {NOTIFIED}"
    master = f"postfix -c {mail / POSTFIX}"
    return Agents(
        stand_ins={
            STORAGE: Agent("ocf:pacemaker:Stateful", {}),
            "filesystem": Agent("ocf:lab:disk", {"device": str(disk), "directory": MOUNT}),
            earmark: _unit(f"{notified} start {PID} {serve}", f"{notified} stop {PID}", f"{notified} status {PID}"),
            postfix: _unit(f"{master} start", f"{master} stop", f"{master} status"),
        },
        alerts=False,
        dc_deadtime=5,
    )


def _unit(start: str, stop: str, status: str) -> Agent:
    return Agent("ocf:lab:unit", {"start": start, "stop": stop, "status": status})


def files(inventory: Inventory, agents: Agents) -> dict[str, File]:
    """Return the files of all machines, by "MACHINE/path/from/root"."""
    found = render(inventory)
    key = File(secrets.token_hex(128), 0o400)
    for host in inventory.hosts:
        corosync = f"{host.name}/etc/corosync/corosync.conf"
        found[corosync] = File(found[corosync].text + OWN_SYSTEM)
        found[f"{host.name}/etc/corosync/authkey"] = key
        found[f"{host.name}/var/lib/pacemaker/cib/cib.xml"] = File(render_cib(inventory, agents), 0o600)
    return found
