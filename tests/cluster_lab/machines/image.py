"""What the machines of the lab boot, built once for each recipe and kept in a cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from earmark.cluster.files import File, write_files

HERE = Path(__file__).parent
RECIPE = HERE / "build-image"
NEEDED = ("qemu-system-x86_64", "qemu-img", "debootstrap", "mke2fs", "cpio", "busybox", "setpriv", "unshare", "apt-get")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_EARLY = ("virtio_pci", "virtio_blk", "overlay")
"""Modules without which a host does not reach its root file system."""


@dataclass(frozen=True, slots=True)
class Image:
    """The built files. None of them is ever written to."""

    kernel: Path
    modules: Path
    host: Path
    """Root file system of the hosts."""
    guest: Path
    """Root file system of the old machine that is migrated."""
    built_in: float
    """Seconds that the building took; 0 where it was in the cache."""


def missing() -> str:
    """Return why there can be no machines here; "" where there can."""
    absent = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return "only root builds the machines' image" if os.geteuid() else ""


def cached_image() -> Image:
    """Return the image of this recipe, after building it where nobody has yet. Raises CalledProcessError."""
    cache = Path(os.environ.get("EARMARK_CACHE") or Path.home() / ".cache" / "earmark")
    cache.mkdir(parents=True, exist_ok=True)
    directory = cache / f"machines-{hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:16]}"
    built_in = 0.0
    with (cache / "machines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would build the same
        if not directory.is_dir():
            built_in = _build(directory)
    return Image(
        directory / "vmlinuz", directory / "modules", directory / "host.ext4", directory / "guest.ext4", built_in
    )


def _build(directory: Path) -> float:
    """Build beside the directory, and give it its name when it is whole. What older recipes made is in the way."""
    begun = time.monotonic()
    for old in directory.parent.glob("machines-*"):
        shutil.rmtree(old)
    new = directory.with_suffix(".new")
    subprocess.run(["setpriv", "--pdeathsig", "KILL", RECIPE, new], env={**os.environ, "PATH": PATH}, check=True)
    new.replace(directory)
    return time.monotonic() - begun


def write_initramfs(image: Image, files: Mapping[str, File], archive: Path) -> None:
    """Write what a host needs to come from its kernel to the agent, and the `files` that it finds in its root then."""
    top = archive.with_suffix(".d")
    for name in ("bin", "proc", "sys", "dev", "image", "memory", "root", "modules"):
        (top / name).mkdir(parents=True)
    busybox = shutil.which("busybox", path=PATH)
    assert busybox
    shutil.copy(busybox, top / "bin" / "busybox")
    for name in ("init", "start", "agent.py"):
        shutil.copy(HERE / name, top / name)
    (top / "init").chmod(0o755)
    (top / "files").mkdir()
    write_files(files, top / "files")
    order = _in_order(image.modules)
    for module in order:
        shutil.copy(image.modules / module, top / "modules")
    (top / "modules" / "order").write_text("\n".join(Path(module).name for module in order))
    names = "\n".join(str(path.relative_to(top)) for path in sorted(top.rglob("*")))
    with archive.open("wb") as output:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"], cwd=top, input=names.encode(), stdout=output, check=True
        )
    shutil.rmtree(top)


def _in_order(modules: Path) -> list[str]:
    """Return the files of the early modules and of all that they need, each after what it needs (modules.dep(5))."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        module, _, others = line.partition(":")
        needs[module] = others.split()
    order: list[str] = []

    def add(module: str) -> None:
        for other in needs[module]:
            add(other)
        if module not in order:
            order.append(module)

    for name in _EARLY:
        add(next(module for module in needs if Path(module).stem == name))
    return order
