"""What an MTA says of its client's reverse name, as a fact. Without it we look the name up ourselves."""

from earmark.core.evidence import Fact, Status
from earmark.core.text import decoded


def reverse_fact(state: bytes | None, confirmed: bytes, claimed: bytes, at: float) -> Fact | None:
    """Return what `state` says, in the words of Postfix's macro {client_resolve}; None where it says nothing.

    `confirmed` is the name that leads back to the address, `claimed` the one that the address has, both as the MTA
    gives them; `at` is now.
    """
    match state:
        case b"OK":
            return Fact(Status.PASS, _names(confirmed), at=at, source="mta")
        case b"FORGED":
            return Fact(Status.FAIL, _names(claimed), at=at, source="mta")
        case b"FAIL":
            return Fact(Status.NONE, at=at, source="mta", why="the MTA found no name")
        case b"TEMP":
            return Fact(Status.TEMPERROR, at=at, source="mta", why="the MTA could not look it up")
    return None


def _names(raw: bytes) -> tuple[str, ...]:
    name = decoded(raw).lower().rstrip(".")
    return (name,) if name else ()
