"""Names and places that several rendered files must agree on."""

from earmark.cluster.inventory import Guest, Inventory

DEVICE = "/dev/drbd0"
"""The replicated disk, on the host where it is primary."""

GUEST_PROBE = "/usr/local/sbin/guest-answers"
"""On the hosts: says whether the guest's SMTP server answers. `monitor_scripts` of the guest's resource."""


def disk_resource(inventory: Inventory) -> str:
    """Return the name of the DRBD resource; of the logical volume beneath it too."""
    return inventory.name


def volume(inventory: Inventory) -> str:
    """Return the logical volume that carries the replicated disk, as a device."""
    return f"/dev/{inventory.storage.volume_group}/{disk_resource(inventory)}"


def domain_file(guest: Guest) -> str:
    """Return where the hosts keep the guest's definition.

    Not below /etc/libvirt/qemu: what stands there libvirtd takes for its own, defines it by itself and rewrites it.
    """
    return f"/etc/libvirt/cluster/{guest.name}.xml"
