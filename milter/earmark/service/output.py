"""Where the service's log goes: standard output, which systemd gives to its journal."""

import os
from collections.abc import Callable

from earmark.log import Log, is_journal


def standard_log(later: Callable[[Callable[[], None]], object] | None = None) -> Log:
    """Return a log of this process's own. `later` as for `Log`: only a worker has verdicts to write together."""
    stream = os.fdopen(1, "wb", buffering=0, closefd=False)
    return Log(stream, journal=is_journal(stream), later=later)
