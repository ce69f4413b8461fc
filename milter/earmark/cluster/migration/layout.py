"""How the guest's disk is laid out, and what all of it is called. Names are derived: a second run knows them."""

import uuid
import zlib
from pathlib import PurePosixPath
from typing import NamedTuple

from earmark.cluster.migration.request import Request

_NAMESPACE = uuid.UUID("6f1a2c0e-6d0b-5c0e-9b0a-0f3a7d9a4c11")
"""Ours alone: a file system that bears a UUID made from it was made by us for this guest."""


class Layout(NamedTuple):
    """One partition, one volume group in it, a root and a swap."""

    device: str
    partition: str
    group: str
    root: str
    swap: str
    mount: str
    label: str
    """Of the partition table: eight hexadecimal digits that only this guest's disk bears."""
    root_uuid: str
    swap_uuid: str

    @property
    def opened(self) -> tuple[str, ...]:
        """The words that open LVM for this one partition and shut it for all else, whatever the host's filter says."""
        accepted = f'["a|^{self.partition}$|", "r|.*|"]'
        return ("--config", f"devices {{ use_devicesfile=0 filter={accepted} global_filter={accepted} }}")


def layout(request: Request) -> Layout:
    """Return the names of a guest's disk."""
    group = request.target.volume_group
    return Layout(
        device=request.target.device,
        partition=f"/dev/mapper/{mapped_name(request.target.device)}p1",
        group=group,
        root=f"/dev/mapper/{group}-root",
        swap=f"/dev/mapper/{group}-swap",
        mount=f"{request.target.mount}/{request.name}",
        label=f"0x{zlib.crc32(request.name.encode()) or 1:08x}",
        root_uuid=str(uuid.uuid5(_NAMESPACE, f"{request.name}/root")),
        swap_uuid=str(uuid.uuid5(_NAMESPACE, f"{request.name}/swap")),
    )


def mapped_name(device: str) -> str:
    """Return what kpartx puts before the "p" of a partition: a volume's device-mapper name, else the last part."""
    within = PurePosixPath(device).relative_to("/dev").parts
    if len(within) != 2 or within[0] in ("mapper", "disk", "drbd"):
        return within[-1]
    group, volume = (part.replace("-", "--") for part in within)
    return f"{group}-{volume}"
