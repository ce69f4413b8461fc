"""What Ansible's roles (deploy/ansible) need to know of the cluster: their inventory."""

from earmark.cluster.inventory import Inventory
from earmark.cluster.templates import fill

_ROLES = {
    "unbound.service": "unbound",
    "clamav-daemon.service": "clamd",
    "spamd.service": "spamd",
    "dovecot.service": "dovecot",
}
"""The role that installs a group's unit. The MTA and earmark are always there."""


def render_playbook(inventory: Inventory) -> str:
    """Return the inventory for ansible-playbook, as YAML: machines with their addresses, and where the files are."""
    units = inventory.group.units if inventory.group else []
    return fill("ansible.yml", inventory=inventory, contents=[_ROLES[unit] for unit in units if unit in _ROLES])
