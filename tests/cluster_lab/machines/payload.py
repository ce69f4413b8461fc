"""This checkout, with the Python packages that it needs, as a disk that machines read."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from cluster_lab.machines.image import PATH

ROOT = Path(__file__).parents[3]
_PARTS = ("milter", "policies", "rules", "deploy")
PYTHONPATH = "{top}/milter:{top}/python"
"""Where Python finds all of it, the disk being mounted at `top`. Debian 12's Python is the one it is made for."""


def write_payload(disk: Path) -> None:
    """Write the disk, an ext4 file system."""
    top = disk.with_suffix(".d")
    for part in _PARTS:
        shutil.copytree(ROOT / part, top / part)
    words = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(top / "milter")]
    subprocess.run(words, check=True)  # an emulated processor takes a minute for it, at each start
    (top / "python").mkdir()
    for name in _needed_by(Requirement("earmark[cluster]")):
        _copy(metadata.distribution(name), top / "python")
    size = int(subprocess.run(["du", "-sm", top], capture_output=True, text=True, check=True).stdout.split()[0])
    words = ["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", str(top), str(disk), f"{size * 5 // 4 + 16}m"]
    subprocess.run(words, env={"PATH": PATH}, stdout=subprocess.DEVNULL, check=True)
    shutil.rmtree(top)


def _needed_by(wanted: Requirement) -> set[str]:
    """Return the installed packages that one needs, with all that those need."""
    needed: set[str] = set()
    left = [wanted]
    while left:
        requirement = left.pop()
        for text in metadata.requires(requirement.name) or ():
            other = Requirement(text)
            applies = other.marker is None or any(
                other.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            )
            if applies and other.name not in needed:
                needed.add(other.name)
                left.append(other)
    return needed


def _copy(distribution: metadata.Distribution, to: Path) -> None:
    for file in distribution.files or ():
        if ".." not in file.parts:  # its command below bin/
            target = to / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(distribution.locate_file(file)), target)
