"""Whether a log goes on unbroken from one machine to the next: no gap, and nothing twice."""

import re
from datetime import datetime
from typing import NamedTuple

_SYSLOG = re.compile(r"([A-Z][a-z]{2}) ([ 0-9][0-9]) ([0-9]{2}:[0-9]{2}:[0-9]{2}) ", re.ASCII)
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2}))\s"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Continued(NamedTuple):
    """What was found."""

    well: bool
    said: str


def continued(last: str, since: str) -> Continued:
    """Judge a log that goes on elsewhere.

    `last` is the last line that the source wrote, `since` what stands in the guest's log from the place on where that
    line stood in the source's.
    """
    line = last.removesuffix("\n")
    if not line:
        return Continued(well=False, said="the source's log had no last line")
    first, _, rest = since.partition("\n")
    if first != line:
        return Continued(well=False, said="what the source wrote last is not where it was: lines are missing, or new")
    lines = rest.split("\n")[:-1]
    if not lines:
        return Continued(well=False, said="nothing has been written since the move")
    if line in lines:
        return Continued(well=False, said="what the source wrote last stands there again")
    back = next((new for new in lines if _precedes(new, line)), "")
    if back:
        return Continued(well=False, said=f"goes back in time: {back[:100]}")
    return Continued(well=True, said=f"{line[:40]!r} is followed by {lines[0][:40]!r}, and {len(lines)} lines in all")


def _precedes(line: str, before: str) -> bool:
    """Whether a line is older than another; False where that cannot be told."""
    if (ours := _iso(line)) and (theirs := _iso(before)):
        return ours < theirs
    one, other = _syslog(line), _syslog(before)
    if not one or not other or (other[0] == 11 and one[0] == 0):
        return False
    return one < other


def _iso(line: str) -> datetime | None:
    found = _ISO.match(line)
    try:
        return datetime.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def _syslog(line: str) -> tuple[int, int, str] | None:
    """Return month, day and time of the traditional form, which names no year."""
    found = _SYSLOG.match(line)
    if not found or found[1] not in _MONTHS:
        return None
    return _MONTHS.index(found[1]), int(found[2]), found[3]
