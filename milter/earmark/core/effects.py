"""What is to be kept of a decision: writes to the store of state, as values (docs/greylisting.md).

The core says what to keep; the engine hands it to the world once a recipient has been decided. A write that fails is
logged and counted by the store, and changes no verdict.
"""

from typing import Literal, NamedTuple

from earmark.core.evidence import Greylisting


class Attempt(NamedTuple):
    """The triplet came and was told to come back. The first time is kept, and the id of the verdict then."""

    triplet: Greylisting
    at: float
    """Seconds since the epoch."""
    keep: int = 172_800
    """Seconds from the first attempt in which coming back counts."""
    id: str = ""
    """The verdict that told it so."""
    kind: Literal["attempt"] = "attempt"


class Passed(NamedTuple):
    """The triplet was let through. Each time is counted, the first and the last are kept."""

    triplet: Greylisting
    """With recipient "*": its origin and sender, whoever the recipient."""
    at: float
    """Seconds since the epoch."""
    keep: int = 3_024_000
    """Seconds from now in which the triplet passes without waiting."""
    kind: Literal["passed"] = "passed"


Effect = Attempt | Passed
