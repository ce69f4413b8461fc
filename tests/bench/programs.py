"""The programs in C: built here when their sources are newer."""

import os
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent
_BUILD = _HERE / "build"
_SOURCES = {
    "miltload": (("miltload.c", "options.c", "message.c", "packets.c", "figures.c", "series.c"), ()),
    "noop_c": (("noop_c.c",), ("-lmilter",)),
    "policyload": (("policyload.c", "series.c"), ()),
    "slowdns": (("slowdns.c",), ()),
}


def program(name: str) -> str:
    """Return the path of a built program."""
    sources, libraries = _SOURCES[name]
    target = _BUILD / name
    newest = max(path.stat().st_mtime for path in _HERE.glob("*.[ch]"))
    if not target.exists() or target.stat().st_mtime < newest:
        _BUILD.mkdir(exist_ok=True)
        compiler: list[str | Path] = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-Werror", "-o", target]
        subprocess.run([*compiler, *(_HERE / source for source in sources), *libraries], check=True)
    return str(target)
