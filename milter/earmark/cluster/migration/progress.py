"""How far a copy is: what rsync's --info=progress2 says, read purely."""

import re
from typing import NamedTuple

_LINE = re.compile(
    r"\s*([0-9][0-9,.]{0,25})\s+([0-9]{1,3})%\s+([0-9]{1,9}(?:\.[0-9]{1,3})?)([kMGT]?)B/s\s+([0-9]{1,6}):([0-9]{2}):([0-9]{2})"
    r"(\s+\(xfr#[0-9]+, (?:ir|to)-chk=([0-9]+)/[0-9]+\))?\s*",
    re.ASCII,
)
_UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Progress(NamedTuple):
    """Where a copy stands."""

    done: int
    """Bytes that have been dealt with."""
    percent: int
    rate: float
    """Bytes a second."""
    left: int
    """Seconds until it is done, at this rate; 0 at the end."""

    def __str__(self) -> str:
        minutes, seconds = divmod(self.left, 60)
        hours, minutes = divmod(minutes, 60)
        return (
            f"{self.percent:3d} %  {self.done / (1 << 20):.1f} MiB  {self.rate / (1 << 20):.1f} MiB/s  "
            f"{hours}:{minutes:02d}:{seconds:02d} left"
        )


def parse(line: str) -> Progress | None:
    """Return what a line of rsync's says, or None where it says something else.

    rsync gives the time that is left while it copies, and the time that it took once a file is through ("xfr#").
    """
    found = _LINE.fullmatch(line)
    if not found:
        return None
    done = int(re.sub(r"[,.]", "", found[1]))
    percent = min(int(found[2]), 100)
    rate = float(found[3]) * _UNITS[found[4]]
    said = int(found[5]) * 3600 + int(found[6]) * 60 + int(found[7])
    if not found[8]:
        return Progress(done, percent, rate, said)
    left = 0 if found[9] == "0" or not percent or not rate else round(done * (100 - percent) / percent / rate)
    return Progress(done, percent, rate, left)
