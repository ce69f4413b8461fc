"""From an inventory to all files of all machines (docs/cluster-render.md)."""

import uuid
from collections.abc import Iterator

from earmark.cluster.cib import DRBD_DEVICE, GUEST_PROBE, guest_definition, render_cib
from earmark.cluster.files import File
from earmark.cluster.inventory import Arbitrator, Group, Guest, Host, Inventory
from earmark.cluster.playbook import render_playbook
from earmark.cluster.runbooks import render_runbooks
from earmark.cluster.templates import fill
from earmark.config.files import shipped

PROBE_PROGRAM = "/usr/local/lib/cluster/guest_probe.py"
"""On the hosts: what the guest's probe runs. The same for all clusters, so that it is no template."""

HOST = {
    "etc/mdadm/mdadm.conf.d/cluster.conf": "mdadm.conf",
    "etc/lvm/lvmlocal.conf": "lvmlocal.conf",
    "etc/modules-load.d/cluster.conf": "modules-load.conf",
    "etc/sysctl.d/60-cluster.conf": "sysctl.conf",
    "etc/drbd.d/global_common.conf": "global_common.conf",
    "etc/corosync/corosync.conf": "corosync.conf",
    "etc/nftables.conf": "nftables.conf",
    "etc/dma/dma.conf": "dma.conf",
    "etc/systemd/system/resource-agents-deps.target.d/cluster.conf": "resource-agents-deps.conf",
    "etc/systemd/system-preset/10-cluster.preset": "preset",
}
"""Templates below host/ by the path of the file, for what every host has."""

ARBITRATOR = {
    "etc/default/corosync-qnetd": "corosync-qnetd",
    "etc/nftables.conf": "nftables.conf",
    "etc/systemd/system/corosync-qnetd.service.d/cluster.conf": "corosync-qnetd.conf",
    "etc/systemd/system-preset/10-cluster.preset": "preset",
}

GUEST = {
    "etc/default/grub.d/cluster.cfg": "console.cfg",
    "etc/hosts": "hosts",
    "etc/modules-load.d/cluster.conf": "modules-load.conf",
    "etc/nftables.conf": "nftables.conf",
    "etc/systemd/network/10-service.network": "service.network",
    "etc/systemd/system.conf.d/cluster.conf": "watchdog.conf",
    "etc/systemd/system-preset/10-cluster.preset": "preset",
}

ALARM = ("earmark-alarm.service", "earmark-alarm.timer", "earmark-alarm-mail.service")
"""Where the filter runs: who looks after it, and tells."""


def render(inventory: Inventory) -> dict[str, File]:
    """Return every file, by machine and path. The same inventory gives the same bytes."""
    files = {"cluster/cib.xml": File(render_cib(inventory)), **render_runbooks(inventory)}
    files["cluster/ansible.yml"] = File(render_playbook(inventory))
    if inventory.guest:
        files["cluster/guest-build.toml"] = File(fill("guest-build.toml", inventory=inventory, device=DRBD_DEVICE))
    for host in inventory.hosts:
        files |= {f"{host.name}/{path}": file for path, file in _host(inventory, host)}
    if inventory.arbitrator:
        files |= {
            f"{inventory.arbitrator.name}/{path}": file for path, file in _arbitrator(inventory, inventory.arbitrator)
        }
    if inventory.guest:
        files |= {f"guest/{path}": file for path, file in _guest(inventory, inventory.guest)}
    return dict(sorted(files.items()))


def _host(inventory: Inventory, host: Host) -> Iterator[tuple[str, File]]:
    templates = {
        **HOST,
        f"etc/drbd.d/{inventory.name}.res": "resource.res",
        f"etc/systemd/network/10-{host.service.bridge}.netdev": "bridge.netdev",
        f"etc/systemd/network/10-{host.service.bridge}.network": "bridge.network",
        f"etc/systemd/network/20-{host.service.interface}.network": "uplink.network",
        f"etc/systemd/network/20-{host.backplane.interface}.network": "backplane.network",
    }
    if inventory.arbitrator:
        templates["etc/systemd/system/corosync-qdevice.service.d/cluster.conf"] = "corosync-qdevice.conf"
    service = inventory.guest or inventory.group
    for path, template in templates.items():
        yield (
            path,
            File(
                fill(
                    f"host/{template}",
                    inventory=inventory,
                    host=host,
                    peer=inventory.peer(host.name),
                    device=DRBD_DEVICE,
                    volume=f"/dev/{inventory.storage.volume_group}/{inventory.name}",
                    service_address=service.address if service else "",
                )
            ),
        )
    if inventory.guest:
        yield from _for_guest(inventory, inventory.guest)
    if inventory.group:
        yield from _for_group(inventory, inventory.group)


def _for_guest(inventory: Inventory, guest: Guest) -> Iterator[tuple[str, File]]:
    """Yield what a host needs to run the guest."""
    # Made of the names, so that it stays the same; RFC 9562 section 5.5.
    identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{inventory.name}/{guest.name}")
    definition = fill("host/guest.xml", inventory=inventory, device=DRBD_DEVICE, uuid=identity)
    yield guest_definition(guest).removeprefix("/"), File(definition)
    yield (
        GUEST_PROBE.removeprefix("/"),
        File(fill("host/guest-probe", inventory=inventory, program=PROBE_PROGRAM), 0o755),
    )
    program = shipped() / "deploy" / "cluster" / "monitor" / "guest_probe.py"
    yield PROBE_PROGRAM.removeprefix("/"), File(program.read_text(encoding="utf-8"))


def _for_group(inventory: Inventory, group: Group) -> Iterator[tuple[str, File]]:
    """Yield what a host needs to run the service itself."""
    for unit in group.units:
        yield f"etc/systemd/system/{unit}.d/cluster.conf", File(fill("host/unit.conf", inventory=inventory, unit=unit))
    yield from _where_mail_comes(inventory)


def _arbitrator(inventory: Inventory, arbitrator: Arbitrator) -> Iterator[tuple[str, File]]:
    for path, template in ARBITRATOR.items():
        yield path, File(fill(f"arbitrator/{template}", inventory=inventory, arbitrator=arbitrator))


def _guest(inventory: Inventory, guest: Guest) -> Iterator[tuple[str, File]]:
    for path, template in GUEST.items():
        yield path, File(fill(f"guest/{template}", inventory=inventory, guest=guest))
    yield from _where_mail_comes(inventory)


def _where_mail_comes(inventory: Inventory) -> Iterator[tuple[str, File]]:
    """Yield what is needed beside MTA and filter, in the guest or on both hosts."""
    yield "usr/local/sbin/earmark-drain", File(fill("drain/earmark-drain", inventory=inventory), 0o755)
    for unit in ALARM:
        yield f"etc/systemd/system/{unit}", File(fill(f"alarm/{unit}", inventory=inventory))
