"""clamd and spamd on a core of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import LOAD_CORE, on_core
from e2e_lab.clamd import ClamdServer
from e2e_lab.spamd import Spamd

SCANNER_CORE = LOAD_CORE
"""Where the scanners run, alone; the client or the load shares the other core with what is before the scanners."""
CHILDREN = 4
"""Messages that spamd, or amavisd, scans at once."""

_LIKE_CLAMAV = {
    "MaxThreads": "10",
    "MaxQueue": "100",
    "ReadTimeout": "120",
    "CommandReadTimeout": "30",
    "StreamMaxLength": "100M",
    "MaxScanSize": "400M",
    "MaxFileSize": "100M",
    "DisableCache": "yes",
}
"""ClamAV's own defaults in place of the lab's. Without the cache of clean files: the same attachment comes again."""


@contextmanager
def clamd() -> Iterator[Path]:
    """Run clamd with the lab's few signatures; yields its socket."""
    with on_core(SCANNER_CORE):
        server = ClamdServer(**_LIKE_CLAMAV)
    try:
        yield server.top / "socket"
    finally:
        server.stop()


@contextmanager
def spamd(top: Path) -> Iterator[Spamd]:
    """Run spamd with Debian's rules, without those that ask the network. `top` is made."""
    with on_core(SCANNER_CORE):
        server = Spamd(top, children=CHILDREN, unix=True)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
