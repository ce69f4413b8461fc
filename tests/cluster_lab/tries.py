"""What the sending server has seen, as sender.py writes it down."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple


class Try(NamedTuple):
    """One try to hand over a message."""

    at: float
    """When it began, seconds since 1970."""
    number: int
    host: str
    """Who greeted; "" for nobody."""
    stage: str
    """How far it came: "connect", "greeting", "EHLO", "MAIL", "RCPT", "DATA" or "message"."""
    code: int
    """The last answer's, 0 where none came."""
    text: str
    until: float

    @property
    def accepted(self) -> bool:
        return self.stage == "message" and self.code == 250

    @property
    def unanswered(self) -> bool:
        """Whether the whole message was sent, and nothing said of it: it may have been taken."""
        return self.stage == "message" and not self.code


def read_tries(*logs: Path) -> list[Try]:
    """Return all tries so far, in the order of their ends."""
    whole = [line for log in logs if log.exists() for line in log.read_text().rpartition("\n")[0].splitlines()]
    return sorted((Try(**json.loads(line)) for line in whole), key=lambda each: each.until)


def outage(tries: Sequence[Try], since: float) -> float:
    """Return the longest time, in seconds, without an accepted message that ended after `since`."""
    ends = [one.until for one in tries if one.accepted]
    return max((later - earlier for earlier, later in pairwise(ends) if later > since), default=0.0)
