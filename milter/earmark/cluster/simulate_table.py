"""The scenario table: what happens to a cluster, and what is expected of it (deploy/cluster/scenarios.toml).

Hosts are named by what they do when a scenario begins: the service runs on the "active" one, the other is "passive".
So one table holds for every inventory.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from earmark.config.document import parse
from earmark.config.files import shipped
from earmark.config.problems import ConfigError, Problem, whole_file
from earmark.config.schema import Table, validate

Who = Literal["active", "passive"]
Shape = Literal["guest", "group"]


class Operation(Table):
    """What an agent is asked to do on a host."""

    resource: str
    """An id of the CIB. "service" is the guest, or the group's last unit; "fence-active-1" gets the host's name."""
    operation: Literal["start", "stop", "monitor", "promote", "demote"]
    host: Who


class Step(Table):
    """What happens at once. The cluster settles before the next step."""

    lost: list[Who] = Field([])
    """Hosts that are heard no more: no power, hung, or cut off."""
    shutdown: list[Who] = Field([])
    """Hosts that leave in good order."""
    returns: list[Who] = Field([])
    """Hosts that boot and join; their disk is up to date again."""
    standby: list[Who] = Field([])
    """Hosts that an operator relieves of their service."""
    unstandby: list[Who] = Field([])
    answers: dict[Who, int] = Field({})
    """Ping targets that a host reaches, of those in the inventory."""
    disk: dict[Who, Literal["outdated", "alone", "uptodate"]] = Field({})
    """What DRBD says of a host's disk by its promotion score: "alone" is up to date as far as it knows without its
    peer."""
    handler: Literal["", "active", "passive", "taken back"] = ""
    """The host on which DRBD's fence-peer handler has forbidden Pacemaker to promote the other one."""
    fails: list[Operation] = Field([])
    """Recurring monitors that find a failure, once."""
    refuses: list[Operation] = Field([])
    """Operations that fail whenever they are tried, from here on."""
    filter: Literal["works", "broken"] = "works"
    """Broken: it does not answer, and not after a start either, on whichever host."""
    arbitrator: Literal["", "gone", "back"] = ""
    quorum: bool | None = None
    """As this side has it; where it is not said, from who is heard and the arbitrator's vote."""
    fencing: Literal["", "works", "refused", "given up"] = ""
    """Refused: every device fails. Given up: so often that Pacemaker has stopped trying."""
    later: int = 0
    """Seconds that pass before."""


class Expected(Table):
    """Where the cluster has come to when nothing is left to do."""

    service: Literal["active", "passive", "nowhere"]
    """Where it runs, or may still run."""
    promoted: Literal["active", "passive", "nowhere", ""] = ""
    """Where the disk may be written to; as the service where it is not said."""
    fenced: list[Who] = Field([])
    """Hosts whose power was cut, in that order."""
    unclean: list[Who] = Field([])
    """Hosts whose power should be cut and is not yet."""
    stops: int = 0
    """Times that the service was stopped in good order."""
    settles: bool = True
    """False where the cluster goes on trying."""
    levels: int | None = None
    """Fencing levels of each fenced host that a survivor can use."""
    wait_at_most: int | None = None
    """Seconds until Pacemaker looks again by itself, where it has given up fencing."""


class Scenario(Table):
    """One row of the table."""

    name: str
    why: str = ""
    shapes: list[Shape] = Field(["guest", "group"])
    """To which kinds of service it applies."""
    filter_failure: Literal["", "alarm", "move"] = ""
    """In place of the inventory's."""
    steps: list[Step] = Field(min_length=1)
    expect: Expected


class _File(Table):
    scenarios: list[Scenario]


def shipped_scenarios() -> Path:
    """Return the table that comes with the program."""
    return shipped() / "deploy" / "cluster" / "scenarios.toml"


def load_scenarios(path: Path) -> list[Scenario]:
    """Read a table. Raises ConfigError with all that is wrong with it."""
    try:
        document = parse(str(path), path.read_bytes())
    except OSError as error:
        raise ConfigError([whole_file(str(path), f"cannot be read: {error.strerror or error}")]) from None
    if isinstance(document, Problem):
        raise ConfigError([document])
    file, problems = validate(document, _File)
    if file is None:
        raise ConfigError(problems)
    return file.scenarios
