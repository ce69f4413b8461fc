"""The plan: a pure function of the migration file and of what was seen of the source (docs/migration.md)."""

from earmark.cluster.migration.actions import Plan
from earmark.cluster.migration.facts import Facts
from earmark.cluster.migration.layout import layout
from earmark.cluster.migration.request import Request
from earmark.cluster.migration.steps_boot import boot_steps, loader_steps, skeleton_steps
from earmark.cluster.migration.steps_copy import closing_steps, copy_steps, edit_steps, outage_steps
from earmark.cluster.migration.steps_disk import disk_steps
from earmark.cluster.migration.steps_new import new_steps


def plan_of(request: Request, facts: Facts) -> Plan:
    """Return the steps, in order."""
    disk = layout(request)
    if request.is_new:
        begun = (*disk_steps(request, facts, disk), *new_steps(request, disk))
        return (*begun, *closing_steps(request, disk), *boot_steps(request, disk))
    return (
        *disk_steps(request, facts, disk),
        *(skeleton_steps(request, facts, disk) if request.target.kernel == "debootstrap" else ()),
        *copy_steps(request, facts, disk),
        *outage_steps(request, facts, disk),
        *edit_steps(request, facts, disk),
        *(loader_steps(request, facts, disk) if request.target.kernel == "source" else ()),
        *closing_steps(request, disk),
        *boot_steps(request, disk),
    )
